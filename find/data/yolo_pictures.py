"""The pictures of a YOLO data set with their outlines, and the segment maps drawn from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.outlines import draw
from find.data.sample import Segment
from find.data.yolo_files import BoxRow, PolygonRow, YoloConfig, label_file, read_rows
from find.errors import FindError
from find.images.images import read_size

THIN = 16
"""Outlines with fewer pixels than this, or with fewer pixels that are surely visible, are drawn to check whether any
pixel is visible."""


@dataclass(frozen=True)
class YoloPicture:
    """A picture and its objects, numbered from 1 in the order of their rows."""

    path: Path
    name: str  # below the root, with / between folders
    size: tuple[int, int]
    rows: tuple[PolygonRow, ...]

    def outline(self, row: PolygonRow) -> Float[np.ndarray, "points 2"]:
        """x and y in pixels."""
        return row.outline * (self.size[1], self.size[0])

    def segments(self) -> tuple[Segment, ...]:
        """The segments, with areas and boxes of the outlines; the category is the class number."""
        found = []
        for number, row in enumerate(self.rows, start=1):
            outline = self.outline(row)
            left, top = np.rint(outline.min(axis=0)).astype(int).tolist()
            right, bottom = np.rint(outline.max(axis=0)).astype(int).tolist()
            box = left, top, max(1, right - left), max(1, bottom - top)
            found.append(Segment(number, row.number, max(1, round(_area(outline))), box))
        return tuple(found)

    def segment_map(self) -> Int[np.ndarray, "h w"]:
        """Numbers of the objects, 0 = none. If outlines overlap, the smaller one is on top.

        Raises:
            ValueError: an outline cannot be drawn.
        """
        from pycocotools import mask as rle

        result = np.zeros(self.size, np.int32)
        outlines = [self.outline(row) for row in self.rows]
        for k in sorted(range(len(outlines)), key=lambda k: -_area(outlines[k])):
            code = draw([outlines[k].ravel().tolist()], self.size).code
            result[rle.decode(code).astype(bool)] = k + 1
        return result


def read_split(root: Path, split: str, report: Report) -> tuple[list[YoloPicture], YoloConfig]:
    """The pictures of a split with their valid rows; others are reported.

    Raises:
        DataError: there is no data.yaml, or no such split.
    """
    config = YoloConfig.read(root)
    found = []
    for path in config.pictures(split):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        try:
            size = read_size(path)
        except FindError as error:
            fix = "Put the picture back, or remove it"
            report(DatasetIssue(Severity.ERROR, "broken picture", name, "the picture", str(error), fix))
            continue
        labels = f"labels of {name}"
        rows = read_rows(label_file(path), labels, config.names, report, has_keypoints=config.has_keypoints)
        outlines = tuple(_outlines(rows, labels, report))
        found.append(_visible(YoloPicture(path, name, size, outlines), report))
    return found, config


def _outlines(rows: Sequence[PolygonRow | BoxRow], file: str, report: Report) -> Iterator[PolygonRow]:
    """The rows with an outline; others are reported."""
    for row in rows:
        if isinstance(row, PolygonRow):
            yield row
        else:
            message, fix = "a box alone is not a segment", "Draw the object's outline, or export as segmentation"
            report(DatasetIssue(Severity.WARNING, "box without outline", file, row.item, message, fix))


def _visible(picture: YoloPicture, report: Report) -> YoloPicture:
    """The picture without hidden objects; it is drawn only if there may be such objects."""
    outlines = [picture.outline(row) for row in picture.rows]
    areas = np.array([_area(outline) for outline in outlines])
    if not len(areas) or (areas - _covered(outlines, areas) >= THIN).all():
        return picture
    rows = []
    for row in picture.rows:
        try:
            drawn = draw([picture.outline(row).ravel().tolist()], picture.size)
        except ValueError as problem:
            _report(picture, row, "outline without area", str(problem), report)
            continue
        if drawn.pixels:
            rows.append(row)
        else:
            _report(picture, row, "outline without area", "its outline holds no pixel", report)
    kept = replace(picture, rows=tuple(rows))
    there = set(np.unique(kept.segment_map()).tolist())
    seen = []
    for number, row in enumerate(kept.rows, start=1):
        if number in there:
            seen.append(row)
        else:
            _report(picture, row, "hidden object", "smaller objects lie on all of it", report)
    return replace(picture, rows=tuple(seen))


def _report(picture: YoloPicture, row: PolygonRow, kind: str, message: str, report: Report) -> None:
    fix = "Correct the outline, or take the row out"
    report(DatasetIssue(Severity.WARNING, kind, f"labels of {picture.name}", row.item, message, fix))


def _covered(outlines: Sequence[np.ndarray], areas: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """An upper bound, by boxes, of the pixels of each outline that are hidden by smaller ones."""
    low, high = (np.array([edge(outline, axis=0) for outline in outlines]) for edge in (np.min, np.max))
    sides = np.clip(np.minimum(high[:, None], high) - np.maximum(low[:, None], low), 0, None)
    smaller = areas[None] <= areas[:, None]
    np.fill_diagonal(smaller, False)
    return (sides.prod(axis=2) * smaller).sum(axis=1)


def _area(outline: Float[np.ndarray, "points 2"]) -> float:
    """The area of an outline in pixels (shoelace formula)."""
    x, y = outline.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
