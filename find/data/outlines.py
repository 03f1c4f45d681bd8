"""Validates and draws masks in COCO's formats: polygons, and compressed or uncompressed run-length codes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from find.data.records import brief
from find.images.rle import checked_runs

POINTS = 6
"""Minimum length of a polygon: three points. Two points are a line, not a box."""


class NoMask(ValueError):
    """The object has no mask, or one outside the image."""


@dataclass(frozen=True)
class Outline:
    """An object's mask.

    Attributes:
        code: COCO's compressed run-length code, which JSON can hold.
        pixels: number of its pixels; COCO's own polygons may be too thin for one.
        largest: area of its bounding box in pixels, the upper bound of a plausible area.
        lines: number of omitted polygon parts with only one or two points.
    """

    code: dict[str, Any]
    pixels: int
    largest: float
    lines: int = 0


def draw(segmentation: Any, size: tuple[int, int]) -> Outline:
    """The mask of an object in an image of `size` (height, width).

    Polygons may be a list of them, a single one, or lists of [x, y] pairs.

    Raises:
        NoMask: there is no mask, or it covers no pixel of the image.
        ValueError: it is neither polygons nor a run-length code of this image; the message says what is wrong.
    """
    if segmentation is None or segmentation in ([], {}):
        raise NoMask("it has no mask")
    if isinstance(segmentation, dict):
        return _from_runs(segmentation, size)
    if not isinstance(segmentation, list):
        raise ValueError(f"the segmentation is {brief(segmentation)}, neither polygons nor a run-length code")
    return _from_polygons(segmentation, size)


def compressed(segmentation: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """A validated run-length code with compressed counts, the only form that COCO's library takes."""
    if isinstance(segmentation["counts"], str):
        return {"size": list(size), "counts": segmentation["counts"]}
    from pycocotools import mask as rle

    code = rle.frPyObjects({"size": list(size), "counts": list(segmentation["counts"])}, *size)
    return {"size": list(size), "counts": code["counts"].decode()}


def _from_runs(segmentation: dict[str, Any], size: tuple[int, int]) -> Outline:
    from pycocotools import mask as rle

    pixels = int(checked_runs(segmentation, size)[1::2].sum())
    if not pixels:
        raise NoMask("its mask has no pixel")
    code = compressed(segmentation, size)
    _, _, width, height = rle.toBbox(code)
    return Outline(code, pixels, float(width * height))


def _from_polygons(segmentation: list[Any], size: tuple[int, int]) -> Outline:
    from pycocotools import mask as rle

    given = [polygon for polygon in _polygons(segmentation) if polygon]
    polygons = [polygon for polygon in given if len(polygon) >= POINTS]
    if not given:
        raise NoMask("it has no mask")
    if not polygons:
        raise NoMask(f"its polygon has {len(given[0]) // 2} points only, which enclose nothing")
    _check_places(polygons, size)
    boxes = [_box(polygon) for polygon in polygons]
    height, width = size
    if not any(x1 > 0 and y1 > 0 and x0 < width and y0 < height for x0, y0, x1, y1 in boxes):
        raise NoMask(f"its polygon lies outside the image, which is {width} x {height}")
    if not any(_encloses(polygon) for polygon in polygons):
        raise NoMask("its polygon encloses nothing")
    if all(0 <= value <= 1 for polygon in polygons for value in polygon):
        raise NoMask("its coordinates lie between 0 and 1, as shares of the sides do; they must be pixels")
    code = rle.merge(rle.frPyObjects(polygons, height, width))
    x0, y0, x1, y1 = (edge(values) for edge, values in zip((min, min, max, max), zip(*boxes, strict=True), strict=True))
    largest = (min(x1, width) - max(x0, 0) + 1) * (min(y1, height) - max(y0, 0) + 1)
    counts = code["counts"].decode()
    return Outline(
        {"size": [height, width], "counts": counts}, int(rle.area(code)), largest, len(given) - len(polygons)
    )


def _polygons(segmentation: list[Any]) -> list[list[float]]:
    """Polygons as flat lists of x, y, x, y; ValueError for invalid values."""
    if all(_is_number(value) for value in segmentation):
        segmentation = [segmentation]
    elif all(isinstance(value, list) and len(value) == 2 for value in segmentation) and len(segmentation) > 2:
        segmentation = [segmentation]  # one polygon of pairs; as polygons, they would have one point each
    polygons = []
    for part in segmentation:
        if not isinstance(part, list):
            raise ValueError(f"a polygon is {brief(part)}, not a list of numbers")
        if part and all(isinstance(pair, list) and len(pair) == 2 for pair in part):
            part = list(itertools.chain.from_iterable(part))
        wrong = next((value for value in part if not _is_number(value)), None)
        if wrong is not None or None in part:
            raise ValueError(f"a polygon holds {brief(wrong)}, not a number")
        if len(part) % 2:
            raise ValueError(f"a polygon has {len(part)} numbers; x and y make it an even number")
        polygons.append(part)
    return polygons


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _check_places(polygons: list[list[float]], size: tuple[int, int]) -> None:
    """Rejects far-away points: the library walks along every edge, so a typo could exhaust memory."""
    far = 16 * max(size) + 1000
    for polygon in polygons:
        worst = max(polygon, key=abs)
        if abs(worst) > far:
            raise ValueError(f"a polygon has a point at {brief(worst)}, far from the image of {size[1]} x {size[0]}")


def _box(polygon: list[float]) -> tuple[float, float, float, float]:
    return min(polygon[::2]), min(polygon[1::2]), max(polygon[::2]), max(polygon[1::2])


def _encloses(polygon: list[float]) -> bool:
    """Whether its points do not all lie on one line."""
    points = np.array(polygon, np.float64).reshape(-1, 2)
    offsets = points - points[0]
    along = offsets[np.abs(offsets).sum(axis=1).argmax()]
    return bool((np.abs(offsets[:, 0] * along[1] - offsets[:, 1] * along[0]) > 1e-9).any())
