"""Converts rows of an album to hits; invalid rows are reported as damage of the album."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from find.retrieval.connection import UnreadableAlbum
from find.retrieval.hits import Hit, Objects, ScorePart
from find.retrieval.objects import ObjectMasks

HIT_COLUMNS = ("path", "frame", "seconds", "time", "width", "height", "objects", "scores", "boxes", "masks")
"""The columns from which hits are made."""


def hit_of_row(record: Mapping[str, Any], score: float, parts: tuple[ScorePart, ...], *, album: str, root: Path) -> Hit:
    """A hit from the columns of HIT_COLUMNS. Raises UnreadableAlbum if they are inconsistent."""
    boxes = np.array(record["boxes"], dtype=np.int32).reshape(-1, 4)
    counts = {len(boxes), len(record["objects"]), len(record["scores"])}
    if len(counts) > 1 or min(record["height"], record["width"]) < 1:
        raise UnreadableAlbum(f"{album}: the row of {record['path']} is damaged; index the photos anew")
    boxes = boxes.clip(0, [record["width"], record["height"]] * 2)
    return Hit(
        path=file_below(root, record["path"], album=album),
        name=record["path"],
        score=score,
        parts=parts,
        height=record["height"],
        width=record["width"],
        found=Objects(
            np.array(record["objects"], dtype=np.float16),
            np.array(record["scores"], dtype=np.float32),
            ObjectMasks.from_bytes(boxes, record["masks"]),
        ),
        time=record["time"],
        frame=record["frame"],
        seconds=record["seconds"],
    )


def file_below(root: Path, name: str, *, album: str) -> Path:
    """The file of a row; an album from elsewhere must not refer to files outside its folder of photos."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
        raise UnreadableAlbum(f"{album}: the path {name!r} in this album leaves its folder of photos; it is damaged")
    return root / path
