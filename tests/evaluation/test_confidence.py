"""Bootstrap intervals: the same resamples as scipy's, the analytic width, and sums instead of resampled lists."""

import numpy as np
import pytest
from scipy import stats

from find.evaluation.clicks import click_intervals, clicks_needed
from find.evaluation.confidence import bootstrap, draws, shares, sums_of_images
from find.evaluation.metrics import Overlap, Overlaps
from find.evaluation.panoptic_quality import SegmentMatches, panoptic_quality, quality_intervals
from find.evaluation.ranking import Ranks
from find.evaluation.semantic import SemanticCounts, miou_interval, semantic_miou


def overlaps(rng: np.random.Generator, images: int) -> Overlaps:
    """Several masks an image, images of different quality."""
    records = []
    for image_id in range(images):
        quality = rng.random()
        for item in range(rng.integers(1, 5)):
            union = int(rng.integers(50, 500))
            records.append(Overlap(image_id, item, 0, int(union * min(1, quality * rng.uniform(0.8, 1.2))), union))
    return Overlaps(tuple(records))


def test_a_mean_has_scipys_percentile_interval():
    rng = np.random.default_rng(0)
    values = rng.gamma(2, size=80)
    (ours,) = bootstrap(np.stack([values, np.ones(80)], axis=1), shares, resamples=20000, seed=1)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", random_state=np.random.default_rng(2)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.01)
    half = 1.96 * values.std() / np.sqrt(80)
    assert (ours.high - ours.low) / 2 == pytest.approx(half, rel=0.05)


def test_ciou_has_scipys_interval_of_a_ratio_over_images():
    found = overlaps(np.random.default_rng(0), 60)
    sums = sums_of_images(
        np.array([r.image_id for r in found.records]),
        [np.array([r.intersection for r in found.records]), np.array([r.union for r in found.records])],
    )
    theirs = stats.bootstrap(
        (sums[:, 0], sums[:, 1]),
        lambda a, b, axis: 100 * a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        n_resamples=9999,
        method="percentile",
        random_state=np.random.default_rng(2),
    ).confidence_interval
    assert found.intervals()["cIoU"] == pytest.approx([theirs.low, theirs.high], abs=0.8)


def test_weighted_sums_equal_figures_of_images_really_drawn():
    """Of lists in which an image stands as often as it was drawn."""
    found = overlaps(np.random.default_rng(3), 12)
    values = []
    for weights in draws(12, 1000, seed=0):
        scores = Overlaps(tuple(r for r in found.records for _ in range(int(weights[r.image_id])))).scores
        values.append((scores.ciou, scores.miou, scores.precision))
    expected = 100 * np.quantile(np.array(values), [0.025, 0.975], axis=0)
    for name, ends in zip(("cIoU", "mIoU", "P@0.5"), expected.T, strict=True):
        assert found.intervals()[name] == pytest.approx(list(ends)), name


def quality_of(matches, weights, classes) -> float:
    chosen = [image for image, weight in zip(matches, weights, strict=True) for _ in range(int(weight))]
    return panoptic_quality(chosen, classes).all.pq


def test_pq_and_miou_intervals_are_those_of_images_really_drawn():
    rng = np.random.default_rng(4)
    classes = {7: True, 8: False, 9: True}
    matches, pixels = [], []
    for _ in range(10):
        tallies = rng.integers(0, 3, (3, 4)).astype(float)
        tallies[:, 0] = tallies[:, 1] * rng.uniform(0.5, 1, 3)
        matches.append(SegmentMatches(tallies, {}))
        true = rng.integers(0, 100, 3)
        pixels.append(SemanticCounts(true, true + rng.integers(0, 9, 3), true // 2))
    weights = draws(10, 1000, seed=0)
    expected = np.quantile([quality_of(matches, row, classes) for row in weights], [0.025, 0.975])
    found = quality_intervals(matches, classes)
    assert (found["all"].low, found["all"].high) == pytest.approx(tuple(expected))
    drawn = [
        semantic_miou([c for c, weight in zip(pixels, row, strict=True) for _ in range(int(weight))]) for row in weights
    ]
    interval = miou_interval(pixels)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    assert interval.low < semantic_miou(pixels) < interval.high


def test_recall_and_clicks_hold_their_figures_and_follow_the_seed():
    rng = np.random.default_rng(5)
    ranks = Ranks(rng.integers(1, 15, 200), np.arange(200) // 2, np.arange(200), np.zeros(200, bool))
    found = ranks.intervals("IR")
    for name, value in ranks.scores.to_json("IR").items():
        assert found[name][0] < value < found[name][1]
    assert found == ranks.intervals("IR") != ranks.intervals("IR", seed=1)
    assert ranks.curve(10)[[0, 4, 9]].tolist() == [ranks.scores.at_1, ranks.scores.at_5, ranks.scores.at_10]
    tracks = [list(rng.random(20)) for _ in range(60)]
    low, high = click_intervals(np.arange(60) // 3, tracks, {"NoC@85": 0.85}, 20)["NoC@85"]
    assert low < clicks_needed(tracks, 0.85, 20) < high


def test_images_alike_have_no_spread_and_nothing_has_no_interval():
    alike = Overlaps(tuple(Overlap(image_id, 1, 0, 30, 60) for image_id in range(9)))
    assert alike.intervals() == {"cIoU": [50, 50], "mIoU": [50, 50], "P@0.5": [100, 100]}
    assert Overlaps(()).intervals() == {}
    assert miou_interval([]) is None
