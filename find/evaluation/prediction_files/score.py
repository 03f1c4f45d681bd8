"""`findvl bench score` and `validate`: prediction files of any system, scored by the same protocols as a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.errors import DataError, FindError
from find.evaluation.evaluate import Task, evaluate
from find.evaluation.prediction_files.folder import BlankFolder
from find.evaluation.prediction_files.masks import MaskFile
from find.evaluation.prediction_files.panoptic import PanopticFile
from find.evaluation.prediction_files.query_collector import QueryCollector
from find.evaluation.prediction_files.query_parts import entities_in
from find.evaluation.prediction_files.recorded import RecordedSystem
from find.evaluation.prediction_files.recorder import GROUNDING, INSTANCES, PANOPTIC, SEGMENTATION, SEMANTIC, VECTORS
from find.evaluation.prediction_files.results import ResultFile
from find.evaluation.prediction_files.vectors import read_arrays, read_vectors
from find.evaluation.protocols.panoptic import GenericAnswer, score_panoptic
from find.evaluation.results import Evaluation
from find.evaluation.systems.run import Settings


class FileTask(str, Enum):
    """The tasks that a prediction file can be scored for."""

    PANOPTIC = "panoptic"
    INSTANCES = "instances"
    SEMANTIC = "semantic"
    GROUNDING = "grounding"
    INTERLEAVED_SEGMENTATION = "interleaved_segmentation"
    RETRIEVAL = "retrieval"
    INTERLEAVED_RETRIEVAL = "interleaved_retrieval"

    @property
    def task(self) -> Task:
        """The protocol of this task."""
        generic = (FileTask.PANOPTIC, FileTask.INSTANCES, FileTask.SEMANTIC)
        return Task.PANOPTIC if self in generic else Task(self.value)

    def options(self, settings: Settings) -> dict[str, Any]:
        """The options that determine this task's queries: studies add queries to the interleaved tasks only."""
        interleaved = self in (FileTask.INTERLEAVED_SEGMENTATION, FileTask.INTERLEAVED_RETRIEVAL)
        return settings.options() | ({} if interleaved else {"studies": ()})

    @property
    def file(self) -> str:
        """The file name that `findvl bench run --save-predictions` uses."""
        return {
            FileTask.PANOPTIC: PANOPTIC,
            FileTask.INSTANCES: INSTANCES,
            FileTask.SEMANTIC: SEMANTIC,
            FileTask.GROUNDING: GROUNDING,
            FileTask.INTERLEAVED_SEGMENTATION: SEGMENTATION,
        }.get(self, VECTORS)


@dataclass(frozen=True)
class Validation:
    """All issues of a set of predictions."""

    issues: tuple[DatasetIssue, ...]

    @property
    def has_errors(self) -> bool:
        return any(issue.severity is Severity.ERROR for issue in self.issues)

    def summary(self) -> str:
        errors = sum(issue.severity is Severity.ERROR for issue in self.issues)
        return f"{errors} errors, {len(self.issues) - errors} warnings"

    def lines(self) -> list[str]:
        """One line per issue: severity, kind, file, item, what is wrong, and how to fix it."""
        return [f"{issue.severity.value}: {issue.kind}: {issue}" for issue in self.issues]


def find_files(predictions: Path, task: FileTask | None) -> dict[FileTask, Path]:
    """The files to score: one file for the given task, or all files of a run's folder (or only the task's).

    Raises:
        FindError: a file without a task, or there is nothing to score.
    """
    if predictions.is_dir():
        folder = predictions / "predictions" if (predictions / "predictions").is_dir() else predictions
        wanted = list(FileTask) if task is None else [task]
        found = {one: folder / one.file for one in wanted if _is_there(folder / one.file, one)}
        if not found:
            raise DataError(
                f"{folder}: no predictions in it; the files are called {', '.join(sorted({t.file for t in wanted}))}"
            )
        return found
    if not predictions.exists():
        raise DataError(f"{predictions}: there is no such file or folder of predictions")
    if task is None:
        raise DataError(f"{predictions}: which task is it for? Give --task {'|'.join(t.value for t in FileTask)}")
    return {task: predictions}


def _is_there(path: Path, task: FileTask) -> bool:
    """Whether the file exists and has data for this task: the two retrieval tasks share a file."""
    asked = {FileTask.RETRIEVAL: "texts", FileTask.INTERLEAVED_RETRIEVAL: "queries"}.get(task)
    if not path.exists() or asked is None:
        return path.exists()
    try:
        found = read_arrays(path, ["texts", "queries"])
        return asked in found or not found  # a file of neither is reported when it is read
    except FindError:
        return True  # reading the file reports what is wrong


def validate(files: dict[FileTask, Path], root: Path, settings: Settings) -> Validation:
    """All issues of predictions; does not stop at the first.

    Raises:
        FindError: the data folder cannot be used.
    """
    folder = BlankFolder(root, settings.split, entities=settings.entities)
    issues: list[DatasetIssue] = []
    for task, path in files.items():
        try:
            _read(task, path, folder, settings, issues.append)
        except FindError as problem:
            message, _, fix = str(problem).removeprefix(f"{path}: ").rstrip(".").partition(". ")
            issues.append(
                DatasetIssue(Severity.ERROR, "unreadable file", str(path), task.value, message, fix or "Write it again")
            )
    return Validation(tuple(issues))


def score(files: dict[FileTask, Path], root: Path, settings: Settings, *, progress: bool = True) -> Evaluation:
    """The figures of predictions, by the protocols of `findvl bench run`; figures without a file are None.

    Raises:
        FindError: the first error that `validate` would list, or there is nothing to score.
    """
    folder = BlankFolder(root, settings.split, entities=settings.entities)

    def refuse(issue: DatasetIssue) -> None:
        if issue.severity is Severity.ERROR:
            raise DataError(f"{issue} `findvl bench validate` lists all issues.")

    read = {task: _read(task, path, folder, settings, refuse) for task, path in files.items()}
    image_ids = folder.image_ids[: settings.limit]
    found = Evaluation(split=folder.split, images=len(image_ids))
    generic = _GenericFiles(*(read.get(task) for task in (FileTask.PANOPTIC, FileTask.SEMANTIC, FileTask.INSTANCES)))
    tasks = list(dict.fromkeys(task.task for task in files))
    if Task.PANOPTIC in tasks:
        panoptic = score_panoptic(generic.answers, folder, image_ids=image_ids, progress=progress)
        found = replace(found, results={"panoptic": panoptic})
        tasks.remove(Task.PANOPTIC)
    if not tasks:
        return found
    system = RecordedSystem(
        folder,
        grounding=read.get(FileTask.GROUNDING),
        segmentation=read.get(FileTask.INTERLEAVED_SEGMENTATION),
        vectors=read.get(FileTask.RETRIEVAL) or read.get(FileTask.INTERLEAVED_RETRIEVAL),
    )
    others = evaluate(system, folder, tasks=tasks, progress=progress, **settings.options())
    return replace(others, results={**found.results, **others.results})


@dataclass(frozen=True)
class _GenericFiles:
    """Generic segmentation from up to three files."""

    panoptic: PanopticFile | None
    semantic: ResultFile | None
    instances: ResultFile | None

    def answers(self, image_ids: Sequence[int]) -> list[GenericAnswer]:
        return [
            GenericAnswer(
                segment_map=self.panoptic and self.panoptic.segment_map(image_id),
                categories=self.panoptic and self.panoptic.categories(image_id),
                classes=None if self.semantic is None else self.semantic.semantic(image_id),
                instances=self.instances and self.instances.results(image_id),
            )
            for image_id in image_ids
        ]


def _read(task: FileTask, path: Path, folder: BlankFolder, settings: Settings, report: Report) -> Any:
    """Reads and checks one file: a PanopticFile, a ResultFile, a MaskFile or Vectors."""
    image_ids = folder.image_ids[: settings.limit]
    if task is FileTask.PANOPTIC:
        panoptic = PanopticFile.read(path, folder, report)
        panoptic.check(image_ids, report)
        return panoptic
    if task in (FileTask.INSTANCES, FileTask.SEMANTIC):
        is_semantic = task is FileTask.SEMANTIC
        results = ResultFile.read(path, folder, report, scored=not is_semantic)
        results.check(image_ids, report, exclusive=is_semantic)
        return results
    asked = QueryCollector.of(folder, task.task, **task.options(settings))
    if task in (FileTask.GROUNDING, FileTask.INTERLEAVED_SEGMENTATION):
        masks = MaskFile.read(path, folder, report)
        masks.check(asked.grounded if task is FileTask.GROUNDING else asked.segmented, report)
        return masks
    vectors = read_vectors(path, report)
    vectors.check(
        path,
        folder,
        report,
        image_ids=asked.image_ids,
        texts=asked.texts,
        queries={key: len(entities_in(parts)) for key, parts in asked.queries.items()},
    )
    return vectors
