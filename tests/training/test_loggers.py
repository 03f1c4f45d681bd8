"""A run's losses stay in one file over its interruptions."""

import csv
from pathlib import Path

from find.training.loggers import MetricsFile


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_resumed_run_keeps_the_rows_before_its_step_and_does_the_others_again(tmp_path):
    file = tmp_path / "run" / "metrics.csv"
    first = MetricsFile(file)
    for step in range(4):
        first.log_metrics({"train/loss": 1.0}, step=step)
    first.finalize("failed")
    second = MetricsFile(file)
    second.resume(step=2)
    second.log_metrics({"train/loss": 0.5, "val/loss": 0.7}, step=2)
    second.finalize("success")
    assert [(row["step"], row["train/loss"], row["val/loss"]) for row in rows(file)] == [
        ("0", "1.0", ""), ("1", "1.0", ""), ("2", "0.5", "0.7"),
    ]  # fmt: skip


def test_new_run_replaces_the_file(tmp_path):
    for value in (1.0, 2.0):
        log = MetricsFile(tmp_path / "metrics.csv")
        log.log_metrics({"train/loss": value}, step=0)
        log.finalize("success")
    assert [row["train/loss"] for row in rows(tmp_path / "metrics.csv")] == ["2.0"]
