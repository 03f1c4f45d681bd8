"""Claims about pointing at things over HTTP: the model's own masks, each picture encoded once, clear refusals."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from find.query.entity import Region

POINT, BOX, NEGATIVE = (60, 100), (20, 30, 90, 120), (10, 10)
LINE, OUTLINE = [(50, 90), (60, 100), (72, 104)], [(40, 80), (90, 85), (70, 120)]
BLANK = np.zeros((160, 160, 3), np.uint8)


def _mask(answer):
    assert answer.status_code == 200, answer.text
    return coco_mask.decode(answer.json()["segmentation"]).astype(bool)


@pytest.mark.parametrize(
    ("body", "stroke", "negative"),
    [
        ({"points": [POINT]}, [POINT], None),
        ({"box": BOX}, BOX, None),
        ({"points": [POINT, (70, 110)], "negatives": [NEGATIVE]}, [POINT, (70, 110)], [NEGATIVE]),
        ({"scribbles": [LINE]}, Region(BLANK, scribble=LINE), None),
        ({"lassos": [OUTLINE]}, Region(BLANK, polygon=OUTLINE), None),
        ({"points": [POINT], "negative_scribbles": [LINE]}, [POINT], Region(BLANK, scribble=LINE)),
    ],
    ids=["point", "box", "negative", "scribble", "lasso", "negative scribble"],
)
def test_what_is_pointed_at_is_what_the_model_takes(client, model, photos, names, encoded, body, stroke, negative):
    found = model.interact([photos / names[0]], [[stroke]], [[negative]])[0][0]
    for picture in ({"image": encoded[0]}, {"name": names[0]}):
        answer = client.post("/interact", json=picture | body)
        assert np.array_equal(_mask(answer), found.mask)
        assert answer.json()["score"] == pytest.approx(found.score, abs=1e-3)


@pytest.mark.parametrize("given", ["an image of the album", "an upload"])
def test_a_picture_is_encoded_at_its_first_question_only(client, model, names, encoded, monkeypatch, given):
    picture = {"image": encoded[1]} if given == "an upload" else {"name": names[1]}
    client.post("/interact", json=picture | {"points": [POINT]})
    cached, encode = model.feature_cache, []

    def counted(pictures, frames, device, work, kept=cached.encode):
        return kept(pictures, frames, device, lambda *args: encode.append(args) or work(*args))

    monkeypatch.setattr(cached, "encode", counted)
    _mask(client.post("/interact", json=picture | {"box": BOX}))
    assert client.post("/segment", json=picture | {"query": "{a dog}"}).status_code == 200
    assert not encode
    model.feature_cache.clear()
    _mask(client.post("/interact", json=picture | {"box": BOX}))
    assert len(encode) == 1


def test_words_segment_an_image_of_the_album_as_its_file(client, names, encoded):
    pictures = ({"image": encoded[0]}, {"name": names[0]})
    asked = [client.post("/segment", json=picture | {"query": "{a dog}"}) for picture in pictures]
    assert asked[0].status_code == 200 and asked[0].json() == asked[1].json()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"points": [POINT]}, "one picture"),
        ({"name": "none.jpg", "points": [POINT]}, "none.jpg"),
        ({"name": 0}, "points or a box"),
        ({"name": 0, "points": [(1000, 0)]}, "points: (1000, 0) is outside"),
        ({"name": 0, "points": [POINT], "negatives": [(0, -1)]}, "negatives: (0, -1) is outside"),
        ({"name": 0, "box": (1000, 1000, 1100, 1100)}, "box"),
        ({"name": 0, "points": [(1, 2, 3)]}, "points"),
        ({"name": 0, "points": [POINT] * 65}, "64"),
        ({"name": 0, "scribbles": [[POINT]]}, "scribbles.0"),
        ({"name": 0, "scribbles": [[POINT, (160, 0)]]}, "scribbles[0]: (160, 0) is outside"),
        ({"name": 0, "scribbles": [[POINT] * 501]}, "500"),
        ({"name": 0, "scribbles": [["x"] * 100_000]}, "scribbles.0"),
        ({"name": 0, "lassos": [LINE[:2]]}, "lassos.0"),
        ({"name": 0, "lassos": [[(-9, -9), (-5, -9), (-5, -5)]]}, "outside"),
        ({"name": 0, "points": [POINT], "negative_scribbles": [[POINT, (0, -1)]]}, "negative_scribbles[0]"),
    ],
)
def test_wrong_pointing_is_refused_in_one_line(client, names, body, expected):
    body = body | ({"name": names[0]} if body.get("name") == 0 else {})
    answer = client.post("/interact", json=body)
    assert answer.status_code == 422 and expected in answer.json()["error"] and "\n" not in answer.json()["error"]
