"""Prompts of several images as tensors, and their masks back in the images' order and sizes."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from find.images.canvas import ImageGeometry
from find.model.predictions import EntityMask
from find.utils.transfer import to_host_together, upload


class MaskCollector:
    """Collects the masks of each image's prompts, in the order of the images."""

    def __init__(self, frames: list[ImageGeometry]) -> None:
        self.frames = frames
        self.masks: list[list[EntityMask]] = [[] for _ in frames]

    def add(
        self,
        numbers: Sequence[int],
        counts: Sequence[int],
        logits: Tensor,
        scores: Tensor,
        present: Tensor | None = None,
    ) -> None:
        """Adds a batch's masks; `present` as in `EntityMask`; one GPU synchronisation (more where masks fill
        gigabytes)."""
        frames = [self.frames[number] for number in numbers]
        there = torch.full_like(scores, torch.nan) if present is None else present
        drawn = (
            [frame.inside(logits[row, :count]), scores[row, :count], there[row, :count]]
            for row, (frame, count) in enumerate(zip(frames, counts, strict=True))
        )
        for number, (masks, chances, sure) in zip(numbers, to_host_together(drawn), strict=True):
            known = [None] * len(masks) if present is None else sure.tolist()
            found = zip(masks.numpy(), chances.tolist(), known, strict=True)
            self.masks[number] = [EntityMask(mask, score, present=is_there) for mask, score, is_there in found]


def stack_strokes(
    masks: Sequence[Bool[np.ndarray, "_ _ _"]], frames: Sequence[ImageGeometry], device: torch.device
) -> tuple[Bool[Tensor, "b r h w"], Bool[Tensor, "b r"]]:
    """Strokes on their common canvas, padded to the largest count, and which are padding."""
    most = max(max(len(stack) for stack in masks), 1)
    stacked = torch.zeros(len(masks), most, *frames[0].canvas, dtype=torch.bool)
    for row, (stack, frame) in enumerate(zip(masks, frames, strict=True)):
        for k, mask in enumerate(stack):
            stacked[row, k] = frame.place_mask(np.asarray(mask))
    counts = torch.tensor([len(stack) for stack in masks])
    return upload(stacked, device), upload(torch.arange(most) >= counts[:, None], device)
