"""The results of an evaluation, as JSON and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from find.evaluation.curves import Chart
from find.evaluation.interleaved_results import (
    InterleavedRetrievalResult,
    InterleavedSegmentationResult,
    Variant,
    variants_table,
)
from find.evaluation.probe_results import ProbeResult
from find.evaluation.protocol import Figures, Metric, Result
from find.evaluation.protocol_names import PUBLISHED
from find.evaluation.task_results import GroundingResult, InteractiveResult, PanopticResult, RetrievalResult
from find.evaluation.vocabulary import UnknownWords


@dataclass(frozen=True)
class Described:
    """How a protocol is displayed: its title, its metrics, and the chart of its curves."""

    title: str
    metrics: tuple[Metric, ...]
    chart: Chart | None = None

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Described:
        """From the output of `Result.described`."""
        chart = record.get("chart")
        return cls(record["title"], tuple(Metric(**metric) for metric in record["metrics"]), chart and Chart(**chart))


_RESULTS: tuple[type[Result], ...] = (
    PanopticResult,
    GroundingResult,
    InteractiveResult,
    RetrievalResult,
    InterleavedSegmentationResult,
    InterleavedRetrievalResult,
)
PUBLISHED_TASKS: Mapping[str, Described] = {
    name: Described(result.title, tuple(result.metrics), result.chart)
    for name, result in zip(PUBLISHED, _RESULTS, strict=True)
}
"""The tasks of FIND-Bench's tables."""

METRICS: Mapping[str, tuple[str, ...]] = {
    name: tuple(metric.name for metric in task.metrics) for name, task in PUBLISHED_TASKS.items()
}
"""The names of their figures."""


@dataclass(frozen=True)
class Evaluation:
    """The results of one evaluation. `results` holds those of each protocol by name; `skipped` lists the protocols that
    were not run because data were missing."""

    split: str
    images: int
    results: Mapping[str, Result] = field(default_factory=dict)
    segmentation_variants: Sequence[Variant] = ()
    retrieval_variants: Sequence[Variant] = ()
    probes: ProbeResult | None = None
    unknown_words: UnknownWords | None = None  # None: the system does not report unknown words
    skipped: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> Figures:
        """Each protocol's figures by its name (null: a published task that was not run), and further content."""
        held_out = {name: result.held_out() for name, result in self.results.items()}
        return {
            **dict.fromkeys(PUBLISHED),
            **{name: result.to_json() for name, result in self.results.items()},
            "metrics": {name: result.described() for name, result in self.results.items()},
            "intervals": {name: result.intervals() for name, result in self.results.items()},
            "held_out": {name: figures for name, figures in held_out.items() if figures is not None},
            "details": {name: result.details() for name, result in self.results.items()},
            **self._studies(),
            "data": {
                "split": self.split,
                "images": self.images,
                "unknown_words": self.unknown_words and self.unknown_words.to_json(),
            },
            "skipped": dict(self.skipped),
            "seconds": {part: round(value, 2) for part, value in self.seconds.items()},
        }

    def _studies(self) -> Figures:
        """The studies beyond the published tables, if requested."""
        variants = {
            "interleaved_segmentation": self.segmentation_variants,
            "interleaved_retrieval": self.retrieval_variants,
        }
        found: Figures = {}
        if any(variants.values()):
            found["variants"] = {task: [variant.to_json() for variant in rows] for task, rows in variants.items()}
        if self.probes is not None:
            parts = {"figures": self.probes.to_json(), "intervals": self.probes.intervals()}
            found["probes"] = parts | {"details": self.probes.details()}
        return found

    def notes(self) -> list[str]:
        """Notes for readers of the figures, one sentence each."""
        notes = [note for result in self.results.values() for note in result.notes()]
        if self.unknown_words is not None and self.unknown_words.affected:
            notes.append(self.unknown_words.note())
        return notes + [f"{_title(task)} was not evaluated: {reason}" for task, reason in self.skipped.items()]

    def to_markdown(self) -> str:
        """One row per metric with its interval; seen and held-out figures, if distinguished; the studies."""
        text = f"| task | metric | {self.split} | 95 % interval |\n| --- | --- | ---: | ---: |\n"
        held_out = ""
        for name, result in self.results.items():
            figures, intervals, parts = result.to_json(), result.intervals(), result.held_out() or {}
            for metric in result.metrics:
                ends = " to ".join(map(metric.written, intervals[metric.name])) if metric.name in intervals else ""
                text += f"| {_title(name)} | {metric.label} | {metric.written(figures.get(metric.name))} | {ends} |\n"
            known = {metric.name: metric for metric in result.metrics}
            for figure, value in parts.get("held_out", {}).items():
                metric, seen = known.get(figure, Metric(figure)), (parts["seen"] or {}).get(figure)
                cells = f"{metric.written(seen)} | {metric.written(value)}"
                held_out += f"| {_title(name)} | {metric.label} | {cells} |\n"
        if held_out:
            text += f"\n| task | metric | seen in training | held out |\n| --- | --- | ---: | ---: |\n{held_out}"
        return text + self.studies_to_markdown() + "".join(f"\n{note}\n" for note in self.notes())

    def studies_to_markdown(self) -> str:
        """The tables of the studies; empty if none was requested."""
        text = ""
        for title, variants in (
            ("Interleaved segmentation, all variants", self.segmentation_variants),
            ("Interleaved retrieval, all variants", self.retrieval_variants),
        ):
            if variants:
                text += f"\n{title}, percent [95 % interval]:\n\n{variants_table(variants)}"
        if self.probes is not None:
            text += f"\n{self.probes.to_markdown()}"
        return text


def described(columns: Iterable[Mapping[str, Any]]) -> dict[str, Described]:
    """The protocols with figures in any of several evaluations (in the form of `Evaluation.to_json`): the published
    ones in their order, then others in order of appearance."""
    columns = list(columns)
    metrics_by_task: dict[str, Any] = {}
    for column in columns:
        metrics_by_task = (column.get("metrics") or {}) | metrics_by_task
    known = {**PUBLISHED_TASKS, **{name: Described.read(found) for name, found in metrics_by_task.items()}}
    return {name: task for name, task in known.items() if any(column.get(name) is not None for column in columns)}


def comparison_table(columns: Mapping[str, Figures]) -> str:
    """Markdown table of several evaluations (in the form of `Evaluation.to_json`), one column each."""
    text = f"| task | metric | {' | '.join(columns)} |\n| --- | --- |{' ---: |' * len(columns)}\n"
    for name, task in described(columns.values()).items():
        for metric in task.metrics:
            cells = [metric.written((column.get(name) or {}).get(metric.name)) for column in columns.values()]
            text += f"| {_title(name)} | {metric.label} | {' | '.join(cells)} |\n"
    return text


def _title(task: str) -> str:
    return task.replace("_", " ")
