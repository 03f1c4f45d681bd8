"""Exact metrics of interactive segmentation: number of clicks to an IoU, and IoU after a number of clicks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from find.errors import InputError
from find.evaluation.confidence import SEED, Intervals, bootstrap, named_intervals, shares, sums_of_images

GOOD, VERY_GOOD = 0.85, 0.90
"""IoU thresholds of NoC@85 and NoC@90."""


def clicks_needed(ious: Sequence[Sequence[float]], threshold: float, limit: int) -> float:
    """NoC: mean number of clicks until an object's mask has IoU >= `threshold`.

    `ious[i][k]` is the IoU of object i after k + 1 clicks. As usual, an object that does not reach the threshold within
    `limit` clicks counts as `limit`. Raises `FindError` if there are no objects.
    """
    if not len(ious):
        raise InputError("no object was clicked, so the number of clicks has no mean")
    return sum(_clicks(track, threshold, limit) for track in ious) / len(ious)


def iou_after(ious: Sequence[Sequence[float]], clicks: int) -> float:
    """Mean IoU (0 to 1) after this many clicks; if the user stopped earlier, the last IoU counts."""
    if not len(ious):
        raise InputError("no object was clicked, so its IoU has no mean")
    return math.fsum(track[min(clicks, len(track)) - 1] for track in ious) / len(ious)


def click_intervals(
    image_ids: Sequence[int],
    ious: Sequence[Sequence[float]],
    thresholds: Mapping[str, float],
    limit: int,
    *,
    seed: int = SEED,
) -> Intervals:
    """95 % intervals of NoC at several IoUs, by name; `image_ids[i]` is the image of object i."""
    counts = [np.array([_clicks(track, threshold, limit) for track in ious]) for threshold in thresholds.values()]
    statistics = sums_of_images(np.asarray(image_ids, np.int64), [*counts, np.ones(len(ious))])
    return named_intervals(list(thresholds), bootstrap(statistics, shares, seed=seed), factor=1)


def _clicks(track: Sequence[float], threshold: float, limit: int) -> int:
    reached = (number for number, iou in enumerate(track[:limit], start=1) if iou >= threshold)
    return next(reached, limit)
