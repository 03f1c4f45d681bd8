"""Removes duplicates: of several labels of one object, the most probable one is used, and the others are counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from pycocotools import mask as rle

from find.annotation.labelling.labels import Label
from find.model.find_all import SAME

ONE_OBJECT = 0.7
"""Intersection over union from which labels of two classes are one object. Parts ("a wheel") of an object ("a car")
share all of their pixels with it and stay."""


def without_repeats(found: Sequence[Label]) -> list[Label]:
    """Labels of a photograph, likeliest first, without those that show what a likelier one of their class shows.

    Queries of one class are compared as instances of one query are: by the share of the smaller mask.
    """
    ordered = sorted(found, key=lambda one: -one.score)
    shared = _shares_of_smaller(ordered)
    kept: list[int] = []
    for number, label in enumerate(ordered):
        if not any(ordered[k].category == label.category and shared[number, k] >= SAME for k in kept):
            kept.append(number)
    return [ordered[k] for k in kept]


def across_classes(found: Sequence[Label]) -> tuple[list[Label], list[tuple[Label, Label]]]:
    """Labels of a photograph, each object once, by its likeliest label; and the pairs of (kept, left out) labels."""
    ordered = sorted(found, key=lambda one: -one.score)
    unions = _unions(ordered)
    kept: list[int] = []
    pairs: list[tuple[Label, Label]] = []
    for number, label in enumerate(ordered):
        same = [k for k in kept if ordered[k].category != label.category and unions[number, k] >= ONE_OBJECT]
        if same:
            pairs.append((ordered[same[0]], label))
        else:
            kept.append(number)
    return [ordered[k] for k in kept], pairs


def _unions(labels: Sequence[Label]) -> Float[np.ndarray, "n n"]:
    """Intersection over union of each two."""
    return _compared(labels, is_crowd=0)


def _shares_of_smaller(labels: Sequence[Label]) -> Float[np.ndarray, "n n"]:
    """Intersection over the area of the smaller one of each two."""
    shares = _compared(labels, is_crowd=1)  # of a crowd COCO takes the intersection over the other one's area
    return np.maximum(shares, shares.T)


def _compared(labels: Sequence[Label], *, is_crowd: int) -> Float[np.ndarray, "n n"]:
    if not labels:
        return np.zeros((0, 0))
    codes = [dict(one.segmentation) for one in labels]
    return np.asarray(rle.iou(codes, codes, [is_crowd] * len(codes))).reshape(len(codes), len(codes))
