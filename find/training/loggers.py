"""A CSV logger whose file a resumed run continues."""

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

SECONDS_BETWEEN_WRITES = 10.0


class MetricsFile(Logger):
    """Writes logged values to a CSV file: a row per call, a column per name and one for the step.

    Lightning's own CSV logger deletes the rows of an earlier run even if this one continues it.

    Args:
        file: overwritten unless `resume` is called.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.rows: list[dict[str, Any]] = []
        self.written = time.monotonic()

    @property
    def name(self) -> None:
        return None

    @property
    def version(self) -> None:
        return None

    @property
    def save_dir(self) -> str:
        return str(self.file.parent)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: the command line writes them to config.yaml."""

    def resume(self, step: int) -> None:
        """Keeps the file's rows before a step; later steps are repeated by the run."""
        if self.file.is_file():
            with self.file.open(newline="") as file:
                earlier = [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]
            self.rows = [row for row in earlier if int(row["step"]) < step]

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.rows.append({"step": len(self.rows) if step is None else step, **metrics})

    @rank_zero_only
    def save(self) -> None:
        """Lightning calls this after every row; long runs rewrite their file less often."""
        if time.monotonic() - self.written > SECONDS_BETWEEN_WRITES:
            self.write()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.write()

    @rank_zero_only
    def write(self) -> None:
        if self.rows:
            names = sorted(set().union(*self.rows))
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=names)
                writer.writeheader()
                writer.writerows(self.rows)
        self.written = time.monotonic()
