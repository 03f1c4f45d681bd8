"""Claims about the service: it answers as the library does, and refuses what is too much or wrong in one line."""

import base64
import io
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from pycocotools import mask as coco_mask

from find.query.entity import Region
from find.query.operators import JoinedQuery
from find.query.query import Query
from find.retrieval.album import Album
from find.retrieval.connection import connect
from find.serving.app import create_app
from find.serving.limits import Limits

QUERY = "{a red dog} near {a car}"
HERE = "http://localhost"
JSON = {"content-type": "application/json"}


def _png(width, height):
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode()


def _error(answer, status):
    assert answer.status_code == status, answer.text
    message = answer.json()["error"]
    assert "\n" not in message and list(answer.json()) == ["error"]
    return message


def _wait(until):
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_search_finds_what_the_album_finds(client, album):
    found = client.post("/search", json={"query": QUERY, "k": 4, "masks": True}).json()["hits"]
    hits = album.search(Query.parse(QUERY), 4)
    assert [hit["name"] for hit in found] == [hit.name for hit in hits]
    assert [hit["score"] for hit in found] == pytest.approx([hit.score for hit in hits], abs=1e-5)
    for entity, (term, thing) in enumerate(zip(hits[0].entity_terms, hits[0].objects, strict=True)):
        reported = found[0]["entities"][entity]
        assert (reported["text"], reported["object"]) == (("a red dog", "a car")[entity], thing)
        assert reported["term"] == pytest.approx(term, abs=1e-5)
        assert np.array_equal(coco_mask.decode(reported["segmentation"]).astype(bool), hits[0].mask(entity))


def test_joined_queries_find_what_the_album_finds(client, album):
    body = {"query": QUERY, "and": ["{a tree}"], "without": ["{a red house}", "{a bench}"], "dim": 64, "k": 4}
    found = client.post("/search", json=body).json()["hits"]
    include, exclude = (QUERY, "{a tree}"), ("{a red house}", "{a bench}")
    joined = JoinedQuery(tuple(map(Query.parse, include)), tuple(map(Query.parse, exclude)))
    hits = album.search(joined, 4, dim=64, include_query=True)
    assert [hit["name"] for hit in found] == [hit.name for hit in hits]
    for reported, hit in zip(found, hits, strict=True):
        assert reported["score"] == pytest.approx(hit.score, abs=1e-5)
        assert [query["is_excluded"] for query in reported["queries"]] == [False, False, True, True]
        assert [query["query"] for query in reported["queries"]] == [part.query.text for part in hit.parts]
        assert [query["score"] for query in reported["queries"]] == pytest.approx(
            [p.score for p in hit.parts], abs=1e-5
        )
        assert len(reported["entities"]) == 2
        labels = parse_qs(urlsplit(reported["picture"]).query)["label"]
        assert [sum(name in label for label in labels) for name in ("car ", "tree ", "house ")] == [1, 1, 0]
        assert client.get(reported["picture"]).status_code == 200


def test_joined_queries_share_their_pictures(client, album, photos, names, encoded):
    body = {"query": "like [mine@20,20]", "without": ["{a car}", "like [mine@90,90]"], "images": {"mine": encoded[1]}}
    found = client.post("/search", json=body).json()["hits"]
    one, other = (Query("like ", Region(photos / names[1], points=at)) for at in ((20, 20), (90, 90)))
    hits = album.search(one - Query.parse("{a car}") - other, include_query=True)
    assert [hit["name"] for hit in found] == [hit.name for hit in hits]


def test_what_waits_together_is_answered_by_its_own_filter_and_dim(album, names):
    bodies = [
        {"query": QUERY, "k": 3},
        {"query": QUERY, "dim": 32},
        {"query": "a house", "dim": 32, "without": ["{a tree}"], "k": 2},
        {"query": QUERY, "dim": 32, "where": f"path < '{names[3]}'"},
        {"query": QUERY, "where": f"path < '{names[3]}'"},
    ]
    app, is_busy, may = create_app(album), threading.Event(), threading.Event()
    service = app.state.service
    with TestClient(app, base_url=HERE) as client, ThreadPoolExecutor(len(bodies)) as pool:
        alone = [client.post("/search", json=body).json() for body in bodies]
        service._thread.submit(lambda: (is_busy.set(), may.wait(60)))  # the model is at work
        assert is_busy.wait(60)
        first = pool.submit(client.post, "/search", json=bodies[0])
        _wait(lambda: service._thread._work_queue.qsize() == 1)
        asked = [pool.submit(client.post, "/search", json=body) for body in bodies[1:]]
        _wait(lambda: service._search.waiting == len(asked))
        may.set()
        together = [one.result().json() for one in (first, *asked)]
        assert 'find_batch_size_bucket{le="4.0",work="search"} 7.0' in client.get("/metrics").text
    for mine, other in zip(together, alone, strict=True):
        assert [hit["name"] for hit in mine["hits"]] == [hit["name"] for hit in other["hits"]]
        scores = [hit["score"] for hit in other["hits"]]
        assert [hit["score"] for hit in mine["hits"]] == pytest.approx(scores, abs=1e-5)


def test_a_region_is_shown_by_an_upload_or_by_an_image_of_the_album(client, album, photos, names, encoded):
    region = Region(photos / names[2], box=(20, 20, 120, 120))
    expected = [hit.name for hit in album.search(Query("a thing like ", region), 6, include_query=True)]
    for name, images in (("mine", {"mine": encoded[2]}), (names[2], {})):
        text = f"a thing like [{name}@20,20,120,120]"
        found = client.post("/search", json={"query": text, "images": images, "k": 6, "include_query": True}).json()[
            "hits"
        ]
        assert [hit["name"] for hit in found] == expected


def test_a_mask_travels_like_an_image(client, album, photos, names, encoded):
    bitmap = np.zeros((160, 160), bool)
    bitmap[30:90, 40:100] = True
    stream = io.BytesIO()
    Image.fromarray(bitmap).save(stream, format="PNG")
    images = {"mine": encoded[1], "part": base64.b64encode(stream.getvalue()).decode()}
    found = client.post("/search", json={"query": "like [mine#part]", "images": images}).json()["hits"]
    hits = album.search(Query("like ", Region(photos / names[1], mask=bitmap)), 10, include_query=True)
    assert [hit["name"] for hit in found] == [hit.name for hit in hits]


def test_only_relevant_images_are_answered_with(client, album, encoded):
    every = client.post("/search", json={"query": QUERY, "k": 6}).json()["hits"]
    hits = album.search(QUERY, 6)
    assert [hit["relevance"] for hit in every] == pytest.approx([hit.relevance for hit in hits], abs=1e-5)
    first, second = sorted((hit.relevance for hit in hits), reverse=True)[:2]
    least = (first + second) / 2
    some = client.post("/search", json={"query": QUERY, "k": 6, "min_relevance": least}).json()["hits"]
    assert [hit["name"] for hit in some] == [hit.name for hit in hits if hit.relevance >= least]
    assert client.post("/search", json={"query": QUERY, "min_relevance": 1.0}).json()["hits"] == []
    assert "less than or equal to 1" in _error(client.post("/search", json={"query": QUERY, "min_relevance": 2}), 422)
    (entity,) = client.post("/segment", json={"image": encoded[0], "query": "{a giraffe}"}).json()["entities"]
    assert 0 <= entity["present"] <= 1 and (entity["doubtful"] or entity["present"] >= 0.5)


def test_filters_choose_images(client, names):
    body = {"query": QUERY, "where": f"path = '{names[3]}'"}
    assert [hit["name"] for hit in client.post("/search", json=body).json()["hits"]] == [names[3]]
    assert "no column secret" in _error(client.post("/search", json=body | {"where": "secret = 1"}), 422)


def test_segment_and_embed_give_what_the_model_gives(client, model, photos, names, encoded):
    reported = client.post("/segment", json={"image": encoded[0], "query": QUERY}).json()
    masks = model.segment([photos / names[0]], [Query.parse(QUERY)])[0]
    for entity, found in zip(reported["entities"], masks, strict=True):
        assert np.array_equal(coco_mask.decode(entity["segmentation"]).astype(bool), found.mask)
    reported = client.post("/embed", json={"queries": [QUERY, "a house"], "pictures": encoded[:1]}).json()
    assert reported["model"] == model.fingerprint
    assert [len(query["entities"]) for query in reported["queries"]] == [2, 0]
    queries = model.embed_queries([Query.parse(QUERY), Query("a house")])
    picture = model.embed_images([photos / names[0]])
    assert np.allclose([query["vector"] for query in reported["queries"]], queries.query, atol=1e-5)
    assert np.allclose(reported["pictures"][0]["objects"], picture.objects[0], atol=1e-5)


def test_a_further_question_about_a_picture_does_not_encode_it_again(client, model, names, encoded):
    """Neither a picture of a request, nor one of the album of which something is clicked on."""
    model.feature_cache.clear()
    counts: list[int] = []
    handle = model.vision.register_forward_hook(lambda _, given, __: counts.append(len(given[0])))
    try:
        for query in ("{a red dog}", "{a car}"):
            assert client.post("/segment", json={"image": encoded[0], "query": query}).status_code == 200
        for place in ("20,20", "80,80"):
            assert client.post("/search", json={"query": f"like [{names[2]}@{place}]"}).status_code == 200
        mixed = {"image": encoded[0], "query": f"{{a dog}} like [{names[2]}@50,50]"}
        assert client.post("/segment", json=mixed).status_code == 200
    finally:
        handle.remove()
    assert counts == [1, 1]


def test_queries_to_embed_share_pictures_and_masks(client, model, photos, names, encoded):
    bitmap = np.zeros((160, 160), bool)
    bitmap[30:90, 40:100] = True
    stream = io.BytesIO()
    Image.fromarray(bitmap).save(stream, format="PNG")
    images = {"a": encoded[0], "ab": encoded[1], "m": base64.b64encode(stream.getvalue()).decode()}
    texts = ["like [a@20,20]", "like [ab@20,20]", "like [ab#m]"]
    reported = client.post("/embed", json={"queries": texts, "images": images}).json()
    files = [photos / name for name in names]
    regions = [Region(files[0], points=(20, 20)), Region(files[1], points=(20, 20)), Region(files[1], mask=bitmap)]
    expected = model.embed_queries([Query("like ", region) for region in regions])
    assert np.allclose([query["vector"] for query in reported["queries"]], expected.query, atol=1e-5)
    message = _error(client.post("/embed", json={"queries": texts[:2], "images": images}), 422)
    assert "the image 'm' is not in the query" in message


def test_pictures_of_hits_can_be_fetched(client):
    hit = client.post("/search", json={"query": QUERY, "k": 1}).json()["hits"][0]
    answer = client.get(hit["picture"])
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (480, 480)
    for objects in ("99", ",".join(["0"] * 99)):
        assert "objects 0 to" in _error(client.get(f"/images/{hit['name']}?objects={objects}"), 422)
    assert _error(client.get(f"/images/{hit['name']}?objects={'9' * 5000}"), 422).startswith("objects: ")
    assert _error(client.get(f"/images/{hit['name']}?side=100000"), 422).startswith("side: ")


def test_images_of_the_album_are_there_to_begin_with(client, names):
    reported = client.get("/images?count=2").json()
    assert reported["total"] == 6 and [image["name"] for image in reported["images"]] == [names[0], names[-1]]
    image = client.get("/images").json()["images"][3]
    hit = client.post("/search", json={"query": QUERY, "where": f"path = '{names[3]}'"}).json()["hits"][0]
    assert {name: hit[name] for name in image if name != "picture"} | {"picture": image["picture"]} == image
    assert client.get(image["picture"]).headers["content-type"] == "image/jpeg"
    assert _error(client.get("/images?count=0"), 422).startswith("count: ")


@pytest.mark.parametrize("path", ["/etc/passwd", "../world.json", "..%2fworld.json", "nothing.jpg"])
def test_no_path_leads_out_of_the_album(client, album, path):
    message = _error(client.get(f"/images/{path}"), 404)
    assert str(album.root) not in message and str(album.name) not in message
    message = _error(client.post("/search", json={"query": f"like [{path}@1,1]"}), 422)
    assert message.startswith(f"no image '{path}'") and str(album.root) not in message


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        ({}, "query: Field required"),
        ({"query": QUERY, "k": 0}, "k: Input should be greater than or equal to 1"),
        ({"query": QUERY, "k": 10**6}, "1000000 hits exceed the limit of 200"),
        ({"query": QUERY, "K": 3}, "there is no field K; there are query, and, without, images, k, where, dim"),
        ({"query": QUERY, "and": "a dog"}, "and: Input should be a valid list"),
        ({"query": QUERY, "and": ["a dog", "{a cat"]}, "and[1]: part 1 of the query"),
        ({"query": QUERY, "without": [" "]}, "without[0]: the query is empty"),
        ({"query": QUERY, "and": ["a dog"] * 16}, "17 queries exceed the limit of 16"),
        ({"query": "a" * 1500, "and": ["a" * 1500]}, "3000 characters of a query"),
        ({"query": "{a} " * 10, "without": ["{a} " * 10]}, "20 entities"),
        ({"query": QUERY, "dim": 0}, "dim: Input should be greater than or equal to 1"),
        ({"query": QUERY, "dim": 4096}, "dim: the album's vectors have 128 values, not 4096"),
        ({"query": "{a dog"}, "never closed"),
        ({"query": "   "}, "empty"),
        ({"query": "a" * 5000}, "characters of a query"),
        ({"query": "{a} " * 30}, "30 entities"),
        ({"query": QUERY, "where": "width > 1" + " AND width > 1" * 500}, "characters of a filter"),
        ({"query": "like [x@1,1]", "images": {"x": "%%%"}}, "x: not base64"),
        ({"query": "like [x@1,1]", "images": {"x": "aGVsbG8="}}, "read (cannot identify image file)"),
        ({"query": "like [x@999,1]", "images": {"x": _png(8, 8)}}, "outside the image"),
        ({"query": "like [x#m]", "images": {"x": _png(8, 8)}}, "the mask 'm' is missing"),
        ({"query": "a dog", "images": {"x": _png(8, 8)}}, "the image 'x' is not in the query"),
    ],
)
def test_wrong_searches_are_told_in_one_line(client, body, reported):
    assert reported in _error(client.post("/search", json=body), 422)


def test_what_is_no_json_is_told(client):
    assert "not JSON" in _error(client.post("/search", content=b"{", headers=JSON), 422)
    assert _error(client.get("/search"), 405) and _error(client.get("/nothing"), 404)


def test_millions_of_wrong_parts_are_refused_without_a_look_at_each(client):
    """Of each of them pydantic would tell: 15 GB for 30 MB of numbers."""
    for name, many in {
        "queries": b"[" + b"1," * 4_000_000 + b"1]",
        "images": b"{" + b",".join(b'"%d":1' % number for number in range(400_000)) + b"}",
    }.items():
        answer = client.post("/embed", content=b'{"%s":%s}' % (name.encode(), many), headers=JSON)
        assert f"{name} has " in _error(answer, 422)
    wrong = b"{" + b",".join(b'"%d":1' % number for number in range(400_000)) + b"}"
    assert "there is no field 0;" in _error(client.post("/embed", content=wrong, headers=JSON), 422)


@pytest.mark.parametrize(
    "body",
    [r'{"query": "\ud800"}', r'{"query": "a", "images": {"\ud800": ""}}', r'{"query": "a", "without": ["\ud800"]}'],
)
def test_a_lone_surrogate_is_refused(client, body):
    assert "not valid Unicode" in _error(client.post("/search", content=body, headers=JSON), 422)
    assert "there is no field" in _error(client.post("/search", content=r'{"\ud800": 1}', headers=JSON), 422)


def test_segment_needs_an_entity(client, encoded):
    assert "no entity" in _error(client.post("/segment", json={"image": encoded[0], "query": "?"}), 422)


def test_large_bodies_and_pictures_are_refused_before_they_are_read(album, names):
    with TestClient(create_app(album, limits=Limits(body_bytes=20_000, pixels=10_000)), base_url=HERE) as client:
        huge = {"query": "like [x@1,1]", "images": {"x": "A" * 30_000}}
        assert "larger than" in _error(client.post("/search", json=huge), 413)
        parts = iter([b"a" * 15_000, b"a" * 15_000])  # without a length in its head
        assert "larger than" in _error(client.post("/search", content=parts), 413)
        wide = {"query": "like [x@1,1]", "images": {"x": _png(200, 200)}}
        assert "200 x 200 pixels" in _error(client.post("/search", json=wide), 413)
        many = {"queries": [f"like [{name}@1,1]" for name in "ab"], "images": dict.fromkeys("ab", _png(80, 80))}
        assert "in all its pictures" in _error(client.post("/embed", json=many), 413)  # each alone is small enough
        stored = {"query": f"like [{names[0]}@1,1]"}
        assert "160 x 160 pixels" in _error(client.post("/search", json=stored), 413)
    with TestClient(create_app(album, limits=Limits(images=2)), base_url=HERE) as client:
        many = {"queries": ["like [x@1,1]"], "images": {"x": _png(8, 8)}, "pictures": [_png(8, 8)] * 2}
        assert "3 images exceed the limit of 2" in _error(client.post("/embed", json=many), 422)


def test_a_request_is_given_up_in_time_and_one_too_many_refused(album):
    app, may = create_app(album, limits=Limits(seconds=0.5, waiting=1)), threading.Event()
    with TestClient(app, base_url=HERE) as client:
        app.state.service._thread.submit(may.wait, 60)  # the model is at work
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: client.post("/search", json={"query": QUERY}), range(4)))
        may.set()
        reported = {answer.status_code: _error(answer, answer.status_code) for answer in answers}
        assert reported.keys() == {429, 504} and reported[504] == "no answer within 0.5 s; try again later"


def test_an_album_whose_files_are_gone_is_no_fault_of_the_request(album, model, tmp_path):
    shutil.copytree(album.name, tmp_path / "gone.album")
    opened, hits = Album.open(tmp_path / "gone.album", model, photos=album.root), album.search(Query.parse(QUERY))
    for file in (tmp_path / "gone.album/images.lance/data").iterdir():
        file.unlink()
    with TestClient(create_app(opened), base_url=HERE, raise_server_exceptions=False) as client:
        name = hits[0].name
        body = {"query": QUERY}
        asked = [body, body | {"where": "width > 1"}, body | {"query": f"like [{name}@1,1]"}]
        answers = [client.post("/search", json=body) for body in asked]
        for answer in (*answers, client.get(f"/images/{name}")):
            message = _error(answer, 503)
            assert "cannot be read" in message and str(tmp_path) not in message


def test_more_open_requests_than_can_be_held_are_refused(album):
    app, may = create_app(album, limits=Limits(open=2)), threading.Event()
    service = app.state.service
    with TestClient(app, base_url=HERE) as client, ThreadPoolExecutor(2) as pool:
        service._thread.submit(may.wait, 60)  # the model is at work
        asked = [pool.submit(client.post, "/search", json={"query": QUERY})]
        _wait(lambda: service._thread._work_queue.qsize() == 1)
        asked.append(pool.submit(client.post, "/search", json={"query": QUERY}))
        _wait(lambda: service._search.waiting == 1)
        answer = client.post("/embed", json={"queries": ["a dog"]})
        assert "2 requests are open" in _error(answer, 503) and answer.headers["retry-after"]
        assert client.get("/healthz").status_code == 200
        may.set()
        assert [one.result().status_code for one in asked] == [200, 200]


def test_an_album_that_is_indexed_again_is_followed(model, photos, names, tmp_path):
    mine, folder = tmp_path / "photos", tmp_path / "my.album"
    mine.mkdir()
    for name in names[:3]:
        shutil.copy(photos / name, mine)
    opened = Album.build(model, mine, folder, progress=False)
    assert opened.latest() is opened
    with TestClient(create_app(opened, look_seconds=0.05), base_url=HERE) as client:
        assert client.get("/readyz").json()["images"] == 3
        for name in names[3:]:
            shutil.copy(photos / name, mine)
        (mine / names[0]).unlink()
        Album.build(model, mine, folder, progress=False)
        connect(folder).open_table("images").optimize(cleanup_older_than=timedelta(0))  # the old files are gone
        service = client.app.state.service
        _wait(lambda: service.album.latest() is service.album)
        assert client.get("/readyz").json()["images"] == 5
        found = client.post("/search", json={"query": QUERY, "k": 9}).json()["hits"]
        assert {hit["name"] for hit in found} == set(names[1:])
        assert "find_album_images 5.0" in client.get("/metrics").text
        shutil.rmtree(folder)
        time.sleep(0.2)
        assert client.get("/readyz").json()["images"] == 5  # nothing to follow any more


def test_storage_that_fails_once_is_looked_at_again(album, model):
    class Unsteady(Album):
        """Its storage fails in a way of its own whenever it is looked at."""

        looks = 0

        def latest(self):
            type(self).looks += 1
            raise KeyError("not a FindError")

    opened = Unsteady.open(album.name, model)
    with TestClient(create_app(opened, look_seconds=0.01), base_url=HERE) as client:
        _wait(lambda: Unsteady.looks > 2)
        assert client.get("/readyz").status_code == 200


def test_health_readiness_and_metrics(album):
    with TestClient(create_app(album), base_url=HERE) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json()["images"] == 6
        client.post("/search", json={"query": QUERY})
        text = client.get("/metrics").text
    assert 'find_requests_total{path="/search",status="200"} 1.0' in text
    assert "find_album_images 6.0" in text and 'find_batch_size_count{work="search"} 1.0' in text


def test_every_route_is_described(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/search", "/segment", "/interact", "/embed", "/images", "/images/{name}"} <= set(paths)
    assert {"/readyz", "/metrics"} <= set(paths)
    assert "429" in paths["/search"]["post"]["responses"]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_description_needs_nothing_from_elsewhere(client, page):
    text = client.get(page).text
    assert "http://" not in text and "https://" not in text and "'/openapi.json'" in text.replace('"', "'")
    for address in re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=[\"']([^\"']+)", text):
        assert address.startswith("/")
        answer = client.get(address)
        assert answer.status_code == 200 and len(answer.content) > 1000


def test_the_page_needs_nothing_from_elsewhere(client):
    answer = client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    parts = re.findall(r"(?:src|href)=\"(page/[^\"]+)", answer.text)
    assert len(parts) == 3
    for text in [answer.text, *(client.get(f"/{part}").text for part in parts)]:
        assert len(text) > 300 and "http://" not in text and "https://" not in text
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_requests_in_plain_english_are_read_as_people_mean_them(client):
    plain = client.post("/search", json={"query": "show me a red dog without a car"}).json()
    braces = client.post("/search", json={"query": "{a red dog}", "without": ["{a car}"]}).json()
    assert plain["hits"] == braces["hits"] and plain["read_as"] == ["{a red dog}"]
    assert plain["notes"] == ['"show me" left out', "without {a car}"] and braces["notes"] == []
    assert "no thing was found" in client.post("/search", json={"query": "left of"}).json()["notes"][0]
    assert "only says what must not be there" in _error(client.post("/search", json={"query": "no dog"}), 422)


def test_plain_sentences_are_read_and_told_as_queries_with_braces(client, encoded):
    plain, braces = "a red dog left of a car", "{a red dog} left of {a car}"
    found, same = (
        client.post("/search", json={"query": text, "without": ["{a cat} here"]}).json() for text in (plain, braces)
    )
    assert found["read_as"] == same["read_as"] == [braces, "{a cat} here"]
    assert found["hits"] == same["hits"]
    masks = [client.post("/segment", json={"image": encoded[0], "query": text}).json() for text in (plain, braces)]
    assert masks[0] == masks[1] and masks[0]["read_as"] == braces
    shown = f"a dog like [{'mine'}@20,20]"  # a region switches the tagger off
    body = {"query": shown, "images": {"mine": encoded[0]}}
    assert client.post("/search", json=body).json()["read_as"] == [shown]
    many = {"query": "a dog and a cat and " * 9}
    assert "entities" in _error(client.post("/search", json=many), 422)
