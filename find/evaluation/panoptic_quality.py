"""Panoptic quality exactly as COCO's own evaluation computes it, crowd regions and void pixels included
(Kirillov et al., "Panoptic Segmentation", section 4; torchmetrics differs on both)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from find.errors import FindError

VOID = 0
"""Segment id of pixels that belong to no segment."""


@dataclass(frozen=True)
class Quality:
    """PQ = SQ x RQ, averaged over the `classes` that occur in targets or predictions. Fractions (0 to 1)."""

    pq: float
    sq: float
    rq: float
    classes: int


@dataclass(frozen=True)
class PanopticScores:
    """Panoptic quality over all classes, over things, over stuff (None where there are none) and of each class id."""

    all: Quality | None
    things: Quality | None
    stuff: Quality | None
    per_class: Mapping[int, Quality]


@dataclass
class _Tally:
    iou: float = 0.0
    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    def quality(self) -> Quality | None:
        matched = self.true_positives
        seen = matched + 0.5 * self.false_positives + 0.5 * self.false_negatives
        if not seen:
            return None
        return Quality(pq=self.iou / seen, sq=self.iou / matched if matched else 0.0, rq=matched / seen, classes=1)


@dataclass
class PanopticQuality:
    """Collects images, then gives the scores. `is_thing` maps each category id to thing (True) or stuff."""

    is_thing: Mapping[int, bool]
    _tallies: dict[int, _Tally] = field(init=False)

    def __post_init__(self) -> None:
        self._tallies = {category: _Tally() for category in self.is_thing}

    def add(
        self,
        *,
        image_id: int,
        target_map: Int[np.ndarray, "h w"],
        target_categories: Mapping[int, int],
        predicted_map: Int[np.ndarray, "h w"],
        predicted_categories: Mapping[int, int],
        crowd: Collection[int] = (),
    ) -> dict[int, float]:
        """Match one image's segments; both maps hold segment ids, 0 = void.

        Args:
            target_categories: category id of each true segment id.
            predicted_categories: category id of each predicted segment id.
            crowd: ids of the true segments that are crowd regions: nothing is missed there, and a prediction that
                lies mostly in one of its own category is not held against the model.

        Returns:
            IoU of every true segment that is no crowd with the prediction it is matched to; 0 if it was missed.

        Raises:
            FindError: sizes differ, an id of a predicted map has no category, or a category is not known.
        """
        _check_sizes(image_id, target_map, predicted_map)
        true_ids, predicted_ids, joint = _intersections(target_map, predicted_map)
        _check_categories(image_id, predicted_ids, predicted_categories, self.is_thing)
        true_areas, predicted_areas = joint.sum(axis=1), joint.sum(axis=0)
        void = true_ids == VOID
        in_void = joint[void].sum(axis=0)

        matches = dict.fromkeys((s for s in target_categories if s not in crowd), 0.0)
        matched_predictions = set()
        for row, column in zip(*np.nonzero(joint), strict=True):
            true, predicted = int(true_ids[row]), int(predicted_ids[column])
            if true not in matches or predicted == VOID:
                continue
            category = target_categories[true]
            if category != predicted_categories[predicted]:
                continue
            shared = joint[row, column]
            iou = shared / (true_areas[row] + predicted_areas[column] - shared - in_void[column])
            if iou > 0.5:  # segments do not overlap, so above one half there is one partner at most
                tally = self._tallies[category]
                tally.true_positives += 1
                tally.iou += float(iou)
                matches[true] = float(iou)
                matched_predictions.add(predicted)

        for segment, iou in matches.items():
            if iou == 0.0:
                self._tallies[target_categories[segment]].false_negatives += 1

        # COCO's evaluation keeps one crowd region a category, the last one listed.
        crowd_of = {category: segment for segment, category in target_categories.items() if segment in crowd}
        for column, predicted in enumerate(predicted_ids.tolist()):
            if predicted == VOID or predicted in matched_predictions:
                continue
            category = predicted_categories[predicted]
            ignored = in_void[column]
            if category in crowd_of:
                ignored = ignored + joint[true_ids == crowd_of[category], column].sum()
            if ignored / predicted_areas[column] <= 0.5:
                self._tallies[category].false_positives += 1
        return matches

    def scores(self) -> PanopticScores:
        per_class = {category: tally.quality() for category, tally in self._tallies.items()}
        seen = {category: quality for category, quality in per_class.items() if quality is not None}
        return PanopticScores(
            all=_mean(list(seen.values())),
            things=_mean([quality for category, quality in seen.items() if self.is_thing[category]]),
            stuff=_mean([quality for category, quality in seen.items() if not self.is_thing[category]]),
            per_class=seen,
        )


def _mean(qualities: list[Quality]) -> Quality | None:
    if not qualities:
        return None
    pq, sq, rq = np.array([(q.pq, q.sq, q.rq) for q in qualities]).mean(axis=0).tolist()
    return Quality(pq=pq, sq=sq, rq=rq, classes=len(qualities))


def _intersections(
    target: Int[np.ndarray, "h w"], predicted: Int[np.ndarray, "h w"]
) -> tuple[Int[np.ndarray, " t"], Int[np.ndarray, " p"], Int[np.ndarray, "t p"]]:
    """The ids in two maps, and the pixels that each pair of them shares.

    Counts runs of equal pixels, not pixels: some hundreds instead of hundreds of thousands in a photograph.
    """
    target, predicted = target.reshape(-1), predicted.reshape(-1)
    changes = (target[1:] != target[:-1]) | (predicted[1:] != predicted[:-1])
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    lengths = np.diff(starts, append=target.size)
    true_ids, rows = np.unique(target[starts], return_inverse=True)
    predicted_ids, columns = np.unique(predicted[starts], return_inverse=True)
    counts = np.zeros((len(true_ids), len(predicted_ids)), np.int64)
    np.add.at(counts, (rows, columns), lengths)
    return true_ids, predicted_ids, counts


def _check_sizes(image_id: int, target_map: np.ndarray, predicted_map: np.ndarray) -> None:
    if target_map.shape != predicted_map.shape:
        raise FindError(
            f"image {image_id}: the predicted panoptic map is {'x'.join(map(str, predicted_map.shape))}, "
            f"the target {'x'.join(map(str, target_map.shape))}; it must come at the image's own size"
        )


def _check_categories(
    image_id: int, predicted_ids: np.ndarray, predicted_categories: Mapping[int, int], known: Mapping[int, bool]
) -> None:
    for segment in predicted_ids.tolist():
        if segment != VOID and segment not in predicted_categories:
            raise FindError(f"image {image_id}: segment {segment} of the predicted map has no category")
    for segment, category in predicted_categories.items():
        if category not in known:
            raise FindError(f"image {image_id}: predicted segment {segment} has the unknown category {category}")
