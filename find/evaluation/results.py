"""The whole evaluation: figures of every task by their published names, as JSON and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from find.evaluation.interleaved_results import (
    InterleavedRetrievalResult,
    InterleavedSegmentationResult,
    Variant,
    variants_table,
)
from find.evaluation.probe_results import ProbeResult
from find.evaluation.queries import EntityMode
from find.evaluation.task_results import Figures, GroundingResult, InteractiveResult, PanopticResult, RetrievalResult
from find.evaluation.vocabulary import UnknownWords

FEW_SHOWN = 0.05


@dataclass(frozen=True)
class Evaluation:
    """All that one evaluation found. A task that was not run is None; `skipped` tells which ones for lack of data."""

    split: str
    images: int
    panoptic: PanopticResult | None = None
    grounding: GroundingResult | None = None
    interactive: InteractiveResult | None = None
    retrieval: RetrievalResult | None = None
    interleaved_segmentation: InterleavedSegmentationResult | None = None
    interleaved_retrieval: InterleavedRetrievalResult | None = None
    segmentation_variants: Sequence[Variant] = ()
    retrieval_variants: Sequence[Variant] = ()
    probes: ProbeResult | None = None
    unknown_words: UnknownWords | None = None  # None: the system does not tell
    skipped: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> Figures:
        """The six tasks' figures by their published names (percentages, clicks; null: not run), then the rest."""
        results = {task: getattr(self, task) for task in METRICS}
        done = {task: result for task, result in results.items() if result is not None}
        held_out = {task: result.held_out() for task, result in done.items()}
        return {
            **{task: result and result.to_json() for task, result in results.items()},
            "intervals": {task: result.intervals() for task, result in done.items()},
            "held_out": {task: figures for task, figures in held_out.items() if figures is not None},
            "details": {task: result.details() for task, result in done.items()},
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
        """What goes beyond the published tables, if it was asked for."""
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
        """What a reader of the figures has to know, one sentence each."""
        notes = []
        for task in ("interleaved_segmentation", "interleaved_retrieval"):
            result = getattr(self, task)
            if result is None or result.interleaving.mode is EntityMode.TEXT or result.shown is None:
                continue
            if result.shown < FEW_SHOWN:
                notes.append(
                    f"{_title(task)}: only {100 * result.shown:.1f} % of the entities were shown as regions, for the "
                    "others' phrases have no reference. Give an entity file with references (entities), or show the "
                    "sought segments themselves (regions: same)."
                )
        if self.unknown_words is not None and self.unknown_words.affected:
            notes.append(self.unknown_words.note())
        return notes + [f"{_title(task)} was not evaluated: {reason}" for task, reason in self.skipped.items()]

    def to_markdown(self) -> str:
        """One row a metric with its interval; what was held out beside what was seen, where the data set tells them
        apart; the studies."""
        figures = self.to_json()
        text = f"| task | metric | {self.split} | 95 % interval |\n| --- | --- | ---: | ---: |\n"
        for task, intervals in figures["intervals"].items():
            for metric in METRICS[task]:
                ends = " to ".join(map(_cell, intervals[metric])) if metric in intervals else ""
                text += f"| {_title(task)} | {metric} | {_cell(figures[task][metric])} | {ends} |\n"
        rows = [
            (task, metric, parts["seen"], parts["held_out"][metric])
            for task, parts in figures["held_out"].items()
            for metric in parts["held_out"]
        ]
        if rows:
            text += "\n| task | metric | seen in training | held out |\n| --- | --- | ---: | ---: |\n"
            for task, metric, seen, held_out in rows:
                text += f"| {_title(task)} | {metric} | {_cell((seen or {}).get(metric))} | {_cell(held_out)} |\n"
        return text + self.studies_to_markdown() + "".join(f"\n{note}\n" for note in self.notes())

    def studies_to_markdown(self) -> str:
        """Their tables; nothing where none was asked for."""
        text = ""
        for title, variants in (
            ("Interleaved segmentation in every way", self.segmentation_variants),
            ("Interleaved retrieval in every way", self.retrieval_variants),
        ):
            if variants:
                text += f"\n{title}, percent [95 % interval]:\n\n{variants_table(variants)}"
        if self.probes is not None:
            text += f"\n{self.probes.to_markdown()}"
        return text


METRICS: Mapping[str, tuple[str, ...]] = {
    "panoptic": ("PQ", "mIoU", "AP"),
    "grounding": ("cIoU", "mIoU", "P@0.5"),
    "interactive": ("mIoU@1", "NoC@85", "NoC@90"),
    "retrieval": ("IR@1", "IR@5", "IR@10", "TR@1", "TR@5", "TR@10"),
    "interleaved_segmentation": ("cIoU", "mIoU", "P@0.5"),
    "interleaved_retrieval": ("IR@1", "IR@5", "IR@10"),
}
"""The tasks, and the names of each one's figures. Clicks (NoC) are better when lower, percentages when higher."""


def comparison_table(columns: Mapping[str, Figures]) -> str:
    """Markdown table of several evaluations (as `Evaluation.to_json` gives them), one column each."""
    text = f"| task | metric | {' | '.join(columns)} |\n| --- | --- |{' ---: |' * len(columns)}\n"
    for task, metrics in METRICS.items():
        if all(column.get(task) is None for column in columns.values()):
            continue
        for metric in metrics:
            cells = [_cell((column.get(task) or {}).get(metric)) for column in columns.values()]
            text += f"| {_title(task)} | {metric} | {' | '.join(cells)} |\n"
    return text


def _title(task: str) -> str:
    return task.replace("_", " ")


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
