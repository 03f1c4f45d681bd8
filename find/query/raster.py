"""Rasterises points, lines, boxes and polygons into bitmaps; pixel (x, y) is row y, column x."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

PointXY = tuple[float, float]


def stroke_radius(height: int, width: int) -> int:
    """Radius of a point and half-width of a scribble, in pixels of an image of this size."""
    return max(1, round(0.01 * max(height, width)))


def paint_points(height: int, width: int, points: Sequence[PointXY], radius: float) -> np.ndarray:
    """bool [height, width]: all pixels within `radius` of any of the points."""
    bitmap = np.zeros((height, width), dtype=bool)
    for point in points:
        _paint_segment(bitmap, point, point, radius)
    return bitmap


def paint_line(height: int, width: int, points: Sequence[PointXY], radius: float) -> np.ndarray:
    """bool [height, width]: all pixels within `radius` of the line that joins the points in their order."""
    bitmap = np.zeros((height, width), dtype=bool)
    for start, end in pairwise(points):
        _paint_segment(bitmap, start, end, radius)
    return bitmap


def paint_box(height: int, width: int, box: tuple[float, float, float, float]) -> np.ndarray:
    """bool [height, width]: all pixels that the half-open box [x0, x1) x [y0, y1) touches."""
    x0, y0, x1, y1 = box
    bitmap = np.zeros((height, width), dtype=bool)
    rows = slice(max(0, int(np.floor(y0))), max(0, int(np.ceil(y1))))
    columns = slice(max(0, int(np.floor(x0))), max(0, int(np.ceil(x1))))
    bitmap[rows, columns] = True
    return bitmap


def paint_polygon(height: int, width: int, points: Sequence[PointXY]) -> np.ndarray:
    """bool [height, width]: the inside and the outline of a closed polygon."""
    canvas = Image.new("1", (width, height))
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in points], fill=1, outline=1)
    return np.array(canvas, dtype=bool)


def paint_ellipse(height: int, width: int, center: PointXY, half_width: float, half_height: float) -> np.ndarray:
    """bool [height, width]: all pixels inside an upright ellipse; its half axes must be positive."""
    x, y = center
    bitmap = np.zeros((height, width), dtype=bool)
    top, left = max(0, int(y - half_height)), max(0, int(x - half_width))
    bottom, right = min(height, int(y + half_height) + 2), min(width, int(x + half_width) + 2)
    if bottom <= top or right <= left:
        return bitmap
    rows, columns = np.ogrid[top:bottom, left:right]
    bitmap[top:bottom, left:right] = ((columns - x) / half_width) ** 2 <= 1 - ((rows - y) / half_height) ** 2
    return bitmap


def _paint_segment(bitmap: np.ndarray, start: PointXY, end: PointXY, radius: float) -> None:
    """Adds the pixels within `radius` of a straight segment, looking only at the segment's surroundings."""
    height, width = bitmap.shape
    (x0, y0), (x1, y1) = start, end
    top, left = max(0, int(min(y0, y1) - radius)), max(0, int(min(x0, x1) - radius))
    bottom, right = min(height, int(max(y0, y1) + radius) + 2), min(width, int(max(x0, x1) + radius) + 2)
    if bottom <= top or right <= left:
        return
    rows, columns = np.ogrid[top:bottom, left:right]
    dx, dy = x1 - x0, y1 - y0
    along = ((columns - x0) * dx + (rows - y0) * dy) / max(dx * dx + dy * dy, 1e-12)
    along = np.clip(along, 0, 1)
    distance = (columns - x0 - along * dx) ** 2 + (rows - y0 - along * dy) ** 2
    bitmap[top:bottom, left:right] |= distance <= radius * radius
