"""`findvl bench score` and `validate`: predictions of any system, from files, through the same protocols as a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from find.bench.asked import Questionnaire
from find.bench.folder import BlankFolder
from find.bench.formats.masks import MaskFile
from find.bench.formats.panoptic import PanopticFile
from find.bench.formats.results import ResultFile
from find.bench.formats.vectors import read_vectors
from find.bench.recorded import RecordedSystem
from find.bench.recorder import GROUNDING, INSTANCES, PANOPTIC, SEGMENTATION, SEMANTIC, VECTORS
from find.bench.run import Settings
from find.data.anomaly import Anomaly, Report, Severity
from find.errors import FindError
from find.evaluation.evaluate import Task, evaluate
from find.evaluation.mask_ap import InstanceScores
from find.evaluation.panoptic_quality import PanopticScores
from find.evaluation.results import Evaluation


class FileTask(str, Enum):
    """What one file of predictions can be scored for."""

    PANOPTIC = "panoptic"
    INSTANCES = "instances"
    SEMANTIC = "semantic"
    GROUNDING = "grounding"
    INTERLEAVED_SEGMENTATION = "interleaved_segmentation"
    RETRIEVAL = "retrieval"
    INTERLEAVED_RETRIEVAL = "interleaved_retrieval"

    @property
    def task(self) -> Task:
        """The protocol behind it."""
        generic = (FileTask.PANOPTIC, FileTask.INSTANCES, FileTask.SEMANTIC)
        return Task.PANOPTIC if self in generic else Task(self.value)

    @property
    def file(self) -> str:
        """What `findvl bench run --save-predictions` calls it."""
        return {
            FileTask.PANOPTIC: PANOPTIC,
            FileTask.INSTANCES: INSTANCES,
            FileTask.SEMANTIC: SEMANTIC,
            FileTask.GROUNDING: GROUNDING,
            FileTask.INTERLEAVED_SEGMENTATION: SEGMENTATION,
        }.get(self, VECTORS)


@dataclass(frozen=True)
class Validation:
    """Every anomaly of some predictions."""

    anomalies: tuple[Anomaly, ...]

    @property
    def has_errors(self) -> bool:
        return any(anomaly.severity is Severity.ERROR for anomaly in self.anomalies)

    def summary(self) -> str:
        errors = sum(anomaly.severity is Severity.ERROR for anomaly in self.anomalies)
        return f"{errors} errors, {len(self.anomalies) - errors} warnings"

    def lines(self) -> list[str]:
        """One line an anomaly: severity, kind, file, item, what is wrong, and how to mend it."""
        return [f"{anomaly.severity.value}: {anomaly.kind}: {anomaly}" for anomaly in self.anomalies]


def find_files(predictions: Path, task: FileTask | None) -> dict[FileTask, Path]:
    """The files to score: one file for the task named, or in a folder all that a run writes (or the task's).

    Raises:
        FindError: a file without a task, or nothing to score.
    """
    if predictions.is_dir():
        folder = predictions / "predictions" if (predictions / "predictions").is_dir() else predictions
        wanted = list(FileTask) if task is None else [task]
        found = {one: folder / one.file for one in wanted if (folder / one.file).exists()}
        if not found:
            raise FindError(
                f"{folder}: no predictions in it; the files are called {', '.join(sorted({t.file for t in wanted}))}"
            )
        return found
    if task is None:
        raise FindError(f"{predictions}: which task is it for? Give --task {'|'.join(t.value for t in FileTask)}")
    if not predictions.exists():
        raise FindError(f"{predictions}: there is no such file or folder of predictions")
    return {task: predictions}


def validate(files: dict[FileTask, Path], root: Path, settings: Settings) -> Validation:
    """Everything that is wrong with predictions; never stops at the first fault.

    Raises:
        FindError: the data folder cannot be used.
    """
    folder = BlankFolder(root, settings.split, entities=settings.entities)
    anomalies: list[Anomaly] = []
    for task, path in files.items():
        try:
            _read(task, path, folder, settings, anomalies.append)
        except FindError as problem:
            message, _, mend = str(problem).removeprefix(f"{path}: ").rstrip(".").partition(". ")
            anomalies.append(
                Anomaly(Severity.ERROR, "unreadable file", str(path), task.value, message, mend or "Write it again")
            )
    return Validation(tuple(anomalies))


def score(files: dict[FileTask, Path], root: Path, settings: Settings, *, progress: bool = True) -> Evaluation:
    """The figures of predictions, by the protocols that `findvl bench run` uses.

    Raises:
        FindError: the first error that `validate` would list, or nothing to score.
    """
    folder = BlankFolder(root, settings.split, entities=settings.entities)

    def refuse(anomaly: Anomaly) -> None:
        if anomaly.severity is Severity.ERROR:
            raise FindError(f"{anomaly} `findvl bench validate` lists all that is wrong.")

    system = RecordedSystem(folder)
    for task, path in files.items():
        _read(task, path, folder, settings, refuse)(system)
    tasks = list(dict.fromkeys(task.task for task in files))
    found = evaluate(system, folder, tasks=tasks, progress=progress, **settings.options())
    return _without_absent(found, files)


def _read(
    task: FileTask, path: Path, folder: BlankFolder, settings: Settings, report: Report
) -> Callable[[RecordedSystem], None]:
    """Reads and checks one file; gives what puts its answers into a system."""
    image_ids = folder.image_ids[: settings.limit]
    if task is FileTask.PANOPTIC:
        panoptic = PanopticFile.read(path, folder, report)
        panoptic.check(image_ids, report)
        return lambda system: setattr(system, "panoptic_file", panoptic)
    if task in (FileTask.INSTANCES, FileTask.SEMANTIC):
        is_semantic = task is FileTask.SEMANTIC
        results = ResultFile.read(path, folder, report, scored=not is_semantic)
        results.check(image_ids, report, exclusive=is_semantic)
        return lambda system: setattr(system, "semantic_file" if is_semantic else "instance_file", results)
    asked = Questionnaire.of(folder, task.task, **settings.options())
    if task in (FileTask.GROUNDING, FileTask.INTERLEAVED_SEGMENTATION):
        masks = MaskFile.read(path, folder, report)
        masks.check(asked.masks, report)
        is_grounding = task is FileTask.GROUNDING
        return lambda system: setattr(system, "grounding_file" if is_grounding else "segmentation_file", masks)
    vectors = read_vectors(path, report)
    vectors.check(
        path,
        folder,
        report,
        image_ids=asked.image_ids,
        texts=list(dict.fromkeys(asked.texts)),
        queries={key: sum(isinstance(part, dict) for part in parts) for key, parts in asked.queries.items()},
    )
    return lambda system: setattr(system, "vectors", vectors)


def _without_absent(found: Evaluation, files: dict[FileTask, Path]) -> Evaluation:
    """Figures for which no file was given are left empty, instead of counting as found nothing."""
    result = found.panoptic
    if result is None:
        return found
    if FileTask.PANOPTIC not in files:
        nothing = PanopticScores(all=None, things=None, stuff=None, per_class={})
        result = replace(result, quality=nothing, segment_quality=replace(result.segment_quality, all=None))
    if FileTask.SEMANTIC not in files:
        result = replace(result, miou=None)
    if FileTask.INSTANCES not in files:
        none = InstanceScores(ap=None, ap50=None, ap75=None, small=None, medium=None, large=None)
        result = replace(result, instances=none)
    return replace(found, panoptic=result)
