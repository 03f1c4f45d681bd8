"""The table of metrics: what its rows are, in which order columns stand, and how figures are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table

Metrics = Mapping[str, Mapping[str, float | None]]
"""Task -> metric -> percentage 0-100, clicks for NoC, None where a model cannot do the task."""


@dataclass(frozen=True)
class Row:
    """One metric of one task. Only the number of clicks gets better as it gets lower."""

    task: str
    metric: str
    is_percentage: bool = True

    def value(self, metrics: Metrics) -> float | None:
        return metrics.get(self.task, {}).get(self.metric)

    def best(self, values: list[float | None]) -> float | None:
        """The best of a row's figures; None where there is nothing to choose."""
        known = [value for value in values if value is not None]
        if len(set(known)) < 2:
            return None
        return max(known) if self.is_percentage else min(known)


TASKS: Mapping[str, tuple[str, tuple[Row, ...]]] = {
    "panoptic": (
        "Panoptic segmentation",
        (Row("panoptic", "PQ"), Row("panoptic", "mIoU"), Row("panoptic", "AP")),
    ),
    "grounding": (
        "Grounding of phrases",
        (Row("grounding", "cIoU"), Row("grounding", "mIoU"), Row("grounding", "P@0.5")),
    ),
    "interactive": (
        "Interactive segmentation",
        (
            Row("interactive", "mIoU@1"),
            Row("interactive", "NoC@85", is_percentage=False),
            Row("interactive", "NoC@90", is_percentage=False),
        ),
    ),
    "retrieval": (
        "Image-text retrieval",
        tuple(Row("retrieval", f"{side}@{k}") for side in ("IR", "TR") for k in (1, 5, 10)),
    ),
    "interleaved_segmentation": (
        "Interleaved segmentation",
        tuple(Row("interleaved_segmentation", metric) for metric in ("cIoU", "mIoU", "P@0.5")),
    ),
    "interleaved_retrieval": (
        "Interleaved retrieval",
        tuple(Row("interleaved_retrieval", f"IR@{k}") for k in (1, 5, 10)),
    ),
}
"""Title and rows of every task."""

COLUMNS: Mapping[str, str] = {
    "untrained": "untrained",
    "trained": "trained now",
    "shipped": "shipped weights",
    "clip": "frozen CLIP",
}
"""Title of every column of metrics.json."""


def only_table(metrics: Metrics | None) -> dict[str, dict[str, float | None]]:
    """Exactly the table's tasks and metrics, None for what is not known."""
    known = metrics or {}
    return {task: {row.metric: row.value(known) for row in rows} for task, (_, rows) in TASKS.items()}


def written(value: float | None) -> str:
    """A figure as tables show it."""
    return "–" if value is None else f"{value:.1f}"


def rich_table(columns: Mapping[str, Metrics]) -> Table:
    """The table for a terminal; the best figure of every row is bold."""
    table = Table(title="Val split, percent (NoC: clicks, fewer is better)", title_style="bold")
    table.add_column("task")
    table.add_column("metric")
    for name in columns:
        table.add_column(COLUMNS.get(name, name), justify="right")
    for title, rows in TASKS.values():
        for number, row in enumerate(rows):
            values = [row.value(metrics) for metrics in columns.values()]
            best = row.best(values)
            cells = [
                f"[bold green]{written(value)}[/]" if best is not None and value == best else written(value)
                for value in values
            ]
            table.add_row(title if number == 0 else "", row.metric, *cells)
        table.add_section()
    return table
