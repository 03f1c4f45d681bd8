"""Outlines of masks as polygons along the pixels' edges, which COCO's library draws as the very same pixels.

Rings of one polygon (a hole in an object; in YOLO's rows, which have one polygon each, also further parts of it) are
joined by a cut that is traversed twice, so that it encloses nothing.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

Ring = Int[np.ndarray, "n 2"]
"""The corners (x, y) of a closed line, in pixels from the top left corner of the image."""


def single_polygon(mask: Bool[np.ndarray, "h w"]) -> Ring:
    """The outline of a mask that is not empty, as one polygon."""
    first, *others = sorted(rings(mask), key=len, reverse=True)
    for ring in others:
        first = _joined(first, ring)
    return first


def polygons(mask: Bool[np.ndarray, "h w"]) -> list[Ring]:
    """A polygon for each part of a mask, with the holes of that part."""
    found = rings(mask)
    # A ring begins at its highest corner, leftmost of these: the pixel below is in the mask, unless it is a hole's.
    outer = [ring for ring in found if mask[ring[0, 1], ring[0, 0]]]
    holes = [ring for ring in found if not mask[ring[0, 1], ring[0, 0]]]
    joined = list(outer)
    for hole in holes:
        around = [number for number, ring in enumerate(outer) if _encloses(ring, hole[0])]
        own = min(
            around, key=lambda number: np.ptp(outer[number], axis=0).prod()
        )  # a part may lie in a hole of another
        joined[own] = _joined(joined[own], hole)
    return joined


def rings(mask: Bool[np.ndarray, "h w"]) -> list[Ring]:
    """All borders of a mask: outer borders and those of holes.

    Its corners, in the order of a row of the grid, are ends of horizontal edges by twos, and likewise of vertical ones
    in a column, so that each corner has one neighbour of either kind.
    """
    corners = _corners(mask)
    beside = _partners(np.lexsort((corners[:, 0], corners[:, 1])))
    above = _partners(np.lexsort((corners[:, 1], corners[:, 0])))
    is_free = np.ones(len(corners), dtype=bool)
    found = []
    for start in range(len(corners)):
        if not is_free[start]:
            continue
        ring, place = [], start
        while is_free[place]:
            ring += [place, int(beside[place])]
            is_free[ring[-2:]] = False
            place = int(above[ring[-1]])
        found.append(corners[ring])
    return found


def _corners(mask: Bool[np.ndarray, "h w"]) -> Ring:
    """The corners (x, y) of borders; listed twice if two pixels touch only at that corner."""
    padded = np.pad(mask, 1).astype(np.int8)
    around = padded[:-1, :-1] + padded[:-1, 1:] + padded[1:, :-1] + padded[1:, 1:]
    touching = (around == 2) & (padded[:-1, :-1] == padded[1:, 1:])
    y, x = np.nonzero(around % 2 + 2 * touching)
    return np.repeat(np.stack([x, y], axis=1), np.where(touching[y, x], 2, 1), axis=0)


def _partners(order: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    partner = np.empty_like(order)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    return partner


def _encloses(ring: Ring, corner: Int[np.ndarray, " 2"]) -> bool:
    """Whether the pixel below and right of a corner lies in a ring: an odd number of its edges are left of it."""
    ends = np.roll(ring, -1, axis=0)
    is_beside = (np.minimum(ring[:, 1], ends[:, 1]) <= corner[1]) & (corner[1] < np.maximum(ring[:, 1], ends[:, 1]))
    return bool((is_beside & (ring[:, 0] <= corner[0])).sum() % 2)


def _joined(ring: Ring, other: Ring) -> Ring:
    """Joins both rings by a cut from the other's first corner to the nearest corner of this one."""
    nearest = int(np.abs(ring - other[0]).sum(axis=1).argmin())
    return np.concatenate([ring[: nearest + 1], other, other[:1], ring[nearest:]])
