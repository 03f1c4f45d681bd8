"""Shared by the adapters: crops of regions, chunks, and masks resized to the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from find.evaluation.systems.frozen_foundations import words_of_entity
from find.images.images import ImageLike, read_image
from find.model.predictions import EntityMask
from find.query.query import Query, Region

T = TypeVar("T")


class TextGrounder(Protocol):
    def ground(self, images: Sequence[ImageLike], texts: Sequence[Sequence[str]]) -> list[list[EntityMask]]: ...


def pixels_of(image: ImageLike) -> UInt8[np.ndarray, "h w 3"]:
    """Plain uint8 RGB."""
    return np.asarray(read_image(image))


def crop(region: Region) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels inside the smallest box around a region."""
    rows, columns = np.nonzero(region.bitmap())
    return pixels_of(region.image)[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def segment_by_words(
    grounder: TextGrounder, images: Sequence[ImageLike], queries: Sequence[Query]
) -> list[list[EntityMask]]:
    """Interleaved segmentation for text-only systems: regions are queried by the words that they replaced."""
    return grounder.ground(images, [[words_of_entity(entity) for entity in query.entities] for query in queries])


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def resize_logits(logits: Float[Tensor, "n h w"], size: tuple[int, int]) -> Float[Tensor, "n H W"]:
    return F.interpolate(logits[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0]
