"""The table of metrics: what it is made of, in which order columns stand, and how figures are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from find.evaluation.results import METRICS

Metrics = Mapping[str, Mapping[str, float | None]]
"""Task -> metric -> percentage 0-100, clicks for NoC, None where a model cannot do the task."""

TITLES: Mapping[str, str] = {
    "panoptic": "Panoptic segmentation",
    "grounding": "Grounding of phrases",
    "interactive": "Interactive segmentation",
    "retrieval": "Image-text retrieval",
    "interleaved_segmentation": "Interleaved segmentation",
    "interleaved_retrieval": "Interleaved retrieval",
}

COLUMNS: Mapping[str, str] = {
    "untrained": "untrained",
    "trained": "trained now",
    "shipped": "shipped weights",
    "clip": "frozen CLIP",
}
"""Title of every column of metrics.json; terminals show the short names."""


def only_table(evaluation: Mapping[str, Mapping[str, float | None] | None] | None) -> Metrics:
    """Exactly the table's tasks and metrics out of an evaluation's JSON; None for what is not known."""
    known = evaluation or {}
    return {task: {metric: (known.get(task) or {}).get(metric) for metric in names} for task, names in METRICS.items()}


def is_percentage(metric: str) -> bool:
    """Only the number of clicks is none, and gets better as it gets lower."""
    return not metric.startswith("NoC")


def best_value(metric: str, values: Sequence[float | None]) -> float | None:
    """The best of a row's figures; None where there is nothing to choose."""
    known = [value for value in values if value is not None]
    if len(set(known)) < 2:
        return None
    return max(known) if is_percentage(metric) else min(known)


def written(value: float | None) -> str:
    """A figure as tables show it."""
    return "–" if value is None else f"{value:.1f}"


def rich_table(columns: Mapping[str, Metrics]) -> Table:
    """The table for a terminal; the best figure of every row is bold."""
    table = Table(title="Val split, percent (NoC: clicks, fewer is better)", title_style="bold")
    table.add_column("task", no_wrap=True)
    table.add_column("metric", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    for task, names in METRICS.items():
        for number, metric in enumerate(names):
            values = [metrics[task][metric] for metrics in columns.values()]
            best = best_value(metric, values)
            cells = [
                f"[bold green]{written(value)}[/]" if best is not None and value == best else written(value)
                for value in values
            ]
            table.add_row(TITLES[task] if number == 0 else "", metric, *cells)
        table.add_section()
    return table
