"""Panoptic quality: COCO's own evaluation on real files, and hand-made crowd and void cases."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from find.errors import FindError
from find.evaluation.panoptic_quality import Quality, match_segments, panoptic_quality


def read_ids(path: Path) -> np.ndarray:
    red, green, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB")).astype(np.int32), -1, 0)
    return red + 256 * green + 65536 * blue


def same(quality: Quality, expected: dict) -> bool:
    return all(abs(getattr(quality, key) - expected[key]) < 1e-9 for key in ("pq", "sq", "rq"))


def test_equals_cocos_own_evaluation_with_crowd_void_and_unlabelled_pixels(shared: Path):
    folder, reference = shared / "coco-sample" / "coco", shared / "reference" / "pq"
    truth = json.loads((folder / "annotations" / "panoptic_val2017.json").read_text())
    annotations = {a["image_id"]: a for a in truth["annotations"]}
    expected = json.loads((reference / "expected.json").read_text())
    is_thing = {c["id"]: bool(c["isthing"]) for c in truth["categories"]}
    found = []
    for predicted in json.loads((reference / "predictions.json").read_text())["annotations"]:
        target = annotations[predicted["image_id"]]
        matches = match_segments(
            image_id=predicted["image_id"],
            category_ids=list(is_thing),
            target_map=read_ids(folder / "panoptic_val2017" / target["file_name"]),
            target_categories={s["id"]: s["category_id"] for s in target["segments_info"]},
            crowd={s["id"] for s in target["segments_info"] if s["iscrowd"]},
            predicted_map=read_ids(reference / "pred" / predicted["file_name"]),
            predicted_categories={s["id"]: s["category_id"] for s in predicted["segments_info"]},
        )
        found.append(matches)
    scores = panoptic_quality(found, is_thing)
    assert scores == panoptic_quality(found[::-1], is_thing)
    for group, got in (("All", scores.all), ("Things", scores.things), ("Stuff", scores.stuff)):
        assert same(got, expected["expected"][group]), group
        assert got.classes == expected["expected"][group]["n"]
    for category, values in expected["expected"]["per_class"].items():
        got = scores.per_class.get(int(category), Quality(0.0, 0.0, 0.0, 1))
        assert same(got, values), category


def match(is_thing, target, predicted, target_categories, predicted_categories, crowd=()):
    return match_segments(
        image_id=1,
        target_map=np.array([target]),
        target_categories=target_categories,
        predicted_map=np.array([predicted]),
        predicted_categories=predicted_categories,
        category_ids=list(is_thing),
        crowd=crowd,
    )


def test_iou_must_exceed_one_half_and_the_category_must_agree():
    classes = {1: True, 2: False}
    matches = match(classes, [5, 5, 6, 6], [1, 1, 2, 0], {5: 1, 6: 2}, {1: 2, 2: 2})
    assert matches.ious == {5: 0.0, 6: 0.0}
    scores = panoptic_quality([matches], classes)
    assert scores.things == Quality(0, 0, 0, 1)
    assert scores.stuff == Quality(0, 0, 0, 1)


def test_void_under_a_prediction_costs_nothing():
    classes = {1: True}
    whole = match(classes, [5, 5, 0, 0], [1, 1, 1, 1], {5: 1}, {1: 1})
    assert whole.ious == {5: 1.0}
    assert panoptic_quality([whole, match(classes, [0, 0, 0, 5], [1, 1, 1, 1], {}, {1: 1})], classes).all.pq == 1


def test_a_prediction_in_a_crowd_of_its_category_is_ignored_and_one_of_another_category_is_false():
    classes = {1: True, 2: True}
    matches = match(classes, [5, 5, 5, 5], [1, 1, 2, 2], {5: 1}, {1: 1, 2: 2}, crowd={5})
    assert matches.ious == {}
    assert set(panoptic_quality([matches], classes).per_class) == {2}


def test_order_of_images_and_numbering_of_segments_change_nothing():
    rng = np.random.default_rng(0)
    target, predicted = rng.integers(0, 4, (2, 6, 50))
    classes, categories = {1: True, 2: False}, {1: 1, 2: 2, 3: 1}
    pairs = list(zip(target, predicted, strict=True))
    forward = [match(classes, t, p, categories, categories) for t, p in pairs]
    backward = [
        match(classes, t, np.array([0, 70, 30, 50])[p], categories, {70: 1, 30: 2, 50: 1}) for t, p in pairs[::-1]
    ]
    assert panoptic_quality(forward, classes) == panoptic_quality(backward, classes)


def test_bad_predictions_are_named():
    classes = {1: True}
    with pytest.raises(FindError, match="segment 9 of the predicted map has no category"):
        match(classes, [5], [9], {5: 1}, {})
    with pytest.raises(FindError, match="unknown category 3"):
        match(classes, [5], [9], {5: 1}, {9: 3})
    with pytest.raises(FindError, match="predicted panoptic map is 2x1, the target 1x1"):
        match(classes, [5], [9, 9], {5: 1}, {9: 1})
