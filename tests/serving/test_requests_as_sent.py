"""Whatever is sent to the service, it answers, or says in one line what is wrong with the request; it never fails."""

import base64
import io
import json
import random
from typing import Any
from urllib.parse import quote

import pytest
from breaking import VALUES, broken, quick, thorough
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
REFUSED = {404, 405, 413, 422, 503}
"""503 where the device's memory does not suffice; none of these requests may get it."""


def small(kind: str = "PNG", size: tuple[int, int] = (24, 16)) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(stream, format=kind)
    return stream.getvalue()


def base(data: bytes) -> str:
    return base64.b64encode(data).decode()


PICTURE = base(small())
BODIES: dict[str, dict[str, Any]] = {
    "/search": {
        "query": "{a red dog} by [rex@12,8]", "and": ["{a car}"], "without": ["night"], "images": {"rex": PICTURE},
        "k": 2, "where": "width > 1", "dim": 16, "masks": True,
    },
    "/segment": {"image": PICTURE, "query": "{a dog} on [rex#m]", "images": {"rex": PICTURE, "m": PICTURE}},
    "/interact": {
        "image": PICTURE, "points": [[1, 2]], "box": [0, 0, 9, 9], "scribbles": [[[1, 1], [4, 4]]],
        "lassos": [[[1, 1], [4, 4], [1, 4]]], "negatives": [[9, 9]], "negative_scribbles": [[[20, 1], [20, 9]]],
    },
    "/find-all": {
        "image": PICTURE, "query": "{a dog}", "and": ["[rex@1,1]"], "without": ["{a car}"], "images": {"rex": PICTURE},
        "threshold": 0.4,
    },
    "/panoptic": {"image": PICTURE, "classes": ["dog", "sky"], "is_thing": [True, False]},
    "/pictures": {"image": PICTURE},
    "/embed": {"queries": ["{a dog}", "[rex@0,0,9,9]"], "images": {"rex": PICTURE}, "pictures": [PICTURE]},
}  # fmt: skip


def expected(answer: Any) -> bool:
    """Whether the request was refused; what is told of it is one line."""
    assert answer.status_code in {200, *REFUSED} - {503}, answer.text
    if answer.status_code == 200:
        return False
    error = answer.json()["error"]
    assert error.strip() and "\n" not in error and len(error) < 3000, error
    return True


def sent(client: Any, path: str, body: bytes) -> bool:
    return expected(client.post(path, content=body, headers={"content-type": "application/json"}))


@pytest.mark.parametrize("path", BODIES)
def test_the_sound_requests_are_answered(client, path: str):
    assert not sent(client, path, json.dumps(BODIES[path]).encode())


@settings(quick, max_examples=150)
@given(st.sampled_from(sorted(BODIES)), st.data())
def test_one_broken_value_of_a_body_is_told(client, path: str, data: st.DataObject):
    sent(client, path, data.draw(broken(BODIES[path]))[0])


@pytest.mark.slow
@thorough
@given(st.sampled_from(sorted(BODIES)), st.data())
def test_thousands_of_broken_bodies(client, path: str, data: st.DataObject):
    sent(client, path, data.draw(broken(BODIES[path]))[0])


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"text"', b"7", b"NaN", b"\xff\xfe", b"[" * 50_000, b'{"query":' * 20_000, b"\0" * 100,
     b'{"k": ' + b"9" * 5000 + b"}", b"query=a", b"{'query': 'a'}", b'{"query": "a", "query": 7}', b'{"\\ud800": 1}',
     b'{"images": {"\\ud800": 3}}', b'{"images": {"a": {"b": {"\\udc00": 1}}}}', b'{"query": ["\\ud800"]}', b"-"],
    ids=lambda body: ascii(body[:12]),
)  # fmt: skip
def test_bodies_that_are_none_are_refused(client, path: str, body: bytes):
    assert sent(client, path, body)


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/xml", "", "application/json; charset=utf-16"]
)
def test_bodies_of_another_kind_are_answered_or_refused(client, kind: str):
    answer = client.post("/search", content=json.dumps(BODIES["/search"]).encode(), headers={"content-type": kind})
    expected(answer)


# --- pictures --------------------------------------------------------------------------------------------------------


def damaged(client: Any, kind: str, seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(small(kind))
    if rng.random() < 0.4:
        data = data[: rng.randrange(len(data))]
    for _ in range(rng.choice([1, 1, 4, 40])):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    body = {"image": base(bytes(data)), "query": "{a dog}"}
    sent(client, "/segment", json.dumps(body).encode())


@settings(quick, max_examples=60)
@given(st.sampled_from(FORMATS), st.integers(0, 10**6))
def test_damaged_pictures_are_answered_or_refused(client, kind: str, seed: int):
    damaged(client, kind, seed)


@pytest.mark.slow
@thorough
@given(st.sampled_from(FORMATS), st.integers(0, 10**9))
def test_thousands_of_damaged_pictures(client, kind: str, seed: int):
    damaged(client, kind, seed)


def bomb() -> str:
    """A file of a few kilobytes whose header claims 900 million pixels."""
    data = bytearray(small("BMP"))
    data[18:26] = (30_000).to_bytes(4, "little") * 2
    return base(bytes(data))


@pytest.mark.parametrize(
    "text",
    ["", "=", "====", "!", "é", "data:", "data:,", "data:image/png;base64,", "data:image/png;base64," + PICTURE[:-40],
     PICTURE[::-1],
     base(b"GIF89a"),
     base(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), base(b"%PDF-1.4"),
     base(b"%!PS-Adobe-3.0 EPSF-3.0\n"),
     base(b"\x89PNG\r\n\x1a\n"), base(b"II*\0"), bomb(), "/etc/passwd",
     "file:///etc/passwd", "http://127.0.0.1/", PICTURE + "\n"],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_texts_that_are_no_picture_are_refused(client, text: str):
    for path, body in (
        ("/segment", {"image": text, "query": "{a dog}"}),
        ("/segment", {"image": PICTURE, "query": "[rex@1,1]", "images": {"rex": text}}),
        ("/segment", {"image": PICTURE, "query": "[rex#m]", "images": {"rex": PICTURE, "m": text}}),
        ("/embed", {"pictures": [text]}),
    ):
        assert sent(client, path, json.dumps(body).encode()), path


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 300), (300, 1), (2, 2), (4000, 1), (1, 4000)])
def test_pictures_of_any_shape_are_answered_or_too_narrow(client, width: int, height: int):
    picture = base(small(size=(width, height)))
    body = {"image": picture, "query": "{a dog} by [rex@0,0]", "images": {"rex": picture}}
    is_narrow = max(width, height) > 2
    assert sent(client, "/segment", json.dumps(body).encode()) == is_narrow
    assert sent(client, "/embed", json.dumps({"pictures": [picture], "queries": ["a"]}).encode()) == is_narrow


# --- addresses -------------------------------------------------------------------------------------------------------

NAMES = [value for value in VALUES if isinstance(value, str)]
NUMBERS = ["", "-1", "0", "1", "999999999999999999999", "1e3", "NaN", "x", "1,2", "١", "0x10", " 1", "%00", "null"]


@pytest.mark.parametrize("name", [*NAMES, "%2e%2e/%2e%2e/etc/passwd", "%00", "a%0d%0ab", "%ff", "%ed%a0%80"], ids=ascii)
def test_names_that_the_album_lacks_are_refused(client, name: str):
    path = name if "%" in name else quote(name.encode("utf-8", "surrogatepass"))
    assert client.get(f"/images/{path}").status_code in (404, 422) or name in ("", ".", "..")  # of which clients make /


@pytest.mark.parametrize("field", ["count", "frame", "side", "objects", "label"])
@pytest.mark.parametrize("value", NUMBERS)
def test_numbers_of_an_address_are_answered_or_refused(client, names, field: str, value: str):
    path = "/images" if field == "count" else f"/images/{names[0]}"
    told_or_picture(client.get(f"{path}?{field}={quote(value, safe='%')}"))


@pytest.mark.parametrize(
    "objects", ["0", "0,0", "9999", "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "٠", "00000", "-0", ",", "0,", "1;2"]
)
def test_objects_to_draw_are_drawn_or_refused(client, names, objects: str):
    labels = "&label=" + quote("é日本😀\u202e\n\0" + "x" * 500)
    told_or_picture(client.get(f"/images/{names[0]}?objects={quote(objects)}{labels}"))


def told_or_picture(answer: Any) -> None:
    if answer.headers["content-type"] == "image/jpeg":
        Image.open(io.BytesIO(answer.content)).verify()
    else:
        expected(answer)


@pytest.mark.parametrize(
    "path", ["/search", "/segment", "/embed", "/images", "/", "/healthz", "/metrics", "/docs", "/openapi.json"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW"])
def test_every_method_is_answered_or_refused(client, path: str, method: str):
    assert client.request(method, path).status_code in {200, *REFUSED} - {503}
