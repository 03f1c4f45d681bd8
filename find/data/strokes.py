"""Simulated strokes, sampled from masks for training, and the next click of a simulated user."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import numpy as np

from find.errors import InputError
from find.query.raster import (
    PointXY,
    paint_box,
    paint_ellipse,
    paint_line,
    paint_points,
    paint_polygon,
    stroke_radius,
)

GRID = 48
"""Number of rows and columns to which large masks are subsampled in training."""


class StrokeKind(str, Enum):
    """Kinds of strokes: the first three stay inside the object, the others are drawn around it and filled."""

    MASK = "mask"
    POINT = "point"
    SCRIBBLE = "scribble"
    BOX = "box"
    CIRCLE = "circle"
    POLYGON = "polygon"


class Click(NamedTuple):
    """A click as a bitmap, bool [H, W]; positive clicks extend the mask, negative ones reduce it."""

    stroke: np.ndarray
    is_positive: bool


class Stroke(NamedTuple):
    """A stroke on a part of an image; the rest is empty."""

    top: int
    left: int
    bitmap: np.ndarray  # bool [h, w]

    def paint(self, canvas: np.ndarray) -> None:
        """Sets its part of a bool [H, W]."""
        height, width = self.bitmap.shape
        canvas[self.top : self.top + height, self.left : self.left + width] = self.bitmap


def draw_stroke(
    index: np.ndarray, number: int, box: tuple[int, int, int, int], kind: StrokeKind, rng: np.random.Generator
) -> Stroke:
    """A random stroke for the pixels of `index` [H, W] equal to `number`, all in `box` (x, y, width, height).

    Like `sample_stroke`, but restricted to the surroundings of the box, and with large masks subsampled.
    """
    height, width = index.shape
    x, y, w, h = box
    radius = stroke_radius(height, width)
    reach = (w + h) // 4 + radius + 2  # only rare polygons of asymmetric masks extend farther: they are clipped
    top, left = max(0, y - reach), max(0, x - reach)
    mask = index[top : y + h + reach, left : x + w + reach] == number
    stroke = sample_stroke(mask, kind, rng, radius=radius, grid=GRID)
    x0, y0, x1, y1 = _bounds(stroke)  # zero-initialised memory is not written again
    return Stroke(top + y0, left + x0, stroke[y0:y1, x0:x1])


def sample_stroke(
    mask: np.ndarray,
    kind: StrokeKind,
    rng: np.random.Generator,
    *,
    radius: int | None = None,
    grid: int | None = None,
) -> np.ndarray:
    """A random stroke that a user could draw to mark the mask: bool [H, W], never empty.

    Points and scribbles have the same width as in `find.query.query.Region`, and prefer the interior of the mask to its
    rim. Boxes are off by up to a tenth of the object's size on each side; circles and polygons are similarly imprecise.

    Args:
        mask: bool [H, W].
        kind: the kind of stroke.
        rng: the only source of randomness.
        radius: radius of points and scribbles; by default as for an image of the mask's size.
        grid: compute depths and outlines from about this many rows and columns of the mask, which is faster; None: from
            every pixel.

    Raises:
        FindError: the mask is empty.
    """
    if not mask.any():
        raise InputError("no stroke can be drawn for an empty mask; leave out segments without pixels")
    if kind is StrokeKind.MASK:
        return mask.astype(bool)
    height, width = mask.shape
    radius = stroke_radius(height, width) if radius is None else radius
    if kind is StrokeKind.POINT:
        return mask & paint_points(height, width, _deep_pixels(mask, 1, grid, rng), radius)
    if kind is StrokeKind.SCRIBBLE:
        return mask & paint_line(height, width, _curve(_deep_pixels(mask, 3, grid, rng)), radius)
    if kind is StrokeKind.POLYGON:
        return paint_polygon(height, width, _lasso(mask, grid, rng))
    x0, y0, x1, y1 = _bounds(mask)
    if kind is StrokeKind.BOX:
        reach = 0.1 * np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0])
        return paint_box(height, width, tuple(np.array([x0, y0, x1, y1]) + rng.uniform(-reach, reach)))
    # Between the ellipse that touches the sides of the bounding box and the one that holds its corners.
    half_width, half_height = 0.5 * np.array([x1 - x0, y1 - y0]) * rng.uniform(1.0, np.sqrt(2), size=2)
    center = ((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2)
    # An ellipse one pixel wide would miss every pixel centre when its own centre lies between two of them.
    return paint_ellipse(height, width, center, max(1.0, half_width), max(1.0, half_height))


def next_click(prediction: np.ndarray, target: np.ndarray, clicked: np.ndarray) -> Click | None:
    """The next click of a user who wants `target`, given `prediction`.

    Of the false negative pixels or, if these are not more, the false positive ones, without those already clicked: the
    innermost pixel (by Euclidean distance to the outside; the first in reading order), dilated to 3 x 3 pixels. This is
    the 'best' mode of the interactive protocol of SEEM and FIND.

    Args:
        prediction, target: bool [H, W].
        clicked: bool [H, W], all earlier clicks together, positive and negative.

    Returns:
        The click, or None if there is nothing to correct.
    """
    missing = target & ~prediction & ~clicked
    superfluous = prediction & ~target & ~clicked
    is_positive = np.count_nonzero(missing) > np.count_nonzero(superfluous)
    wrong = missing if is_positive else superfluous
    if not wrong.any():
        return None
    x0, y0, x1, y1 = _bounds(wrong)  # there are no errors outside it, so depths are the whole picture's
    row, column = np.unravel_index(np.argmax(_depth(wrong[y0:y1, x0:x1])), (y1 - y0, x1 - x0))
    row, column = row + y0, column + x0
    stroke = np.zeros(wrong.shape, dtype=bool)
    stroke[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
    return Click(stroke, bool(is_positive))


def _depth(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel of the mask to the nearest pixel outside it; the border of the image counts as outside."""
    from scipy import ndimage  # slow to import, and not needed to load models

    return ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Half-open bounding box (x0, y0, x1, y1)."""
    rows = np.flatnonzero(mask.any(axis=1))
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[y0:y1].any(axis=0))
    return int(columns[0]), y0, int(columns[-1]) + 1, y1


class _Grid(NamedTuple):
    """A subsampled bounding box of a mask; `mask[row, column]` is pixel (x0 + step column, ...)."""

    mask: np.ndarray
    x0: int
    y0: int
    step: int


def _thinned(mask: np.ndarray, grid: int | None, rng: np.random.Generator) -> _Grid:
    """About `grid` rows and columns of a mask, or all of them; its offset is random, so any pixel may be on it."""
    x0, y0, x1, y1 = _bounds(mask)
    step = 1 if grid is None else max(1, max(x1 - x0, y1 - y0) // grid)
    if step > 1:
        dx, dy = rng.integers(step, size=2).tolist()
        thinned = mask[y0 + dy : y1 : step, x0 + dx : x1 : step]
        if thinned.any():  # a thin mask may lie between grid lines
            return _Grid(thinned, x0 + dx, y0 + dy, step)
    return _Grid(mask[y0:y1, x0:x1], x0, y0, 1)


def _deep_pixels(mask: np.ndarray, count: int, grid: int | None, rng: np.random.Generator) -> list[PointXY]:
    """Random pixels of the mask, weighted by depth."""
    part, x0, y0, step = _thinned(mask, grid, rng)
    weights = np.cumsum(_depth(part))
    chosen = np.searchsorted(weights, rng.uniform(0, weights[-1], size=count), side="right")
    rows, columns = np.divmod(chosen, part.shape[1])
    return list(zip((x0 + step * columns).tolist(), (y0 + step * rows).tolist(), strict=True))


def _curve(points: list[PointXY]) -> list[PointXY]:
    """The parabola through three points, as a line of 12 pieces that passes through them exactly."""
    start, middle, end = np.asarray(points, dtype=float)
    t = np.linspace(0, 1, 13)[:, None]
    curve = start * (1 - t) * (1 - 2 * t) + middle * 4 * t * (1 - t) + end * t * (2 * t - 1)
    return [(float(x), float(y)) for x, y in curve]


def _lasso(mask: np.ndarray, grid: int | None, rng: np.random.Generator) -> list[PointXY]:
    """A rough outline: the farthest pixel of the mask in each of about a dozen directions from its centre."""
    part, x0, y0, step = _thinned(mask, grid, rng)
    rows, columns = np.nonzero(part)
    rows, columns = y0 + step * rows, x0 + step * columns
    x, y = columns.mean(), rows.mean()
    corners = int(rng.integers(8, 17))
    offset = rng.uniform(0, 2 * np.pi)
    angles = np.arctan2(rows - y, columns - x) - offset
    sectors = np.round(angles / (2 * np.pi) * corners).astype(int) % corners
    radii = np.ones(corners)
    np.maximum.at(radii, sectors, np.hypot(rows - y, columns - x))
    radii *= rng.uniform(0.95, 1.2, size=corners)
    directions = offset + 2 * np.pi * np.arange(corners) / corners
    return [(x + r * np.cos(a), y + r * np.sin(a)) for r, a in zip(radii, directions, strict=True)]
