"""Masks, ranks, clicks and semantic maps: known answers and invariances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from find.errors import FindError
from find.evaluation.clicks import clicks_needed, iou_after
from find.evaluation.metrics import Overlaps, compare
from find.evaluation.ranking import pessimistic_ranks, recall
from find.evaluation.semantic import count_pixels, semantic_miou


def square(side: int, *, size: int = 20) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[:side, :side] = True
    return mask


def test_ciou_weighs_by_area_and_miou_by_object():
    overlaps = Overlaps(
        (
            compare(square(10), square(10), image_id=1, item=1),
            compare(square(0), square(2), image_id=1, item=2, held_out=True),
            compare(square(4), square(2), image_id=2, item=3),
        )
    )
    scores = overlaps.scores
    assert scores.ciou == pytest.approx((100 + 0 + 4) / (100 + 4 + 16))
    assert scores.miou == pytest.approx((1 + 0 + 0.25) / 3)
    assert scores.precision == pytest.approx(1 / 3)
    assert scores.to_json().keys() == {"cIoU", "mIoU", "P@0.5"}
    assert overlaps.where(lambda record: record.held_out).scores.miou == 0
    assert overlaps.where(lambda record: not record.held_out).scores.count == 2


def test_iou_of_exactly_one_half_is_precise():
    target = np.zeros((1, 4), bool)
    target[0, :2] = True
    overlaps = Overlaps((compare(np.ones((1, 4), bool), target, image_id=1, item=1),))
    assert overlaps.scores.precision == 1
    assert overlaps.where(lambda record: record.held_out).scores is None


def test_masks_of_another_size_or_without_target_are_refused():
    with pytest.raises(FindError, match="image 7: a predicted mask is 10x10, its target 20x20"):
        compare(square(3, size=10), square(3), image_id=7, item=1)
    with pytest.raises(FindError, match="image 7: a target mask is empty"):
        compare(square(3), square(0), image_id=7, item=1)


def test_equal_scores_find_nothing():
    relevant = np.eye(20, dtype=bool)
    ranks = pessimistic_ranks(np.zeros((20, 20)), relevant)
    assert (ranks == 20).all()
    scores = recall(ranks)
    assert (scores.at_1, scores.at_5, scores.at_10) == (0, 0, 0)
    assert recall(ranks[:0]) is None


def test_the_best_of_several_relevant_items_counts_and_the_others_do_not_compete():
    scores = np.array([[0.9, 0.8, 0.7, 0.1]])
    assert pessimistic_ranks(scores, np.array([[False, True, False, True]])).tolist() == [2]
    assert pessimistic_ranks(scores, np.array([[True, True, False, False]])).tolist() == [1]


def test_an_item_outside_the_gallery_does_not_compete_and_cannot_answer():
    scores = np.array([[0.9, 0.8, 0.7]])
    relevant = np.array([[False, False, True]])
    assert pessimistic_ranks(scores, relevant, np.array([[False, True, True]])).tolist() == [2]
    with pytest.raises(FindError, match="query 0 has no relevant item"):
        pessimistic_ranks(scores, relevant, np.array([[True, True, False]]))


def test_nan_scores_are_refused():
    with pytest.raises(FindError, match="1 of 4 retrieval scores"):
        pessimistic_ranks(np.array([[0.0, np.nan], [0, 1]]), np.eye(2, dtype=bool))


@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_ranks_equal_a_plain_loop_and_follow_a_permutation(seed: int, items: int):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (5, items)).astype(float)
    relevant = np.zeros((5, items), bool)
    relevant[np.arange(5), rng.integers(0, items, 5)] = True
    ranks = pessimistic_ranks(scores, relevant)
    for row, own, rank in zip(scores, relevant, ranks, strict=True):
        others = [value for value, is_own in zip(row, own, strict=True) if not is_own]
        assert rank == 1 + sum(value >= row[own][0] for value in others)
    order = rng.permutation(items)
    assert (pessimistic_ranks(scores[:, order], relevant[:, order]) == ranks).all()


def test_clicks_needed():
    tracks = [[0.5, 0.86, 0.95], [0.9], [0.1] * 25]
    assert clicks_needed(tracks, 0.85, 20) == pytest.approx((2 + 1 + 20) / 3)
    assert clicks_needed(tracks, 0.90, 20) == pytest.approx((3 + 1 + 20) / 3)
    with pytest.raises(FindError, match="no object was clicked"):
        clicks_needed([], 0.9, 20)


def test_the_iou_after_clicks_is_that_of_the_mask_with_which_the_user_stopped():
    tracks = [[0.5, 0.86, 0.95], [0.9]]
    assert iou_after(tracks, 1) == pytest.approx(0.7)
    assert iou_after(tracks, 2) == pytest.approx(0.88)
    assert iou_after(tracks, 20) == pytest.approx(0.925)


def test_products_that_differ_by_rounding_are_equal():
    scores = np.array([[0.5, 0.5 - 1e-7, 0.4]])
    relevant = np.array([[True, False, False]])
    assert pessimistic_ranks(scores, relevant).tolist() == [1]
    assert pessimistic_ranks(scores, relevant, tie=1e-6).tolist() == [2]


def test_semantic_miou_leaves_void_out_and_counts_pixels_without_class_as_wrong():
    target = np.array([[0, 0, 1, 1], [-1, -1, 1, 1]])
    prediction = np.array([[0, 1, 1, 1], [2, 0, -1, 1]])
    assert semantic_miou([count_pixels(target, prediction, classes=3, image_id=1)]) == pytest.approx(
        (1 / 2 + 3 / 5) / 2
    )


def test_semantic_miou_is_the_same_whatever_way_images_are_split():
    rng = np.random.default_rng(0)
    target, prediction = rng.integers(-1, 5, (2, 30, 40))
    whole = [count_pixels(target, prediction, classes=5, image_id=1)]
    parts = [
        count_pixels(t[None], p[None], classes=5, image_id=row)
        for row, (t, p) in enumerate(zip(target, prediction, strict=True))
    ]
    assert semantic_miou(whole) == semantic_miou(parts) == semantic_miou(parts[::-1])
    with pytest.raises(FindError, match="predicted class 5, but there are 5"):
        count_pixels(target, np.full_like(target, 5), classes=5, image_id=1)


def test_semantic_miou_equals_an_independent_count():
    """Class by class, by sets of pixels."""
    rng = np.random.default_rng(1)
    target, prediction = rng.integers(-1, 6, (2, 4, 20, 20))
    ious = []
    for k in np.unique(target[target >= 0]):
        true, found = target == k, (prediction == k) & (target >= 0)
        ious.append((true & found).sum() / (true | found).sum())
    counts = [count_pixels(t, p, classes=6, image_id=1) for t, p in zip(target, prediction, strict=True)]
    assert semantic_miou(counts) == pytest.approx(np.mean(ious))
