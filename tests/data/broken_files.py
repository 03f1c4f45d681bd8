"""Ways to break one value of one annotation file, as tools, scripts and bad disks do."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tiny_folder import CROWD, DOG_BOX, HEIGHT, SKY, WIDTH, TinyFolder, dog, segment_ids

from find.evaluation.mask_ap import encode

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


def complete(tiny: TinyFolder) -> dict[str, Any]:
    """The tiny folder's files with objects, false sentences and predictions: name -> content."""
    files = copy.deepcopy(tiny.files)
    x, y, width, height = DOG_BOX
    polygon = [x, y, x + width, y, x + width, y + height, x, y + height]
    runs = encode(segment_ids(2) == dog(2))
    objects = [
        {"id": 1, "image_id": 1, "category_id": 18, "segmentation": [polygon], "area": 320, "bbox": [*DOG_BOX]},
        {"id": 2, "image_id": 2, "category_id": 18, "segmentation": runs, "area": 320, "bbox": [*DOG_BOX]},
        {"id": 3, "image_id": 3, "category_id": 18, "segmentation": uncompressed(segment_ids(3) == dog(3)),
         "area": 320, "bbox": [*DOG_BOX], "iscrowd": 0},
        {"id": 4, "image_id": 1, "category_id": 1, "segmentation": uncompressed(segment_ids(1) == CROWD), "area": 400,
         "bbox": [40, 20, 20, 20], "iscrowd": 1},
    ]  # fmt: skip
    files["instances_val2017.json"]["annotations"] = objects
    false = copy.deepcopy(files["entity_val2017.json"]["annotations"][1])
    false |= {"id": 50, "sentence_id": 11, "changed": {"what": "relation"}}
    files["hard_negatives_val2017.json"] = {"annotations": [false]}
    return files


def predictions() -> dict[str, Any]:
    """Name -> content of predictions of the tiny folder that are all right."""
    ids = (1, 2, 3)
    whole = {"segmentation": uncompressed(segment_ids(1) == SKY)}
    return {
        "panoptic.json": {
            "annotations": [
                {"image_id": id, "file_name": f"{id:012d}.png", "segments_info": [
                    {"id": SKY, "category_id": 187}, {"id": dog(id), "category_id": 18}, {"id": CROWD, "category_id": 1}
                ]} for id in ids
            ]
        },
        "instances.json": [
            {"image_id": id, "category_id": 18, "segmentation": encode(segment_ids(id) == dog(id)), "score": 1 - id / 9}
            for id in ids
        ],
        "semantic.json": [{"image_id": id, "category_id": 187, **whole} for id in ids],
        "grounding.json": {
            "queries": [{"id": k, "image_id": 1, "parts": [{"phrase": text}]} for k, text in
                        enumerate(("the brown dog", "A dog on the left", "the sky"))],
            "masks": [{"query_id": k, "entity": 0, **whole, "score": 0.5} for k in range(3)],
        },
    }  # fmt: skip


def uncompressed(mask: np.ndarray) -> dict[str, Any]:
    """A mask as lists of runs."""
    flat = mask.ravel(order="F")
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff([0, *ends, flat.size]).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": [0, *runs] if flat[0] else runs}


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
def breaks(draw: st.DrawFn, files: dict[str, Any]) -> tuple[str, bytes, str]:
    """A file's name, its broken bytes, and what was done."""
    name = draw(st.sampled_from(sorted(files)))
    content = copy.deepcopy(files[name])
    how = draw(st.sampled_from(["value"] * 6 + ["missing", "repeated", "encoding"]))
    if how == "encoding":
        kind = draw(st.sampled_from(sorted(ENCODINGS)))
        return name, ENCODINGS[kind](json.dumps(content).encode()), kind
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
        parent[place[-1]] = value
        how = f"{str(value)[:40]!r}"
    return name, json.dumps(content).encode("utf-8", "surrogatepass"), f"{how} at {place}"


def entries(content: Any, *keys: str) -> int | None:
    """How many entries a list of the document has, over all parents, each with its equals counted once there; None
    where it is no list any more."""
    if not isinstance(content, dict) or not isinstance(content.get(keys[0]), list):
        return None
    if len(keys) == 1:
        return len(content[keys[0]])
    parts = [part.get(keys[1]) if isinstance(part, dict) else None for part in content[keys[0]]]
    if not all(isinstance(part, list) for part in parts):
        return None
    return sum(len({json.dumps(entry) for entry in part}) for part in parts)
