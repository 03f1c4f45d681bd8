"""Images that a protocol asks about several times: encoded once by a system that can, asked as they are of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from find.images.images import ImageLike


def encode_once(system: Any, images: Sequence[ImageLike]) -> Any:
    """What `system` is to be given in the images' place: the features of its `encode_images`, if it has such a method,
    else the images."""
    encode = getattr(system, "encode_images", None)
    return images if encode is None else encode(images)


def some_of(given: Any, numbers: Sequence[int]) -> Any:
    """A part of what `encode_once` gave; all of it is not copied."""
    if list(numbers) == list(range(len(given))):
        return given
    return [given[number] for number in numbers] if isinstance(given, (list, tuple)) else given[list(numbers)]
