"""held_out.json: the segments of a split with attribute combinations that were held out from training."""

from __future__ import annotations

from pathlib import Path

from find.data.records import read_whole
from find.data.schema import HeldOutDocument


def read_held_out(path: Path, split: str) -> dict[int, frozenset[int]]:
    """Image id -> held-out segment ids of `{"segments": {split: {image id: [segment ids]}}}`; empty without a file.

    Raises:
        FindError: the file is broken.
    """
    if not path.exists():
        return {}
    document = read_whole(
        path, HeldOutDocument, '{"segments": {split: {image id: [segment ids]}}}; write the file again, or remove '
        "it to evaluate without held-out figures",
    )  # fmt: skip
    by_image = document.segments.get(split, {})
    return {int(image): frozenset(map(int, ids)) for image, ids in by_image.items()}
