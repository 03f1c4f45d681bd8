"""The input of a training step: images, segments, and each task's prompts and targets, with explicit padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Int16, Int64, UInt8
from torch import Tensor
from typing_extensions import Self


@dataclass(frozen=True)
class Drawn:
    """The prompts and targets that a task draws from a batch's samples: a frozen dataclass of batch-first tensors and
    of host data such as texts."""

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """A copy with its tensors on `device`."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """A copy with its tensors in page-locked memory (called by `DataLoader(pin_memory=True)`)."""
        return self.map(Tensor.pin_memory)

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """A copy with a function applied to each tensor."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: _changed(value, change) for name, value in values.items()})


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Drawn):
        return value.map(change)
    if isinstance(value, Mapping):
        return {name: _changed(part, change) for name, part in value.items()}
    return value


@dataclass(frozen=True)
class Batch(Drawn):
    """Images, batch first, with the tasks' prompts and targets.

    Shapes: b images, h x w canvas, s segments; in the tasks' data also t texts, r strokes, e entities of one sentence.
    s, t, r and e are the largest count in the batch and at least 1, so that no dimension is empty.
    """

    image_ids: list[int]
    seeds: Int64[Tensor, " b"]
    """Seeds of random draws in the training step, one per image."""
    images: UInt8[Tensor, "b 3 h w"]
    """RGB, 0 to 255, zero-padded at the bottom and right to a common multiple of the divisor."""
    sizes: Int64[Tensor, "b 2"]
    """Height and width before padding."""
    canvases: list[tuple[int, int]]
    """Height and width of each image's own canvas, multiples of the divisor: pixels beyond it are never read."""
    segments: Int16[Tensor, "b h w"]
    """Position in the image's row of `labels`; -1 = void, crowd, left out (see `Collate`) or padding."""
    labels: Int64[Tensor, "b s"]
    """Category index of each segment; -1 = padding."""
    captions: list[str]
    """One per image, never empty."""
    drawn: Mapping[str, Drawn]
    """By task name, for the tasks that draw something."""

    def __len__(self) -> int:
        return len(self.image_ids)

    def redrawn(self, task: str, **changes: Any) -> Batch:
        """A copy with some fields of a task's data replaced."""
        return replace(self, drawn={**self.drawn, task: replace(self.drawn[task], **changes)})
