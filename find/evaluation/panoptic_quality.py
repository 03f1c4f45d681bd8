"""Panoptic quality exactly as COCO's own evaluation computes it, crowd regions and void pixels included
(Kirillov et al., "Panoptic Segmentation", section 4; torchmetrics differs on both)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from find.errors import DataError
from find.evaluation.confidence import SEED, Interval, bootstrap

VOID = 0
"""Segment id of pixels that belong to no segment."""

FALSE_POSITIVES, FALSE_NEGATIVES = 2, 3
"""Columns of the tallies."""


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


@dataclass(frozen=True, eq=False)
class SegmentMatches:
    """The tallies of one image: for each class the sum of IoUs, true positives, false positives and false negatives
    (classes in the given order); and the IoU of every true segment with its prediction, 0 if missed."""

    tallies: Float[np.ndarray, "k 4"]
    ious: Mapping[int, float]


def match_segments(
    *,
    image_id: int,
    target_map: Int[np.ndarray, "h w"],
    target_categories: Mapping[int, int],
    predicted_map: Int[np.ndarray, "h w"],
    predicted_categories: Mapping[int, int],
    category_ids: Sequence[int],
    crowd: Collection[int] = (),
) -> SegmentMatches:
    """Matches the segments of one image; both maps hold segment ids, 0 = void.

    Args:
        target_categories: category id of each true segment id.
        predicted_categories: category id of each predicted segment id.
        category_ids: all classes.
        crowd: ids of the true segments that are crowd regions: they cause no false negatives, and a prediction that
            lies mostly in a crowd region of its category is not a false positive.

    Raises:
        FindError: sizes differ, an id of a predicted map has no category, or a category is unknown.
    """
    row_of = {category: row for row, category in enumerate(category_ids)}
    _check_sizes(image_id, target_map, predicted_map)
    true_ids, predicted_ids, joint = _intersections(target_map, predicted_map)
    _check_categories(image_id, predicted_ids, predicted_categories, row_of)
    true_areas, predicted_areas = joint.sum(axis=1), joint.sum(axis=0)
    in_void = joint[true_ids == VOID].sum(axis=0)

    tallies = np.zeros((len(row_of), 4))
    ious = dict.fromkeys((s for s in target_categories if s not in crowd), 0.0)
    matched_predictions = set()
    for row, column in zip(*np.nonzero(joint), strict=True):
        true, predicted = int(true_ids[row]), int(predicted_ids[column])
        if true not in ious or predicted == VOID or target_categories[true] != predicted_categories[predicted]:
            continue
        shared = joint[row, column]
        iou = float(shared / (true_areas[row] + predicted_areas[column] - shared - in_void[column]))
        if iou > 0.5:  # segments do not overlap, so at most one partner has an IoU above one half
            tallies[row_of[target_categories[true]], :2] += iou, 1
            ious[true] = iou
            matched_predictions.add(predicted)

    for segment, iou in ious.items():
        if iou == 0.0:
            tallies[row_of[target_categories[segment]], FALSE_NEGATIVES] += 1

    # COCO's evaluation keeps one crowd region per category, the last one listed.
    crowd_of = {category: segment for segment, category in target_categories.items() if segment in crowd}
    for column, predicted in enumerate(predicted_ids.tolist()):
        if predicted == VOID or predicted in matched_predictions:
            continue
        category = predicted_categories[predicted]
        ignored = in_void[column]
        if category in crowd_of:
            ignored = ignored + joint[true_ids == crowd_of[category], column].sum()
        if ignored / predicted_areas[column] <= 0.5:
            tallies[row_of[category], FALSE_POSITIVES] += 1
    return SegmentMatches(tallies, ious)


def panoptic_quality(matches: Sequence[SegmentMatches], is_thing: Mapping[int, bool]) -> PanopticScores:
    """Scores of all images; `is_thing` maps each category id to thing (True) or stuff, in the order of the tallies.

    IoUs are summed exactly, so the order of the images does not matter.
    """
    stacked = np.stack([m.tallies for m in matches]) if matches else np.zeros((0, len(is_thing), 4))
    counts = stacked[:, :, 1:].sum(axis=0)
    seen: dict[int, Quality] = {}
    for row, category in enumerate(is_thing):
        matched, false_positives, false_negatives = counts[row].tolist()
        weight = matched + 0.5 * false_positives + 0.5 * false_negatives
        if weight:
            iou = math.fsum(stacked[:, row, 0])
            sq = iou / matched if matched else 0.0
            seen[category] = Quality(pq=iou / weight, sq=sq, rq=matched / weight, classes=1)
    return PanopticScores(
        all=_mean(list(seen.values())),
        things=_mean([quality for category, quality in seen.items() if is_thing[category]]),
        stuff=_mean([quality for category, quality in seen.items() if not is_thing[category]]),
        per_class=seen,
    )


def quality_intervals(
    matches: Sequence[SegmentMatches], is_thing: Mapping[int, bool], *, seed: int = SEED
) -> dict[str, Interval | None]:
    """95 % intervals of PQ over all classes ("all"), over "things" and over "stuff"; 0 to 1.

    A resample's mean is over the classes that occur in it.
    """
    if not matches:
        return {}
    things = np.array(list(is_thing.values()), bool)

    def figures(sums: Float[np.ndarray, "r k4"]) -> Float[np.ndarray, "r 3"]:
        iou, matched, false_positives, false_negatives = np.moveaxis(sums.reshape(len(sums), -1, 4), 2, 0)
        weight = matched + 0.5 * false_positives + 0.5 * false_negatives
        there = weight > 0
        quality = np.divide(iou, weight, out=np.zeros_like(iou), where=there)
        groups = (np.ones_like(things), things, ~things)
        return np.stack([quality[:, g].sum(axis=1) / there[:, g].sum(axis=1) for g in groups], axis=1)

    statistics = np.stack([m.tallies.reshape(-1) for m in matches])
    return dict(zip(("all", "things", "stuff"), bootstrap(statistics, figures, seed=seed), strict=True))


def _mean(qualities: list[Quality]) -> Quality | None:
    if not qualities:
        return None
    pq, sq, rq = (
        math.fsum(values) / len(qualities) for values in zip(*((q.pq, q.sq, q.rq) for q in qualities), strict=True)
    )
    return Quality(pq=pq, sq=sq, rq=rq, classes=len(qualities))


def _intersections(
    target: Int[np.ndarray, "h w"], predicted: Int[np.ndarray, "h w"]
) -> tuple[Int[np.ndarray, " t"], Int[np.ndarray, " p"], Int[np.ndarray, "t p"]]:
    """The ids in two maps, and the number of pixels that each pair of them shares.

    Counts runs of equal pixels instead of pixels: hundreds instead of hundreds of thousands in a photo.
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
        raise DataError(
            f"image {image_id}: the predicted panoptic map is {'x'.join(map(str, predicted_map.shape[::-1]))}, "
            f"the target {'x'.join(map(str, target_map.shape[::-1]))} (width x height); "
            "it must come at the image's own size"
        )


def _check_categories(
    image_id: int, predicted_ids: np.ndarray, predicted_categories: Mapping[int, int], known: Collection[int]
) -> None:
    for segment in predicted_ids.tolist():
        if segment != VOID and segment not in predicted_categories:
            raise DataError(f"image {image_id}: segment {segment} of the predicted map has no category")
    for segment, category in predicted_categories.items():
        if category not in known:
            raise DataError(f"image {image_id}: predicted segment {segment} has the unknown category {category}")
