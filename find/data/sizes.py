"""Messages about pictures whose size differs from the annotations, with the probable reason."""

from __future__ import annotations

import io

from find.errors import FindError
from find.images.images import read_orientation
from find.images.orientation import QUARTER_TURNS


def wrong_size(own: tuple[int, int], listed: tuple[int, int], source: str, photo: bytes = b"") -> tuple[str, str]:
    """The problem and its fix. Sizes are (height, width); annotations refer to the upright picture.

    Args:
        source: the file that lists the size.
        photo: the bytes of the file, if its EXIF orientation may rotate it.
    """
    (height, width), (listed_height, listed_width) = own, listed
    what = f"the file is {width} x {height} but {source} says {listed_width} x {listed_height}"
    if own == listed[::-1] and photo and _orientation(photo) in QUARTER_TURNS:
        return (
            f"{what}, its size before its EXIF orientation turns it",
            "Annotate the upright picture, as viewers show it, or take the orientation out of the file",
        )
    return what, "Put the original file back, or correct the JSON"


def _orientation(photo: bytes) -> int:
    try:
        return read_orientation(io.BytesIO(photo))
    except FindError:
        return 1
