"""Claims about uploads that are kept: a handle stands for its file in every request, for so long and so many bytes."""

import time

import numpy as np
import pytest

from find.serving.app import create_app
from find.serving.limits import Limits, Refusal
from find.serving.picture_store import PictureStore


def picture(value: int, side: int = 10) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def test_a_handle_stands_for_the_file_in_every_request(client, encoded):
    kept = client.post("/pictures", json={"image": encoded[0]}).json()
    assert (kept["width"], kept["height"]) == (160, 160)
    handle = kept["picture"]
    for path, body in (
        ("/interact", lambda image: {"image": image, "points": [(60, 100)]}),
        ("/segment", lambda image: {"image": image, "query": "{a dog} on [rex@60,100]", "images": {"rex": image}}),
        ("/search", lambda image: {"query": "[rex@60,100]", "images": {"rex": image}}),
        ("/find-all", lambda image: {"image": image, "query": "[rex@60,100]", "images": {"rex": image}}),
        ("/panoptic", lambda image: {"image": image, "classes": ["dog", "car"]}),
        ("/embed", lambda image: {"pictures": [image]}),
    ):
        by_handle, by_file = (client.post(path, json=body(image)) for image in (handle, encoded[0]))
        assert by_handle.status_code == 200 and by_handle.json() == by_file.json(), path
    assert client.post("/pictures", json={"image": encoded[0]}).json()["picture"] == handle


def test_an_expired_handle_is_told_from_a_wrong_picture(client):
    answer = client.post("/interact", json={"image": "picture:00", "points": [(1, 1)]})
    assert answer.status_code == 410 and "send the picture to /pictures again" in answer.json()["error"]
    assert client.post("/pictures", json={"image": "AAAA"}).status_code == 422


def test_pictures_of_too_many_bytes_drop_the_least_recently_used():
    kept = PictureStore(2 * picture(0).nbytes, seconds=60)
    first, second = kept.add(picture(1)), kept.add(picture(2))
    assert np.array_equal(kept.get(first), picture(1))
    third = kept.add(picture(3))
    assert np.array_equal(kept.get(first), picture(1)) and np.array_equal(kept.get(third), picture(3))
    with pytest.raises(Refusal, match="not kept any more"):
        kept.get(second)
    with pytest.raises(Refusal, match="send it with each request"):
        kept.add(picture(4, side=20))


def test_pictures_are_forgotten_some_time_after_their_last_use():
    now = 0.0
    kept = PictureStore(1 << 20, seconds=60, clock=lambda: now)
    first, second = kept.add(picture(1)), kept.add(picture(2))
    now = 50.0
    kept.get(first)
    now = 100.0
    kept.get(first)
    with pytest.raises(Refusal):
        kept.get(second)
    assert len(kept) == 1
    now = 161.0
    assert len(kept) == 0 and kept.nbytes == 0


def test_the_service_s_bound_holds_for_kept_pictures(album, encoded):
    from fastapi.testclient import TestClient

    app = create_app(album, limits=Limits(upload_bytes=160 * 160 * 3))
    with TestClient(app, base_url="http://localhost") as client:
        handles = [client.post("/pictures", json={"image": image}).json()["picture"] for image in encoded[:2]]
        codes = [client.post("/interact", json={"image": h, "points": [(9, 9)]}).status_code for h in handles]
    assert codes == [410, 200]


def test_a_click_in_a_kept_picture_takes_less_than_300_ms_of_processor_time(client, encoded):
    body = {"image": client.post("/pictures", json={"image": encoded[0]}).json()["picture"]}
    clicks = []
    for x in range(40, 48):
        begin = time.process_time()
        assert client.post("/interact", json=body | {"points": [(x, 100)]}).status_code == 200
        clicks.append(time.process_time() - begin)
    assert np.median(clicks[1:]) < 0.3
    print(f"CPU ms: {[round(1000 * one) for one in clicks]}")
