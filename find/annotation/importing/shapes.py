"""Polygons of the shapes in annotation tools, and objects that consist of several shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as rle

from find.data.outlines import draw

ROUND = 64
"""Corners of the polygon that approximates an ellipse, within a thousandth of its radius."""


def rectangle(x0: float, y0: float, x1: float, y1: float) -> list[float]:
    """The polygon of a box by two opposite corners."""
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0.0) -> list[float]:
    """The polygon of an ellipse around a centre, rotated clockwise as displayed."""
    corners: list[float] = []
    turn = math.radians(degrees)
    for step in range(ROUND):
        angle = 2 * math.pi * step / ROUND
        across, down = radius_x * math.cos(angle), radius_y * math.sin(angle)
        corners += [
            x + across * math.cos(turn) - down * math.sin(turn),
            y + across * math.sin(turn) + down * math.cos(turn),
        ]
    return corners


def turned(polygon: Sequence[float], x: float, y: float, degrees: float) -> list[float]:
    """A polygon rotated clockwise around a point."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners: list[float] = []
    for px, py in zip(polygon[::2], polygon[1::2], strict=True):
        corners += [x + (px - x) * cosine - (py - y) * sine, y + (px - x) * sine + (py - y) * cosine]
    return corners


def run_lengths(mask: Bool[np.ndarray, "h w"]) -> dict[str, Any]:
    """A mask as COCO's compressed run-length code."""
    code = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(code["size"]), "counts": code["counts"].decode()}


def placed(mask: Bool[np.ndarray, "h w"], left: int, top: int, size: tuple[int, int]) -> dict[str, Any]:
    """The code of a full-size mask from a mask of a part of the image; pixels outside the image are dropped."""
    whole = np.zeros(size, bool)
    y0, x0 = max(top, 0), max(left, 0)
    part = mask[y0 - top : size[0] - top, x0 - left : size[1] - left]
    whole[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
    return run_lengths(whole)


def union(parts: Sequence[Any], size: tuple[int, int]) -> Any:
    """Merges several parts of an object into one segmentation. Raises ValueError as `draw` does."""
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, list) for part in parts):
        return [polygon for part in parts for polygon in part]
    code = rle.merge([draw(part, size).code for part in parts])
    return {"size": list(size), "counts": code["counts"].decode()}
