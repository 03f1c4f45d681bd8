"""The report of the main job: one HTML file that holds its pictures and needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, select_autoescape
from PIL import Image

from find.evaluation.protocol import Metric
from find.evaluation.results import PUBLISHED_TASKS
from find.evaluation.table import COLUMNS, Metrics
from find.query.query import Phrase, Query, Region
from find.visualization.drawing import crop_region, entity_color, hex_color


@dataclass(frozen=True)
class Answer:
    """One image that a search gave: its picture with the grounded entities drawn, and how it scored."""

    picture: Image.Image
    name: str
    rank: int
    score: float
    image_term: float | None
    entity_terms: tuple[float, ...]
    is_correct: bool


@dataclass(frozen=True)
class Example:
    """An interleaved query with its best answers.

    missed: the right image, where it is not among the answers; its rank says how far down it stands.
    """

    query: Query
    answers: Sequence[Answer]
    missed: Answer | None = None


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    columns: name of a column of the table -> its metrics.
    facts: short sentences under the headline.
    notes: what has to be known of the figures, under their table.
    pictures: title -> picture, such as the loss curves and the contact sheet.
    seconds: part of the main job -> how long it took.
    """

    headline: str
    facts: Sequence[str]
    columns: Mapping[str, Metrics]
    examples: Sequence[Example]
    notes: Sequence[str] = ()
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _QueryPart:
    """A piece of a query; an entity has a number (from 1), a colour, and a thumbnail if it is a region."""

    text: str
    number: int | None = None
    color: str | None = None
    thumbnail: str | None = None


@dataclass(frozen=True)
class _Cell:
    text: str
    share: float | None
    is_best: bool


def write_report(report: Report, path: Path) -> Path:
    """Writes the page; returns its path."""
    environment = Environment(
        loader=PackageLoader("find.quickstart", package_path=""), autoescape=select_autoescape(default=True)
    )
    environment.filters["data_uri"] = data_uri
    environment.globals["tint"] = lambda number: hex_color(entity_color(number))
    page = environment.get_template("report.html.j2").render(
        report=report,
        columns=[COLUMNS.get(name, name) for name in report.columns],
        tasks=[
            (task.title, [(metric.label, _cells(name, metric, report.columns)) for metric in task.metrics])
            for name, task in PUBLISHED_TASKS.items()
        ],
        examples=[(example, query_parts(example.query)) for example in report.examples],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def query_parts(query: Query) -> list[_QueryPart]:
    """The query in order: connecting words, phrases in their colour, regions as thumbnails."""
    parts: list[_QueryPart] = []
    number = 0
    for part in query.parts:
        if isinstance(part, str):
            parts.append(_QueryPart(part))
            continue
        color = entity_color(number)
        number += 1
        thumbnail = None
        if isinstance(part, Region):
            thumbnail = data_uri(crop_region(part.pixels(), part.bitmap(), side=112, color=color))
        text = part.text if isinstance(part, Phrase) else part.name
        parts.append(_QueryPart(text, number, hex_color(color), thumbnail))
    return parts


def data_uri(image: Image.Image, *, lossless: bool = False) -> str:
    """The image as text that a page can hold."""
    buffer = io.BytesIO()
    if lossless:
        image.save(buffer, "PNG", optimize=True)
    else:
        image.convert("RGB").save(buffer, "JPEG", quality=86)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _cells(task: str, metric: Metric, columns: Mapping[str, Metrics]) -> list[_Cell]:
    values = [metrics[task][metric.name] for metrics in columns.values()]
    best = metric.best(values)
    return [
        _Cell(
            text=metric.written(value),
            share=max(0.0, min(100.0, value)) if value is not None and metric.unit == "%" else None,
            is_best=best is not None and value == best,
        )
        for value in values
    ]
