"""Ways to break one value of a JSON document, as tools, scripts, bad disks and attackers do."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

quick = settings(max_examples=150, suppress_health_check=list(HealthCheck), derandomize=True)
thorough = settings(max_examples=4000, suppress_health_check=list(HealthCheck))

Place = tuple[str | int, ...]

VALUES = (
    None, True, False, 0, 1, 2, 7, -1, -(2**40), 2**31, 2**40, 2**63, 2**70, 10**400, 0.5, 1.0, 1e12, 1e308, -0.0,
    float("nan"), float("inf"), -float("inf"), "", " ", "0", "1", "01", "1.0", "-1", "nan", "None", "a dog", "\u0661",
    "é日本😀", "\ud800", "a\0b", "line\nbreak", "\x1b[31m", "x" * 5000, "../../etc/passwd", "/etc/passwd", "..", ".",
    "/", "C:\\photos\\000000000001.jpg", "images\\000000000001.jpg", "https://host.example/b/000000000001.jpg?sig=a/b",
    "http://[", "000000000002.jpg", "a/000000000001.jpg", "000000000001", ".png", [], [1], [None], [[]], ["a"],
    [1, 2, 3], [float("nan")] * 4, [1e12] * 4, [[0, 0, 9, 9]], [[0, 0, 1e12, 0, 9, 9]], [0, 0, 9, 0, 9, 9], {},
    {"id": 1}, {"size": [48, 64], "counts": [3072]}, {"size": [64, 48], "counts": "0"},
    {"size": [48, 64], "counts": [2**70]},
    {"size": None, "counts": None}, [[[0, 0], [9, 0], [9, 9]]], "#ff00ff", {"phrase": 7}, {"region": None},
)  # fmt: skip

ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "bom": lambda data: b"\xef\xbb\xbf" + data,
    "utf-16": lambda data: data.decode().encode("utf-16"),
    "latin-1": lambda data: data.replace(b"dog", b"d\xf6g"),
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "deep": lambda data: b"[" * 100_000,
    "null": lambda data: b"null",
    "a list": lambda data: b"[" + data + b"]",
    "null bytes": lambda data: data[:50] + b"\0" * 50 + data[100:],
    "comments": lambda data: b"// made by hand\n" + data,
}


def places(content: Any, above: Place = ()) -> list[Place]:
    """Every place of a JSON document that holds a value, by its keys."""
    found = [above]
    if isinstance(content, dict):
        for key, value in content.items():
            found += places(value, (*above, key))
    elif isinstance(content, list):
        for number, value in enumerate(content):
            found += places(value, (*above, number))
    return found


@st.composite
def broken(draw: st.DrawFn, content: Any) -> tuple[bytes, str]:
    """The bytes of a document with one fault, and what was done."""
    how = draw(st.sampled_from(["value"] * 6 + ["missing", "repeated", "encoding"]))
    if how == "encoding":
        kind = draw(st.sampled_from(sorted(ENCODINGS)))
        return ENCODINGS[kind](json.dumps(content).encode()), kind
    content, how = draw(broken_values(content, how))
    return json.dumps(content).encode("utf-8", "surrogatepass"), how


@st.composite
def broken_values(draw: st.DrawFn, content: Any, how: str = "value") -> tuple[Any, str]:
    """A document with one value replaced, missing or repeated, and what was done."""
    content = copy.deepcopy(content)
    place = draw(st.sampled_from(places(content)[1:]))
    parent = content
    for key in place[:-1]:
        parent = parent[key]
    if how == "missing":
        del parent[place[-1]]
    elif how == "repeated" and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[place[-1]]))
    else:
        value = draw(st.sampled_from(VALUES))
        parent[place[-1]] = copy.deepcopy(value)
        how = f"{str(value)[:40]!r}"
    return content, f"{how} at {place}"
