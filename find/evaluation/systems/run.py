"""`findvl bench run`: evaluates any system on a folder, and writes its figures, predictions and examples."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from find.data.coco import AUTO
from find.data.data_split import DataSplit, open_split
from find.errors import InputError
from find.evaluation.distributed import is_first
from find.evaluation.evaluate import evaluate
from find.evaluation.prediction_files.folder import NamedFolder
from find.evaluation.prediction_files.recorder import Recorder
from find.evaluation.protocol_names import PUBLISHED
from find.evaluation.report.examples import write_examples
from find.evaluation.results import Evaluation
from find.evaluation.systems.benchmark_system import BenchmarkSystem

RESULTS = "results.json"
PREDICTIONS = "predictions"


@dataclass(frozen=True)
class Settings:
    """Settings that determine the queries; equal settings on equal folders give the same queries."""

    split: str
    limit: int | None = None
    entities: str | None = AUTO
    gallery: int = 500
    large_gallery: int | None = 2000
    clicked_images: int = 50
    studies: tuple[str, ...] = ()  # optional studies (`find.evaluation.evaluate.Study`)

    def options(self) -> dict[str, Any]:
        """The arguments of `evaluate` except the folder."""
        options = asdict(self)
        del options["split"], options["entities"]
        return options


def run(
    candidate: BenchmarkSystem,
    root: Path,
    *,
    settings: Settings,
    reader: str = "coco",
    tasks: list[str] | None = None,
    out: Path,
    save_predictions: bool = False,
    batch_size: int = 16,
    progress: bool = True,
) -> Evaluation:
    """Evaluates `entrant`, and writes out/results.json, out/examples/ (and out/predictions/ if asked for).

    `reader` reads the data (see `find.data.data_split`). `tasks` are names of installed protocols; by default all
    published ones that the system supports and the folder has annotations for. With several processes, the first
    writes.

    Raises:
        FindError: an unsupported task or study, predictions to be saved by several processes or of tasks other than the
            published ones, or any error of `evaluate`.
    """
    chosen = candidate.choose(tasks)
    candidate.check_studies(settings.studies)
    others = [name for name in chosen if name not in PUBLISHED]
    if save_predictions and others:
        raise InputError(
            f"predictions can be saved for the published tasks only: run {', '.join(others)} without saving"
        )
    if save_predictions and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("predictions are saved by one process only: run without torchrun, or without saving them")
    folder: DataSplit
    recorder = None
    if reader == "coco":
        folder = named = NamedFolder(root, settings.split, entities=settings.entities)
        recorder = Recorder(candidate.system, folder=named, out=out / PREDICTIONS) if save_predictions else None
    elif save_predictions or settings.entities != AUTO:
        raise InputError(f"entity files and saved predictions are for COCO's layout only, not for data of {reader!r}")
    else:
        folder = open_split(root, settings.split, reader=reader)
    try:
        found = evaluate(
            recorder or candidate.system,
            folder,
            tasks=chosen,
            skip_missing=tasks is None,
            batch_size=batch_size,
            progress=progress,
            **settings.options(),
        )
    except AttributeError as error:  # a protocol of another package may need methods that only some systems have
        if not others or error.obj is not candidate.system:
            raise
        raise InputError(
            f"{candidate.name} does not support all of {', '.join(others)}: it has no method {error.name!r}"
        ) from error
    if recorder is not None:
        recorder.save()
    if is_first():
        record = results_json(found, name=candidate.name, about=candidate.about, folder=folder, settings=settings)
        write_results(out / RESULTS, record)
        write_examples(found, candidate.system, folder, out)
    return found


def write_results(path: Path, record: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def results_json(found: Evaluation, *, name: str, about: str, folder: DataSplit, settings: Settings) -> dict[str, Any]:
    """One system's figures for JSON, with the data and settings."""
    figures = found.to_json()
    return {
        "system": {"name": name, "about": about, "source": "measured here"},
        **figures,
        "data": {**figures["data"], "name": folder.root.resolve().name, "root": str(folder.root)},
        "settings": asdict(settings),
        "curves": {name: drawn for name, result in found.results.items() if (drawn := result.curves())},
        "notes": found.notes(),
    }
