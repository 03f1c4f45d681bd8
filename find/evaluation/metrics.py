"""Exact mask metrics, independent of models and data sets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from find.errors import DataError
from find.evaluation.confidence import SEED, Intervals, bootstrap, named_intervals, sums_of_images

PRECISION_IOU = 0.5
"""Minimum IoU of a correct mask (`P@0.5`, which the published tables call AP50)."""


@dataclass(frozen=True)
class MaskScores:
    """Scores of `count` predicted masks. Fractions (0 to 1)."""

    ciou: float  # sum of intersections / sum of unions: large objects weigh more
    miou: float  # mean of the IoUs: all objects weigh the same
    precision: float  # fraction of masks with IoU >= 0.5
    count: int

    def to_json(self) -> dict[str, float]:
        """The figures in percent, under the names of the published tables."""
        return {"cIoU": 100 * self.ciou, "mIoU": 100 * self.miou, "P@0.5": 100 * self.precision}


@dataclass(frozen=True, slots=True)
class Overlap:
    """Intersection and union of one predicted mask and its target, and the query.

    The query is identified by its image, its `item` (id of the expression, the sentence or the clicked segment) and the
    index of its `entity` in the sentence (0 for others).
    """

    image_id: int
    item: int
    entity: int
    intersection: int
    union: int
    is_region: bool = False  # queried by a region, not by words
    held_out: bool = False  # an attribute combination held out from training

    @property
    def iou(self) -> float:
        return self.intersection / self.union


@dataclass(frozen=True)
class Overlaps:
    """All mask comparisons of an evaluation."""

    records: tuple[Overlap, ...]

    def __len__(self) -> int:
        return len(self.records)

    def where(self, chosen: Callable[[Overlap], bool]) -> Overlaps:
        """Some of them."""
        return Overlaps(tuple(record for record in self.records if chosen(record)))

    @cached_property
    def scores(self) -> MaskScores | None:
        """Figures of all masks; None if there are none."""
        if not self.records:
            return None
        return MaskScores(
            ciou=int(self._intersections.sum()) / int(self._unions.sum()),
            miou=math.fsum(self._ious) / len(self),
            precision=int((self._ious >= PRECISION_IOU).sum()) / len(self),
            count=len(self),
        )

    def intervals(self, *, seed: int = SEED) -> Intervals:
        """95 % intervals of the figures, in percent, by their names in `MaskScores.to_json`."""
        if not self.records:
            return {}
        columns = (self._intersections, self._unions, self._ious, self._ious >= PRECISION_IOU, np.ones(len(self)))
        statistics = sums_of_images(np.array([record.image_id for record in self.records]), columns)

        def figures(sums: np.ndarray) -> np.ndarray:
            return np.stack([sums[:, 0] / sums[:, 1], sums[:, 2] / sums[:, 4], sums[:, 3] / sums[:, 4]], axis=1)

        return named_intervals(("cIoU", "mIoU", "P@0.5"), bootstrap(statistics, figures, seed=seed), factor=100)

    @cached_property
    def _intersections(self) -> Int[np.ndarray, " n"]:
        return np.array([record.intersection for record in self.records], np.int64)

    @cached_property
    def _unions(self) -> Int[np.ndarray, " n"]:
        return np.array([record.union for record in self.records], np.int64)

    @cached_property
    def _ious(self) -> Float[np.ndarray, " n"]:
        return self._intersections / self._unions


def compare(
    prediction: Bool[np.ndarray, "h w"],
    target: Bool[np.ndarray, "h w"],
    *,
    image_id: int,
    item: int,
    entity: int = 0,
    is_region: bool = False,
    held_out: bool = False,
) -> Overlap:
    """Compares a predicted mask with its target. Raises `FindError` if sizes differ or the target is empty."""
    intersection, union = overlap(prediction, target, image_id=image_id)
    return Overlap(image_id, item, entity, intersection, union, is_region, held_out)


def overlap(prediction: Bool[np.ndarray, "h w"], target: Bool[np.ndarray, "h w"], *, image_id: int) -> tuple[int, int]:
    """Intersection and union of two masks in pixels. Raises `FindError` if sizes differ or the target is empty."""
    if prediction.shape != target.shape:
        raise DataError(
            f"image {image_id}: a predicted mask is {_size(prediction)}, its target {_size(target)}; "
            "masks must come at the image's own size"
        )
    area = int(np.count_nonzero(target))
    if not area:
        raise DataError(f"image {image_id}: a target mask is empty, so nothing can be compared with it")
    intersection = int(np.count_nonzero(prediction & target))
    return intersection, int(np.count_nonzero(prediction)) + area - intersection


def _size(array: np.ndarray) -> str:
    return "x".join(str(side) for side in array.shape[::-1])
