"""Exact metrics of masks, rankings and clicks: small pure pieces that know no model and no data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from find.errors import FindError

PRECISION_IOU = 0.5
"""A mask counts as right from this IoU on (`P@0.5`, which the published tables call AP50)."""


@dataclass(frozen=True)
class MaskScores:
    """How well `count` predicted masks fit their targets. Fractions (0 to 1)."""

    ciou: float  # sum of intersections / sum of unions: large objects weigh more
    miou: float  # mean of the IoUs: each object weighs the same
    precision: float  # share of masks with IoU >= 0.5
    count: int

    def to_json(self) -> dict[str, float]:
        """The figures in percent, by the names of the published tables."""
        return {"cIoU": 100 * self.ciou, "mIoU": 100 * self.miou, "P@0.5": 100 * self.precision}


@dataclass(frozen=True)
class RecallScores:
    """Share of `count` queries whose target is among the best 1, 5 and 10. Fractions (0 to 1)."""

    at_1: float
    at_5: float
    at_10: float
    count: int

    def to_json(self, prefix: str) -> dict[str, float]:
        """The figures in percent; `prefix` is IR (an image is sought) or TR (a text is sought)."""
        return {
            f"{prefix}@1": 100 * self.at_1,
            f"{prefix}@5": 100 * self.at_5,
            f"{prefix}@10": 100 * self.at_10,
        }


@dataclass
class Overlaps:
    """Intersection and union, in pixels, of predicted with target masks, collected one by one.

    `image_ids` tells where each came from, `held_out` whether it is of a kind never seen in training.
    """

    intersections: list[int] = field(default_factory=list)
    unions: list[int] = field(default_factory=list)
    image_ids: list[int] = field(default_factory=list)
    held_out: list[bool] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.unions)

    def add(
        self,
        prediction: Bool[np.ndarray, "h w"],
        target: Bool[np.ndarray, "h w"],
        *,
        image_id: int,
        held_out: bool = False,
    ) -> None:
        """Compare one predicted mask with its target. Raises `FindError` where their sizes differ."""
        intersection, union = overlap(prediction, target, image_id=image_id)
        self.intersections.append(intersection)
        self.unions.append(union)
        self.image_ids.append(image_id)
        self.held_out.append(held_out)

    def scores(self, *, held_out: bool | None = None) -> MaskScores | None:
        """Scores of all masks, or of those only that are (True) or are not (False) held out; None without any."""
        chosen = np.ones(len(self), bool) if held_out is None else np.array(self.held_out, bool) == held_out
        if not chosen.any():
            return None
        intersections = np.array(self.intersections, np.int64)[chosen]
        unions = np.array(self.unions, np.int64)[chosen]
        ious = intersections / unions
        return MaskScores(
            ciou=float(intersections.sum() / unions.sum()),
            miou=float(ious.mean()),
            precision=float((ious >= PRECISION_IOU).mean()),
            count=len(ious),
        )


def overlap(prediction: Bool[np.ndarray, "h w"], target: Bool[np.ndarray, "h w"], *, image_id: int) -> tuple[int, int]:
    """Intersection and union of two masks in pixels. Raises `FindError` where sizes differ or the target is empty."""
    if prediction.shape != target.shape:
        raise FindError(
            f"image {image_id}: a predicted mask is {_size(prediction)}, its target {_size(target)}; "
            "masks must come at the image's own size"
        )
    area = int(np.count_nonzero(target))
    if not area:
        raise FindError(f"image {image_id}: a target mask is empty, so nothing can be compared with it")
    intersection = int(np.count_nonzero(prediction & target))
    return intersection, int(np.count_nonzero(prediction)) + area - intersection


def pessimistic_ranks(
    scores: Float[np.ndarray, "q i"],
    relevant: Bool[np.ndarray, "q i"],
    allowed: Bool[np.ndarray, "q i"] | None = None,
) -> Int[np.ndarray, " q"]:
    """Rank (1 = best) of each query's best relevant item; among equal scores the relevant one comes last.

    So a model that gives every item the same score finds nothing, rather than everything. With several relevant
    items the best one counts and the others are no competitors.

    Args:
        scores: higher is better.
        relevant: the items that answer a query; at least one each.
        allowed: the items that are in a query's gallery; all if not given. A relevant item must be allowed.

    Raises:
        FindError: a score is not a number, or a query has no relevant item in its gallery.
    """
    if np.isnan(scores).any():
        raise FindError(f"{int(np.isnan(scores).sum())} of {scores.size} retrieval scores are not numbers (NaN)")
    if allowed is None:
        allowed = np.ones_like(relevant)
    answers = relevant & allowed
    if not answers.any(axis=1).all():
        query = int(np.argmin(answers.any(axis=1)))
        raise FindError(f"retrieval query {query} has no relevant item in its gallery")
    best = np.where(answers, scores, -np.inf).max(axis=1, keepdims=True)
    return 1 + ((scores >= best) & allowed & ~relevant).sum(axis=1)


def recall(ranks: Int[np.ndarray, " q"]) -> RecallScores | None:
    """Recall at 1, 5 and 10 of some ranks (1 = best); None without any."""
    if not len(ranks):
        return None
    at_1, at_5, at_10 = (float((ranks <= k).mean()) for k in (1, 5, 10))
    return RecallScores(at_1=at_1, at_5=at_5, at_10=at_10, count=len(ranks))


def clicks_needed(ious: Sequence[Sequence[float]], threshold: float, limit: int) -> float:
    """NoC: mean number of clicks until an object's mask has IoU >= `threshold`.

    `ious[i][k]` is the IoU of object i after k + 1 clicks. As is usual, an object that does not get there within
    `limit` clicks counts as `limit`. Raises `FindError` without objects.
    """
    if not len(ious):
        raise FindError("no object was clicked, so the number of clicks has no mean")
    counts = []
    for track in ious:
        reached = np.flatnonzero(np.asarray(track[:limit]) >= threshold)
        counts.append(reached[0] + 1 if len(reached) else limit)
    return float(np.mean(counts))


@dataclass
class SemanticConfusion:
    """Pixels by true and predicted class, for mean IoU as in the common semantic segmentation benchmarks.

    Pixels whose true class is negative (void) are left out. A class that no true pixel has does not count in the
    mean, but predicting it costs the classes that were there.
    """

    classes: int

    def __post_init__(self) -> None:
        self.counts: Int[np.ndarray, "k k1"] = np.zeros((self.classes, self.classes + 1), np.int64)

    def add(self, target: Int[np.ndarray, "h w"], prediction: Int[np.ndarray, "h w"], *, image_id: int) -> None:
        """Count one image; class indices, negative = void (target) or no class (prediction)."""
        if target.shape != prediction.shape:
            raise FindError(
                f"image {image_id}: the predicted semantic map is {_size(prediction)}, the target {_size(target)}"
            )
        known = target >= 0
        labels = prediction[known].astype(np.int64)
        if labels.size and labels.max() >= self.classes:
            raise FindError(f"image {image_id}: predicted class {labels.max()}, but there are {self.classes}")
        labels[labels < 0] = self.classes
        pairs = target[known].astype(np.int64) * (self.classes + 1) + labels
        self.counts += np.bincount(pairs, minlength=self.counts.size).reshape(self.counts.shape)

    def miou(self) -> float | None:
        """Mean IoU (0 to 1) over the classes that are there; None if there is none."""
        square = self.counts[:, : self.classes]
        true = self.counts.sum(axis=1)
        union = true + square.sum(axis=0) - square.diagonal()
        there = true > 0
        return float((square.diagonal()[there] / union[there]).mean()) if there.any() else None


def _size(array: np.ndarray) -> str:
    return "x".join(str(side) for side in array.shape)
