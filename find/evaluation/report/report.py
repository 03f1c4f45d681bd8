"""`findvl bench report`: one self-contained HTML page of several runs side by side."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from find.data.sample import plain_name
from find.errors import DataError
from find.evaluation.protocol import Metric
from find.evaluation.report.charts import Line, line_chart
from find.evaluation.report.examples import Example, read_examples
from find.evaluation.results import PUBLISHED_TASKS, described
from find.evaluation.systems.run import RESULTS

COLORS = ("#2563eb", "#e0592a", "#16a34a", "#9333ea", "#0891b2", "#be185d", "#a16207", "#475569")
CLASS_FIGURES = {"PQ_of_class": "PQ", "AP_of_class": "AP"}
DASHES = ("", "6 4", "2 3")


@dataclass(frozen=True)
class Run:
    """One system's results, with its name and colour on the page."""

    name: str
    about: str
    source: str
    data: str
    color: str
    results: Mapping[str, Any]
    examples: Sequence[tuple[Example, bytes]]


@dataclass(frozen=True)
class Cell:
    """A formatted figure, its 95 % interval, and whether it is the best of its row."""

    text: str
    interval: str
    is_best: bool


def write_report(paths: Sequence[Path], out: Path) -> Path:
    """Writes a page that compares runs, each a folder of `findvl bench run` or a JSON of `findvl bench score`.

    Raises:
        FindError: there are no results, or they are not from this benchmark.
    """
    runs = [_read(path, COLORS[number % len(COLORS)]) for number, path in enumerate(paths)]
    environment = Environment(
        loader=PackageLoader("find.evaluation.report", package_path=""), autoescape=select_autoescape(default=True)
    )
    done = described([run.results for run in runs])
    classes = _classes(runs)
    examples = [
        {
            **{name: getattr(example, name) for name in ("task", "kind", "image_id", "score", "asked", "categories")},
            "run": number,
            "system": run.name,
            "picture": f"data:image/webp;base64,{base64.b64encode(picture).decode()}",
        }
        for number, run in enumerate(runs)
        for example, picture in run.examples
    ]
    shown = {name for block in classes for name, _ in block["rows"]}
    shown |= {name for example in examples for name in example["categories"]}
    page = environment.get_template("report.html.j2").render(
        runs=runs,
        titles={name: task.title for name, task in done.items()},
        tasks=[(name, [(one.label, _cells(runs, name, one)) for one in task.metrics]) for name, task in done.items()],
        charts=_charts(runs),
        studies=_studies(runs),
        classes=classes,
        categories=sorted(shown),
        examples=examples,
        notes=_notes(runs),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def _read(path: Path, color: str) -> Run:
    file = path / RESULTS if path.is_dir() else path
    try:
        results = json.loads(file.read_bytes())
        system, data = results["system"], results["data"]
        what = f"{data['name']}, {data['split']}, {data['images']} images"
        return Run(system["name"], system["about"], system["source"], what, color, results, read_examples(file.parent))
    except OSError as error:
        raise DataError(f"{file}: there are no results to read; give what `findvl bench run` has written") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: not a result of `findvl bench run` or `score` ({error!r})") from error


def _notes(runs: Sequence[Run]) -> list[str]:
    notes = [f"{run.name}: {note}" for run in runs for note in run.results.get("notes", [])]
    if len({run.data for run in runs}) > 1:
        notes.insert(0, "These runs are on different data: compare figures only where the data are the same.")
    return notes


def _cells(runs: Sequence[Run], task: str, metric: Metric) -> list[Cell]:
    values = [(run.results.get(task) or {}).get(metric.name) for run in runs]
    asked_alike = len({run.data for run, value in zip(runs, values, strict=True) if value is not None}) == 1
    best = metric.best(values) if asked_alike else None  # figures on different data must not be compared
    cells = []
    for run, value in zip(runs, values, strict=True):
        interval = run.results.get("intervals", {}).get(task, {}).get(metric.name)
        cells.append(_cell(value, interval, metric.digits, best is not None and value == best))
    return cells


def _charts(runs: Sequence[Run]) -> list[dict[str, Any]]:
    charts = []
    for task, about in described([run.results for run in runs]).items():
        lines = []
        for run in runs:
            for number, (name, curve) in enumerate(run.results.get("curves", {}).get(task, {}).items()):
                label = run.name if name in ("all", "one click") else f"{run.name}, {name}"
                lines.append(Line(label, curve["x"], curve["y"], run.color, DASHES[number % len(DASHES)]))
        if lines and about.chart is not None:
            svg = line_chart(lines, about.chart.axis)
            charts.append({"task": task, "title": about.chart.title, "svg": svg, "lines": lines})
    return charts


def _studies(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A table for each study of each run: the variants of the interleaved tasks, and probes."""
    tables = []
    for run in runs:
        for task, rows in (run.results.get("variants") or {}).items():
            if rows:
                title = f"{PUBLISHED_TASKS[task].title}, all variants: {run.name}"
                body = [
                    (f"{r['name']}{' (as published)' if r['published'] else ''}", r["figures"], r["intervals"])
                    for r in rows
                ]
                tables.append(_table(task, title, body))
        probes = run.results.get("probes")
        if probes:
            body = [(name, figures, probes["intervals"].get(name, {})) for name, figures in probes["figures"].items()]
            title = f"Probes, fraction of true sentences that win: {run.name}"
            tables.append(_table("interleaved_retrieval", title, body))
    return tables


def _table(task: str, title: str, body: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for _, figures, _ in body for name in figures))
    rows = [(label, [_cell(figures.get(n), intervals.get(n), 1) for n in names]) for label, figures, intervals in body]
    return {"task": task, "title": title, "names": names, "rows": rows}


def _cell(value: float | None, interval: Sequence[float] | None, digits: int, is_best: bool = False) -> Cell:
    text = "–" if value is None else f"{value:.{digits}f}"
    ends = "" if value is None or interval is None else f"{interval[0]:.{digits}f} – {interval[1]:.{digits}f}"
    return Cell(text, ends, is_best)


def _classes(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For PQ and AP: each category with one bar per run, sorted by the first run's figure."""
    blocks = []
    for key, metric in CLASS_FIGURES.items():
        found: dict[str, list[dict[str, Any]]] = {}
        for number, run in enumerate(runs):
            for name, value in (run.results.get("details", {}).get("panoptic", {}).get(key) or {}).items():
                bar = {"run": number, "color": run.color, "value": value}
                found.setdefault(plain_name(name), []).append(bar)
        if found:
            rows = sorted(found.items(), key=lambda item: (-item[1][0]["value"], item[0]))
            blocks.append({"metric": metric, "rows": rows})
    return blocks
