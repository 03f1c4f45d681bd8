"""Where masks lie, from their logits at any stride."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def boxes_of_logits(logits: Float[Tensor, "*b n h w"], extent: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b n 4"]:
    """Boxes of masks: x0, y0, x1, y1 in 0..1 of the image, by where the logits cross zero between two places.

    So they are about as exact as if the masks were drawn at full size. Zeros for an empty mask.

    Args:
        extent: which share of the canvas's width and height the image has, at its left and top.
    """
    height, width = logits.shape[-2:]
    across = (torch.arange(width, device=logits.device) + 0.5) / width < extent[..., :1]
    down = (torch.arange(height, device=logits.device) + 0.5) / height < extent[..., 1:]
    lowest = torch.finfo(logits.dtype).min
    inside = logits.masked_fill(~(across[..., None, None, :] & down[..., None, :, None]), lowest)
    x0, x1 = _span(inside.amax(dim=-2).float(), across.sum(dim=-1)[..., None])
    y0, y1 = _span(inside.amax(dim=-1).float(), down.sum(dim=-1)[..., None])
    return torch.stack([x0, y0, x1, y1], dim=-1)


def _span(profile: Float[Tensor, "*b n s"], count: Int[Tensor, "*b 1"]) -> tuple[Tensor, Tensor]:
    """Where the largest logits of columns or rows are first and last above zero, in 0..1 of the first `count` ones."""
    positive = profile > 0
    number = torch.arange(profile.shape[-1], device=profile.device)
    first = positive.int().argmax(dim=-1)
    last = (positive * number).amax(dim=-1)
    before = _crossing(profile, first, (first - 1).clamp(min=0))
    after = _crossing(profile, last, torch.minimum(last + 1, count - 1))
    some = positive.any(dim=-1)
    start = torch.where(first > 0, first + 0.5 - before, 0.0)
    end = torch.where(last < count - 1, last + 0.5 + after, count.float())
    return some * start / count, some * end / count


def _crossing(profile: Float[Tensor, "*b n s"], inside: Tensor, outside: Tensor) -> Float[Tensor, "*b n"]:
    """How far from the place inside to its neighbour the logits fall to zero, 0..1."""
    one, other = (profile.gather(-1, place[..., None])[..., 0] for place in (inside, outside))
    return (one / (one - other).clamp(min=1e-6)).clamp(0, 1)
