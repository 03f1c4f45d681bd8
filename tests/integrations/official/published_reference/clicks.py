"""Rounds of clicks as the published FIND is evaluated with: the next click, and the memory of the last answer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from find.interface import Embeddings, Group, ImageMemory
from find.model.model import FIND
from find.tasks import interactive

ENOUGH = 0.925
"""No further click where the answer has this intersection over union."""


@dataclass(frozen=True)
class Round:
    """What was marked, what was answered."""

    positives: Bool[Tensor, "b r h w"]
    negatives: Bool[Tensor, "b r h w"]
    previous: Float[Tensor, "b r h w"] | None
    outputs: Embeddings
    answer: Float[Tensor, "b r h w"]  # mask logits at a quarter of the canvas


def rounds(
    model: FIND, memory: ImageMemory, strokes: Bool[Tensor, "b r h w"], targets: Bool[Tensor, "b r h w"], count: int
) -> Iterator[Round]:
    """`count` answers to strokes; before each but the first, a click where the answer is most wrong.

    From the second round on the spatial memories look into the last answer, which needs one stroke an image, or as many
    as there are memories.
    """
    positives, negatives, previous = strokes, torch.zeros_like(strokes), None
    padding = torch.zeros(strokes.shape[:2], dtype=torch.bool, device=strokes.device)
    for _ in range(count):
        prompt = interactive.prompt(model.interface, memory, positives, padding, negatives=negatives, previous=previous)
        out = model.interface(memory, [prompt]).final
        # The original lets the first image choose the proposals of all; a batch of one is what it was run with.
        chosen = model.interactive_task.scores(model.interface, out).argmax(dim=1)
        pixel = out.pixel[Group.SEGMENT].gather(1, chosen[..., None].expand(-1, -1, out.pixel[Group.SEGMENT].shape[2]))
        answer = torch.einsum("brm,bmhw->brhw", pixel, memory.mask_features)
        yield Round(positives, negatives, previous, out, answer)
        missed, wrong = next_clicks(answer, targets, positives | negatives)
        positives, negatives, previous = positives | missed, negatives | wrong, answer


def next_clicks(
    logits: Float[Tensor, "b r h4 w4"], targets: Bool[Tensor, "b r h w"], clicked: Bool[Tensor, "b r h w"]
) -> tuple[Bool[Tensor, "b r h w"], Bool[Tensor, "b r h w"]]:
    """New marks of what was missed and of what is wrong: 3x3 pixels in the depth of the larger of the two errors."""
    size = targets.shape[-2:]
    answer = F.interpolate(logits, size, mode="bilinear", align_corners=False).sigmoid() > 0.5
    union = (answer | targets).sum((-2, -1)).clamp(min=1)
    good = (answer & targets).sum((-2, -1)) / union >= ENOUGH
    missed, wrong = targets & ~answer & ~clicked, answer & ~targets & ~clicked
    is_missed = missed.sum((-2, -1)) > wrong.sum((-2, -1))
    error = torch.where(is_missed[..., None, None], missed, wrong)
    outside = F.pad(~error, (1, 1, 1, 1), value=True).flatten(0, 1)[:, None].float()
    depth = distance_by_convolution(outside)[:, 0, 1:-1, 1:-1].flatten(1)
    point = F.one_hot(depth.argmax(dim=1), depth.shape[1]).view(-1, 1, *size).float()
    mark = (F.max_pool2d(point, 3, stride=1, padding=1) > 0).view(targets.shape) & ~good[..., None, None]
    return mark & is_missed[..., None, None], mark & ~is_missed[..., None, None]


def distance_by_convolution(sources: Float[Tensor, "b 1 h w"], *, smoothness: float = 0.35) -> Tensor:
    """How far each pixel lies from the sources, approximately, ring by ring (Pham et al., 2021, as kornia has it).

    A convolution with exp(-distance / h) over 3x3 pixels, read back by -h log, gives the distances of the next ring.
    """
    steps = torch.tensor([-1.0, 0.0, 1.0], device=sources.device)
    kernel = (-torch.hypot(steps[:, None], steps[None]) / smoothness).exp()[None, None]
    distance = torch.zeros_like(sources)
    for ring in range(math.ceil(max(sources.shape[-2:]))):
        near = F.conv2d(F.pad(sources, (1, 1, 1, 1), mode="replicate"), kernel)
        step = torch.nan_to_num(-smoothness * near.log(), posinf=0.0)
        new = step > 0
        if not new.any():
            break
        distance = distance + torch.where(new, ring * 3 // 2 + step, 0.0)
        sources = torch.where(new, 1.0, sources)
    return distance


def answer_at(
    logits: Float[Tensor, "b r h4 w4"], canvas: tuple[int, int], inner: tuple[int, int], size: tuple[int, int]
) -> Bool[Tensor, "b r H W"]:
    """Answers at the picture's own size: bicubic to the canvas, cropped, bicubic to the picture."""
    full = F.interpolate(logits, canvas, mode="bicubic", align_corners=False)[..., : inner[0], : inner[1]]
    return F.interpolate(full, size, mode="bicubic", align_corners=False).sigmoid() > 0.5
