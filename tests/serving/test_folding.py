"""Claims about folded hits: copies of a picture and frames of a film are told with one hit."""

import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from find.retrieval.hits import Hit
from find.serving.searching import Group, relevant_groups

DOG = {"query": "{a dog}", "fold": True}


@pytest.fixture(scope="module")
def folder(photos, names, tmp_path_factory):
    """Four photographs, smaller copies of the first two, and a film of two others, three seconds each."""
    av = pytest.importorskip("av", reason="films need: pip install 'findvl[video]'")
    from find.images.images import read_image

    folder = tmp_path_factory.mktemp("folded") / "photos"
    folder.mkdir()
    for name in names[:4]:
        shutil.copy(photos / name, folder)
    for name in names[:2]:
        Image.open(photos / name).resize((140, 140)).save(folder / f"copy-{name}", quality=90)
    with av.open(str(folder / "walk.webm"), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=4)
        stream.width = stream.height = 160
        stream.pix_fmt = "yuv420p"
        for name in [names[4]] * 12 + [names[5]] * 12:
            frame = np.ascontiguousarray(read_image(photos / name))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return folder


@pytest.fixture(scope="module")
def client(model, folder):
    from fastapi.testclient import TestClient

    from find.retrieval.album import Album
    from find.serving.app import create_app

    album = Album.build(model, folder, folder.parent / "folded.album", progress=False)
    with TestClient(create_app(album), base_url="http://localhost") as client:
        yield client


def hits_of(client, **asked):
    answer = client.post("/search", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()["hits"]


def test_copies_are_told_with_their_picture(client, names):
    hits = hits_of(client, **DOG)
    for name in names[:2]:
        (hit,) = [one for one in hits if one["name"] in (name, f"copy-{name}")]
        assert {hit["name"], *hit["duplicates"]} == {name, f"copy-{name}"}
    assert [one["rank"] for one in hits] == list(range(1, 6))
    assert all(not one["duplicates"] and not one["moments"] for one in hits if one["name"] in names[2:4])


def test_a_film_is_its_best_frame_with_all_frames_that_a_search_finds(client):
    frames = [one for one in hits_of(client, query="{a dog}", k=50) if one["name"] == "walk.webm"]
    (film,) = [one for one in hits_of(client, **DOG) if one["name"] == "walk.webm"]
    assert film["frame"] == frames[0]["frame"] and film["score"] == frames[0]["score"]
    expected = {one["frame"]: one["score"] for one in frames}
    assert {one["frame"]: one["score"] for one in film["moments"]} == expected and len(expected) > 4
    seconds = [one["seconds"] for one in film["moments"]]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_few_hits_are_the_first_of_many(client, k):
    few, many = hits_of(client, **DOG, k=k), hits_of(client, **DOG, k=50)
    assert [one["name"] for one in few] == [one["name"] for one in many[:k]]


def test_each_hit_stands_where_its_best_image_does_without_folding(client):
    flat = hits_of(client, query="{a dog}", k=50)
    assert not any(one["duplicates"] or one["moments"] for one in flat)
    best = {(one["name"], one["frame"]): one["score"] for one in flat}
    folded = hits_of(client, **DOG, k=50)
    assert [one["score"] for one in folded] == [best[one["name"], one["frame"]] for one in folded]
    assert [one["score"] for one in folded] == sorted((one["score"] for one in folded), reverse=True)


def test_moments_of_too_little_relevance_are_left_out(client):
    frames = [one for one in hits_of(client, query="{a dog}", k=50) if one["name"] == "walk.webm"]
    relevances = sorted({one["relevance"] for one in frames})
    least = (relevances[0] + relevances[-1]) / 2
    found = [one for one in hits_of(client, **DOG, min_relevance=least, k=50) if one["name"] == "walk.webm"]
    kept = {one["frame"] for one in frames if one["relevance"] >= least}
    assert 0 < len(kept) < len(frames)
    assert [{moment["frame"] for moment in one["moments"]} for one in found] == [kept]
    assert all(one["frame"] in kept for one in found)


def test_a_film_keeps_its_copies_whether_or_not_a_relevance_is_asked():
    frame = Hit(Path("a.webm"), "a.webm", 0.9, (), 1, 1, None, frame=3, seconds=1.0, relevance=0.8)
    other = replace(frame, score=0.7, frame=4, seconds=1.3, relevance=0.6)
    best = replace(frame, duplicates=("b.webm at 1.0 s",))
    for least in (None, 0.7):
        [kept] = relevant_groups([Group(best, (frame, other))], least)
        assert kept.hit.duplicates == best.duplicates
    [kept] = relevant_groups([Group(replace(best, relevance=0.1), (replace(frame, relevance=0.1), other))], 0.5)
    assert kept.hit.frame == other.frame and kept.moments == (other,)


def test_filters_hold_for_hits_moments_and_copies(client, names):
    (hit,) = hits_of(client, **DOG, where=f"path = 'copy-{names[0]}'")
    assert hit["duplicates"] == []
    (film,) = hits_of(client, **DOG, where="seconds >= 3")
    assert all(one["seconds"] >= 3 for one in film["moments"])


def test_pictures_have_the_colors_of_the_query(client):
    (hit,) = hits_of(client, **{"query": "{a dog}", "and": ["{a dog}", "{the sky}"], "k": 1})
    asked = parse_qs(urlsplit(hit["picture"]).query)
    dog, sky = asked["objects"][0].split(",")
    assert dog == str(hit["entities"][0]["object"]) != sky and asked["colors"] == ["0,2"]
    plain, drawn = client.get(hit["picture"].split("&")[0]), client.get(hit["picture"])
    assert drawn.status_code == 200 and drawn.content != plain.content
