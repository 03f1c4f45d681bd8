"""What a training step gets: images, their segments, and one prompt of every kind, as tensors with explicit padding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Int16, Int64, UInt8
from torch import Tensor

from find.query.query import RenderedQuery


@dataclass(frozen=True)
class Batch:
    """Images and prompts, batch first.

    Shapes: b images, h x w canvas, s segments, t texts, r strokes, e entities of one sentence. s, t, r and e are the
    largest count in the batch and at least 1, so that padding never has to be told from an empty dimension.
    """

    image_ids: list[int]
    seeds: Int64[Tensor, " b"]
    """Of what a training step draws for each image."""
    images: UInt8[Tensor, "b 3 h w"]
    """RGB, 0 to 255, zero-padded at the bottom and right to a common multiple of the divisor."""
    sizes: Int64[Tensor, "b 2"]
    """Height and width before padding."""
    canvases: list[tuple[int, int]]
    """Height and width that each image has to itself, multiples of the divisor: what lies beyond is never read."""
    segments: Int16[Tensor, "b h w"]
    """Position in the image's row of `labels`; -1 = void, crowd, left out (see `Collate`) or padding."""
    labels: Int64[Tensor, "b s"]
    """Category index of each segment; -1 = padding."""
    captions: list[str]
    """One an image, never empty."""
    phrases: list[list[str]]
    """Texts to ground in each image: phrases of sentences, referring expressions, class names."""
    phrase_targets: Bool[Tensor, "b t s"]
    """The segments that a text means, together."""
    strokes: Bool[Tensor, "b r h w"]
    """What a user may draw to mean one segment."""
    stroke_targets: Int64[Tensor, "b r"]
    """Segment that the stroke means; -1 = padding."""
    queries: list[RenderedQuery]
    """One sentence an image; visual entities stand as the placeholder already, their words are gone."""
    entity_targets: Bool[Tensor, "b e s"]
    """The segments of this image that an entity of the sentence means."""
    entity_padding: Bool[Tensor, "b e"]
    """True where there is no entity."""
    regions: Bool[Tensor, "b e h w"]
    """A visual entity's stroke, on the canvas of batch row `region_rows`; empty for a phrase."""
    region_rows: Int64[Tensor, "b e"]
    """Batch row of the image that the region lies in; -1 = phrase or padding."""

    false_queries: list[RenderedQuery]
    """A false relative of each sentence, about the same image; the sentence itself where there is none."""
    false_origin: Int64[Tensor, "b e"]
    """Whose region each entity of the false sentence has: that of this entity of the true one."""
    has_false: Bool[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.image_ids)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The batch with its tensors on `device`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The batch with its tensors in page-locked memory (what a `DataLoader(pin_memory=True)` calls)."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {name: change(value) for name, value in tensors.items() if isinstance(value, Tensor)}
        return replace(self, **moved)
