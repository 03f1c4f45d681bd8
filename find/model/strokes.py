"""Strokes as people give them (points, boxes, regions, bitmaps), and the bitmaps that are read of them."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool

from find.errors import FindError, InputError, check_counts
from find.images.images import read_size
from find.model.features import ImageFeatures
from find.model.one_or_many import ImageList
from find.query.entity import Region
from find.query.raster import PointXY

Point: TypeAlias = tuple[float, float]
Box: TypeAlias = tuple[float, float, float, float]
StrokeLike: TypeAlias = Region | Sequence[float] | Sequence[PointXY] | np.ndarray
"""A region of an image of the same size, (x, y), (x0, y0, x1, y1), several points, or a bool array [H, W]."""
Strokes: TypeAlias = StrokeLike | Sequence[StrokeLike]
Negatives: TypeAlias = StrokeLike | Sequence["StrokeLike | None"] | None
StrokeRow: TypeAlias = Sequence[object] | np.ndarray
"""The strokes of an image, which may be of different forms, or a stack of bitmaps."""
Size: TypeAlias = tuple[int, int]

FORMS = "a point (x, y), a box (x0, y0, x1, y1), several points [(x, y), ...], a Region or a bool array [height, width]"


def image_sizes(images: ImageList) -> list[Size]:
    """Height and width of each image."""
    return list(images.sizes) if isinstance(images, ImageFeatures) else [read_size(image) for image in images]


def is_one_stroke(stroke: object, size: Size) -> bool:
    """Whether this is a stroke on an image of this size, and no list of them; a list of points is a list."""
    if isinstance(stroke, np.ndarray):
        return stroke.ndim == 1 or (stroke.ndim == 2 and (stroke.dtype == bool or stroke.shape == size))
    if isinstance(stroke, Sequence) and not isinstance(stroke, str):
        return len(stroke) > 0 and all(isinstance(number, Real) for number in stroke)
    return isinstance(stroke, Region)


def stroke_rows(strokes: object, sizes: Sequence[Size], *, one_image: bool, what: str) -> list[StrokeRow]:
    """The strokes of each image as a list; `what` is what errors call them."""
    if one_image:
        rows: Sequence[object] = [strokes]
    elif isinstance(strokes, Sequence) or (isinstance(strokes, np.ndarray) and strokes.ndim == 4):
        rows = list(strokes)
    else:
        raise InputError(f"{what} of several images are a list with the strokes of each, not {_describe(strokes)}")
    check_counts(len(sizes), len(rows), f"list of {what}", f"lists of {what}")
    found: list[StrokeRow] = []
    for number, (row, size) in enumerate(zip(rows, sizes, strict=True)):
        if is_one_stroke(row, size):
            found.append([row])
        elif isinstance(row, np.ndarray) or (isinstance(row, Sequence) and not isinstance(row, str)):
            found.append(row)
        else:
            raise InputError(f"{what} of image {number} are {FORMS}, or a list of those, not {_describe(row)}")
    return found


def bitmaps(rows: Sequence[StrokeRow], sizes: Sequence[Size], what: str) -> list[Bool[np.ndarray, "_ _ _"]]:
    """The strokes of each image as masks of its size; a stroke of None has no pixel.

    Raises:
        InputError: a stroke of another form or size, or outside of its image; `what` is what errors call it.
    """
    return [
        _stack(row, size, f"of image {number}", what)
        for number, (row, size) in enumerate(zip(rows, sizes, strict=True))
    ]


def _stack(row: StrokeRow, size: Size, where: str, what: str) -> Bool[np.ndarray, "r H W"]:
    if isinstance(row, np.ndarray) and row.dtype == bool and row.shape[1:] == size:
        return row
    drawn = [_bitmap(stroke, size, f"{what} {number} {where}") for number, stroke in enumerate(row)]
    return np.stack(drawn) if drawn else np.zeros((0, *size), dtype=bool)


def _bitmap(stroke: object, size: Size, name: str) -> Bool[np.ndarray, "H W"]:
    if stroke is None:
        return np.zeros(size, dtype=bool)
    if isinstance(stroke, Region):
        found = stroke.bitmap()
        _check_size(found, size, name)
        return found
    if isinstance(stroke, np.ndarray) and stroke.ndim == 2 and (stroke.dtype == bool or stroke.shape == size):
        _check_size(stroke, size, name)
        return stroke != 0
    blank = np.broadcast_to(np.uint8(0), (*size, 3))  # a picture of this size, of one byte
    try:
        values = np.asarray(stroke, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.zeros(0)
    try:
        if values.shape == (4,):
            return Region(blank, box=tuple(values)).bitmap()
        if values.shape == (2,) or (values.ndim == 2 and values.shape[1] == 2 and len(values)):
            return Region(blank, points=[(x, y) for x, y in values.reshape(-1, 2).tolist()]).bitmap()
    except FindError as error:
        raise InputError(f"{name}: {str(error).partition(': ')[2]}") from error
    raise InputError(f"{name} is {_describe(stroke)}; give {FORMS}")


def _check_size(bitmap: np.ndarray, size: Size, name: str) -> None:
    if bitmap.shape != size:
        raise InputError(
            f"{name} is {bitmap.shape[1]}x{bitmap.shape[0]} pixels, its image {size[1]}x{size[0]} (width x height); "
            "a stroke has its image's size"
        )


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array {list(value.shape)} of {value.dtype}"
    return (
        repr(value)
        if isinstance(value, (int, float, str, tuple)) and len(repr(value)) < 40
        else f"a {type(value).__name__}"
    )
