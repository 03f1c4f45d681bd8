"""Claims about finding all and panoptic over HTTP: what the model answers, under thresholds and classes of each
request, and clear refusals."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from find.query.entity import Region
from find.query.query import Query
from find.serving.everything import Sought, ToDivide, divide_each, find_each

CLASSES = ["dog", "car", "ball", "grass", "sky"]


def _masks(records):
    return [coco_mask.decode(one["segmentation"]).astype(bool) for one in records]


@pytest.mark.parametrize("query", ["{a dog}", "[scene.jpg@60,100]"], ids=["words", "example"])
def test_all_instances_are_those_of_the_model(client, model, photos, names, query):
    query = query.replace("scene.jpg", names[0])
    expected = model.find_all(photos / names[1], Query.parse(query, photos), threshold=0.05)
    answer = client.post("/find-all", json={"name": names[1], "query": query, "threshold": 0.05}).json()
    assert expected and np.array_equal(_masks(answer["instances"]), [one.mask for one in expected])
    assert [one["score"] for one in answer["instances"]] == pytest.approx([one.score for one in expected], abs=1e-3)


def test_examples_are_joined_and_taken_away(client, model, photos, names):
    a, b, c = (Region(photos / name, points=(60, 100)) for name in names[:3])
    expected = model.find_all(photos / names[3], a & b - c, threshold=0.01)
    texts = [f"[{name}@60,100]" for name in names[:3]]
    body = {"name": names[3], "query": texts[0], "and": [texts[1]], "without": [texts[2]], "threshold": 0.01}
    assert np.array_equal(_masks(client.post("/find-all", json=body).json()["instances"]), [m.mask for m in expected])


def test_requests_of_different_thresholds_and_classes_share_a_call(model, photos, names):
    from find.images.images import read_image
    from find.model.class_sets import ClassSet
    from find.query.operators import JoinedQuery

    picture, query = read_image(photos / names[0]), JoinedQuery.of("{a dog}")
    items = [Sought(picture, query, threshold) for threshold in (0.0, 0.3, 1.0)]
    for item, found in zip(items, find_each(model, items, [query] * 3), strict=True):
        alone = model.find_all(picture, "{a dog}", threshold=item.threshold)
        assert [one.score for one in found] == pytest.approx([one.score for one in alone], abs=1e-4)
    sets = [ClassSet.of(CLASSES), ClassSet.of(["house"]), ClassSet.of(CLASSES)]
    found = divide_each(model, [ToDivide(picture, classes) for classes in sets])
    for one, classes in zip(found, sets, strict=True):
        assert np.array_equal(one.segment_map, model.panoptic(picture, classes).segment_map)


def test_panoptic_segments_are_the_model_s_and_share_no_pixel(client, model, photos, names):
    expected = model.panoptic(photos / names[0], CLASSES)
    answer = client.post("/panoptic", json={"name": names[0], "classes": CLASSES}).json()
    masks = _masks(answer["segments"])
    assert [one["text"] for one in answer["segments"]] == [one.name for one in expected.segments] and masks
    assert np.array_equal(np.sum(masks, axis=0) > 0, expected.segment_map > 0) and np.sum(masks, axis=0).max() == 1
    assert {one["text"]: one["is_thing"] for one in answer["segments"]}.items() <= dict(
        zip(CLASSES, (True, True, True, False, False), strict=True)
    ).items()


@pytest.mark.parametrize(
    ("path", "body", "reported"),
    [
        ("/find-all", {"query": "{a dog} on {grass}"}, "2 entities"),
        ("/find-all", {"query": "{a dog}", "threshold": 1.5}, "threshold"),
        ("/find-all", {"query": "{a dog}", "images": {"rex": "AAAA"}}, "not in the query"),
        ("/panoptic", {"classes": []}, "classes"),
        ("/panoptic", {"classes": ["dog", " "]}, "classes[1] is empty"),
        ("/panoptic", {"classes": ["dog", "car", "dog"]}, "classes[2] repeats 'dog'"),
        ("/panoptic", {"classes": ["dog", "car"], "is_thing": [True]}, "2 class names but 1"),
        ("/panoptic", {"classes": ["d" * 300] * 9}, "2700 characters"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(client, names, path, body, reported):
    answer = client.post(path, json={"name": names[0]} | body)
    assert answer.status_code == 422 and reported in answer.json()["error"] and "\n" not in answer.json()["error"]


def test_pictures_of_the_query_are_no_hits_unless_asked_for(client, names):
    body = {"query": f"[{names[0]}@60,100]", "k": len(names)}
    own, all_ = (
        client.post("/search", json=body | {"include_query": include}).json()["hits"] for include in (False, True)
    )
    assert len(all_) == len(names) and [hit["name"] for hit in own] == [
        h["name"] for h in all_ if h["name"] != names[0]
    ]
