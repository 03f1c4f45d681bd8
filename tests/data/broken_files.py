"""Annotation and prediction files of the tiny folder, and ways to break one of them."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
from breaking import broken
from hypothesis import strategies as st
from tiny_folder import CROWD, DOG_BOX, HEIGHT, SKY, WIDTH, TinyFolder, dog, segment_ids

from find.evaluation.mask_ap import encode


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


@st.composite
def breaks(draw: st.DrawFn, files: dict[str, Any]) -> tuple[str, bytes, str]:
    """A file's name, its broken bytes, and what was done."""
    name = draw(st.sampled_from(sorted(files)))
    return name, *draw(broken(files[name]))


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
