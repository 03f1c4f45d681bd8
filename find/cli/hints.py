"""Hints on stderr that save an hour: what the shipped model does not know, and folders that are more than photos."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

DRAWN_SIDE = 320
"""Sides of pictures, in pixels, that the synthetic world does not have; larger ones are probably photographs."""


def hint_at_photographs(weights: str, sides: Iterable[int]) -> None:
    """Says that find-tiny does not know photographs, where there are pictures as large as those."""
    if weights == "find-tiny" and any(side > DRAWN_SIDE for side in sides):
        print(
            "note: find-tiny knows drawn scenes only, so what it says of photographs is a guess; "
            "--weights names another model (README: the authors' checkpoint, or train your own)",
            file=sys.stderr,
        )


def hint_at_data_set(folder: Path) -> None:
    """Says that a folder is a data set whose maps of segments become pictures, as no annotations name them as maps."""
    annotations = folder / "annotations"
    maps = sorted(
        path.name
        for path in folder.glob("panoptic_*")
        if path.is_dir() and not (annotations / f"{path.name}.json").is_file()  # with it, an album leaves them out
    )
    if not maps or not annotations.is_dir():
        return
    images = folder / maps[0].removeprefix("panoptic_")
    print(
        f"note: {folder} is a data set in COCO's layout, so the maps in {', '.join(maps)} become pictures of the "
        f"album, too; a folder of its images is {images}",
        file=sys.stderr,
    )
