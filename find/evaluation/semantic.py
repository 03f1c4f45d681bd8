"""Mean IoU of semantic segmentation, from per-image tallies of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from find.errors import DataError
from find.evaluation.confidence import SEED, Interval, bootstrap


@dataclass(frozen=True, eq=False)
class SemanticCounts:
    """Pixel counts of one image by class: true, predicted (outside void), and both."""

    true: Int[np.ndarray, " k"]
    predicted: Int[np.ndarray, " k"]
    shared: Int[np.ndarray, " k"]


def count_pixels(
    target: Int[np.ndarray, "h w"], prediction: Int[np.ndarray, "h w"], *, classes: int, image_id: int
) -> SemanticCounts:
    """Compares two maps of class indices; negative = void (target) or no class (prediction).

    Pixels whose true class is void are ignored.

    Raises:
        FindError: sizes differ, or the prediction has an unknown class.
    """
    if target.shape != prediction.shape:
        raise DataError(
            f"image {image_id}: the predicted semantic map is {'x'.join(map(str, prediction.shape[::-1]))}, "
            f"the target {'x'.join(map(str, target.shape[::-1]))} (width x height)"
        )
    known = target >= 0
    truth, labels = target[known], prediction[known]
    if labels.size and labels.max() >= classes:
        raise DataError(f"image {image_id}: predicted class {labels.max()}, but there are {classes}")
    return SemanticCounts(
        true=np.bincount(truth, minlength=classes),
        predicted=np.bincount(labels[labels >= 0], minlength=classes),
        shared=np.bincount(truth[truth == labels], minlength=classes),
    )


def semantic_miou(counts: Sequence[SemanticCounts]) -> float | None:
    """Mean IoU (0 to 1) over the classes that occur in the ground truth; None if there are none.

    A class that does not occur does not count, but predicting it lowers the IoU of the true classes.
    """
    if not counts:
        return None
    value = _miou(_statistics(counts).sum(axis=0, keepdims=True))[0]
    return None if np.isnan(value) else float(value)


def miou_interval(counts: Sequence[SemanticCounts], *, seed: int = SEED) -> Interval | None:
    """95 % interval of `semantic_miou`; a resample's mean is over the classes that occur in it."""
    if not counts:
        return None
    return bootstrap(_statistics(counts), lambda sums: _miou(sums)[:, None], seed=seed)[0]


def _statistics(counts: Sequence[SemanticCounts]) -> Float[np.ndarray, "images k3"]:
    return np.stack([np.concatenate([c.true, c.predicted, c.shared]) for c in counts]).astype(np.float64)


def _miou(sums: Float[np.ndarray, "r k3"]) -> Float[np.ndarray, " r"]:
    true, predicted, shared = np.moveaxis(sums.reshape(len(sums), 3, -1), 1, 0)
    there = true > 0
    union = true + predicted - shared
    ious = np.divide(shared, union, out=np.zeros_like(shared), where=there)
    classes = there.sum(axis=1)
    return np.divide(ious.sum(axis=1), classes, out=np.full(len(sums), np.nan), where=classes > 0)
