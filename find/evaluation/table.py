"""The table of metrics: its content, the order of columns, and the format of figures."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from find.evaluation.results import METRICS, PUBLISHED_TASKS

Metrics = Mapping[str, Mapping[str, float | None]]
"""Task -> metric -> percentage 0-100, clicks for NoC, None if the model does not support the task."""

COLUMNS: Mapping[str, str] = {
    "untrained": "untrained",
    "trained": "trained now",
    "shipped": "shipped weights",
    "clip": "frozen CLIP",
}
"""Title of every column of metrics.json; terminals show the short names."""


def only_table(evaluation: Mapping[str, Mapping[str, float | None] | None] | None) -> Metrics:
    """The table's tasks and metrics from an evaluation's JSON; None for missing ones."""
    known = evaluation or {}
    return {task: {metric: (known.get(task) or {}).get(metric) for metric in names} for task, names in METRICS.items()}


def rich_table(columns: Mapping[str, Metrics]) -> Table:
    """The table for a terminal; the best figure of every row is bold."""
    table = Table(title="Val split, percent unless noted", title_style="bold")
    table.add_column("task")
    table.add_column("metric")
    for name in columns:
        # In a narrow terminal the metrics' names wrap: figures and the words of heads are never cut.
        table.add_column(name, justify="right", min_width=max(map(len, [*name.split(), "100.00"])))
    for name, task in PUBLISHED_TASKS.items():
        for number, metric in enumerate(task.metrics):
            values = [metrics[name][metric.name] for metrics in columns.values()]
            best = metric.best(values)
            cells = [
                f"[bold green]{metric.written(value)}[/]"
                if best is not None and value == best
                else metric.written(value)
                for value in values
            ]
            table.add_row(task.title if number == 0 else "", metric.label, *cells)
        table.add_section()
    return table
