"""Pictures of an album for the page: JPEGs with masks of objects, and video files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from find.errors import FindError
from find.retrieval.connection import UnreadableAlbum
from find.serving.limits import Refusal

if TYPE_CHECKING:
    from find.retrieval.album import Album
    from find.retrieval.hits import Hit


@dataclass(frozen=True)
class ToDraw:
    """An object of an image by its number, the number of the entity whose color it has, and its label."""

    number: int
    color: int
    label: str


def objects_to_draw(objects: str, colors: str, labels: Sequence[str]) -> list[ToDraw]:
    """What the numbers of an address ask for; objects without a color or label have those of their place in it."""
    numbers = [int(number) for number in objects.split(",") if number]
    shades = [int(color) for color in colors.split(",") if color]
    return [
        ToDraw(
            number,
            shades[place] if place < len(shades) else place,
            labels[place] if place < len(labels) else f"object {number}",
        )
        for place, number in enumerate(numbers)
    ]


def drawn_image(album: Album, name: str, frame: int, objects: Sequence[ToDraw], side: int) -> bytes:
    """A JPEG of an image of the album with the masks of some of its objects."""
    from find.visualization.drawing import Overlay, draw_overlays, entity_color

    hit = named_image(album, name, frame)
    try:
        pixels = hit.pixels()
    except FindError as error:  # which names paths of this machine
        raise Refusal(404, f"the file of {name!r} is gone, or has changed since it was indexed") from error
    count = len(hit.found.scores)
    if len(objects) > count or any(not 0 <= one.number < count for one in objects):
        raise Refusal(422, f"{name} has objects 0 to {count - 1}, to be drawn once each")
    overlays = [Overlay(hit.object_mask(one.number), one.label[:80], color=entity_color(one.color)) for one in objects]
    drawn = draw_overlays(pixels, overlays, min_side=side)
    drawn.thumbnail((side, side))
    stream = io.BytesIO()
    drawn.save(stream, format="JPEG", quality=88)
    return stream.getvalue()


def named_image(album: Album, name: str, frame: int = 0) -> Hit:
    """Raises Refusal (404) if the album has no such image."""
    try:
        return album.image(name, frame)
    except UnreadableAlbum:
        raise
    except FindError as error:  # which names paths of this machine
        raise Refusal(404, f"no image {name!r} in the album") from error


def video_file(album: Album, name: str) -> Path:
    """The file of a video in the album, which browsers request in ranges."""
    hit = named_image(album, name)
    if hit.seconds is None or not hit.path.is_file():
        raise Refusal(404, f"{name!r} is not a video of the album, or its file is gone")
    return hit.path
