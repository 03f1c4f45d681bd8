"""Areas, boxes and indices of the segments of a panoptic map, computed from runs of equal pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ID_RANGE = 1 << 24
"""Upper bound of segment ids: R + 256 G + 65536 B of a PNG's colour."""
Box = tuple[int, int, int, int]
"""x, y, width, height in pixels; all zero for a segment without pixels."""


@dataclass(frozen=True)
class Located:
    """Areas, boxes and index map of the segments of a map."""

    index: np.ndarray  # int16 [H, W]: position in the list of segments, -1 for ids that are not in it
    areas: list[int]
    boxes: list[Box]


def locate(segment_map: np.ndarray, segment_ids: np.ndarray) -> Located:
    """Looks up runs of equal pixels instead of pixels: thousands instead of hundreds of thousands in a photo."""
    height, width = segment_map.shape
    starts, lengths = _runs(segment_map, width)
    found = _positions(segment_map.ravel()[starts], segment_ids)
    index = np.repeat(found, lengths).reshape(height, width)
    areas, boxes = [0] * len(segment_ids), [(0, 0, 0, 0)] * len(segment_ids)
    order = np.argsort(found, kind="stable")  # reading order within each segment
    order = order[found[order] >= 0]
    if len(order):
        numbers, firsts = np.unique(found[order], return_index=True)
        rows, left = np.divmod(starts[order], width)
        x0 = np.minimum.reduceat(left, firsts).tolist()
        x1 = np.maximum.reduceat(left + lengths[order], firsts).tolist()
        y0 = rows[firsts].tolist()
        y1 = rows[np.append(firsts[1:], len(order)) - 1].tolist()
        pixels = np.add.reduceat(lengths[order], firsts).tolist()
        for place, number in enumerate(numbers.tolist()):
            areas[number] = pixels[place]
            boxes[number] = (x0[place], y0[place], x1[place] - x0[place], y1[place] + 1 - y0[place])
    return Located(index, areas, boxes)


def segment_index(segment_map: np.ndarray, segment_ids: np.ndarray) -> np.ndarray:
    """Index of each pixel's id in `segment_ids`: int16 [H, W], -1 for other ids."""
    starts, lengths = _runs(segment_map)
    found = _positions(segment_map.ravel()[starts], segment_ids)
    return np.repeat(found, lengths).reshape(segment_map.shape)


def unlisted_ids(segment_map: np.ndarray, segment_ids: np.ndarray) -> np.ndarray:
    """The ids in a segment map (except void) that are not in `segment_ids`, sorted."""
    values = segment_map.ravel()[_runs(segment_map)[0]]
    return np.unique(values[(values != 0) & (_positions(values, segment_ids) < 0)])


def _positions(values: np.ndarray, segment_ids: np.ndarray) -> np.ndarray:
    """The index of each value in `segment_ids`: int16, -1 if missing."""
    order = np.argsort(segment_ids)
    ordered = np.append(segment_ids[order], np.int32(ID_RANGE))
    place = np.searchsorted(ordered, values)
    return np.where(ordered[place] == values, np.append(order, -1)[place], -1).astype(np.int16)


def _runs(values: np.ndarray, width: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Starts and lengths of runs of equal numbers in reading order; runs end after each `width`, if given."""
    flat = values.ravel()
    changes = flat[1:] != flat[:-1]
    if width is not None:
        changes[width - 1 :: width] = True
    starts = np.append(0, np.flatnonzero(changes) + 1)
    return starts, np.diff(starts, append=flat.size)
