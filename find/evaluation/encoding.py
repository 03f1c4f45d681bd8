"""Encodes images that a protocol uses several times only once, if the system supports it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from find.images.images import ImageLike


def encode_once(system: Any, images: Sequence[ImageLike]) -> Any:
    """The result of the system's `encode_images` if it has such a method, otherwise the images themselves."""
    encode = getattr(system, "encode_images", None)
    return images if encode is None else encode(images)


def some_of(given: Any, numbers: Sequence[int]) -> Any:
    """A subset of the result of `encode_once`; the whole is not copied."""
    if list(numbers) == list(range(len(given))):
        return given
    return [given[number] for number in numbers] if isinstance(given, (list, tuple)) else given[list(numbers)]
