"""The visual sampler: a region becomes a few feature vectors read from the image memory (paper, 3.2)."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from find.interface.types import AlignedMap, Extents, ImageMemory, Tokens


def spread_points(masks: Bool[Tensor, "q r h w"], limit: int) -> tuple[Float[Tensor, "q r l 2"], Bool[Tensor, "q r l"]]:
    """At most `limit` pixels of each mask, spread evenly over its pixels in row-major order.

    Returns:
        Their centres as (x, y) in [0, 1] of the canvas, and which of the `limit` places are padding. A mask of
        `limit` pixels or fewer gives all of them; an empty one only padding. Deterministic.
    """
    q, r, h, w = masks.shape
    # Pixel k is sought in the rows' counts, then in its row: a list of all pixels would have to be waited for.
    lines = masks.reshape(q * r, h, w)
    up_to = lines.sum(dim=2, dtype=torch.int32).cumsum(1)
    count = up_to[:, -1:]
    place = torch.arange(limit, device=masks.device)
    spread = torch.div((2 * place + 1) * count, 2 * limit, rounding_mode="floor")
    chosen = torch.where(count > limit, spread, place)
    padding = chosen >= count
    row = torch.searchsorted(up_to, chosen, right=True).clamp(max=h - 1)
    before = F.pad(up_to, (1, 0)).gather(1, row)
    line = lines.gather(1, row[..., None].expand(-1, -1, w))
    column = (line.cumsum(2, dtype=torch.int32) <= (chosen - before)[..., None]).sum(2).clamp(max=w - 1)
    y, x = (row + 0.5) / h, (column + 0.5) / w
    return torch.stack([x, y], dim=-1).reshape(q, r, limit, 2), padding.reshape(q, r, limit)


def sample_bilinear(
    features: Float[Tensor, "b p c"],
    shape: tuple[int, int],
    rows: Int[Tensor, " n"],
    points: Float[Tensor, "n l 2"],
    own: tuple[Float[Tensor, "b 2"], Int[Tensor, "b 2"]] | None = None,
) -> Float[Tensor, "n l c"]:
    """Bilinear samples of row-major maps at (x, y) in [0, 1], pixel centres at (k + 0.5) / size, borders repeated.

    Region k reads the map of batch row `rows[k]`, which is never copied: only the sampled vectors are.

    Args:
        own: the share of the canvas and the part of the map that are each row's own, if not all.
    """
    if own is None:
        height, width = shape
        x = (points[..., 0] * width - 0.5).clamp(0, width - 1)
        y = (points[..., 1] * height - 0.5).clamp(0, height - 1)
    else:
        share, size = (of_all[rows].flip(-1)[:, None] for of_all in own)  # columns, rows
        x, y = (points / share * size - 0.5).clamp(min=0).minimum(size - 1).unbind(-1)
    return interpolate(features, shape, rows, x, y)


def interpolate(
    features: Float[Tensor, "b p c"],
    shape: tuple[int, int],
    rows: Int[Tensor, " n"],
    x: Float[Tensor, "n l"],
    y: Float[Tensor, "n l"],
) -> Float[Tensor, "n l c"]:
    """Row-major maps at places between pixel centres, (0, 0) the first and (width - 1, height - 1) the last of them."""
    height, width = shape
    left, top = x.floor().long(), y.floor().long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    fx, fy = (x - left).unsqueeze(-1).to(features.dtype), (y - top).unsqueeze(-1).to(features.dtype)
    flat = features.flatten(0, 1)
    base = (rows * height * width)[:, None]

    def at(row: Tensor, column: Tensor) -> Tensor:
        return flat[base + row * width + column]

    upper = at(top, left) * (1 - fx) + at(top, right) * fx
    lower = at(bottom, left) * (1 - fx) + at(bottom, right) * fx
    return upper * (1 - fy) + lower * fy


def mean_under(
    aligned: AlignedMap,
    masks: Bool[Tensor, "q r h w"],
    rows: Int[Tensor, "q r"],
    *,
    points: int,
    extents: Extents | None = None,
) -> Float[Tensor, "q r v"]:
    """The mean of the aligned features at `points` places of each region; zeros where there is no region."""
    places, padding = spread_points(masks, points)
    seen = ~(padding | (rows < 0)[..., None])
    own = None if extents is None or extents.aligned is None else (extents.canvas, extents.aligned)
    row = rows.clamp(min=0).flatten()
    sampled = sample_bilinear(aligned.values, aligned.shape, row, places.flatten(0, 1), own)
    weights = seen.to(sampled.dtype) / seen.sum(dim=-1, keepdim=True).clamp(min=1)
    return (weights.flatten(0, 1)[:, None] @ sampled)[:, 0].unflatten(0, rows.shape)


class VisualSampler(nn.Module):
    """Reads every level of the image memory under regions.

    Args:
        width: of the memory.
        levels: how many levels it has; each has its own projection.
        points: at most so many samples of a region a level.
    """

    def __init__(self, *, width: int, levels: int, points: int) -> None:
        super().__init__()
        self.points = points
        self.projections = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(levels))
        self.sign = nn.Parameter(torch.zeros(2, width))  # of positive, of negative points
        nn.init.trunc_normal_(self.sign, std=0.02)

    def forward(
        self,
        memory: ImageMemory,
        masks: Bool[Tensor, "q r h w"],
        rows: Int[Tensor, "q r"],
        *,
        negatives: Bool[Tensor, "q r h w"] | None = None,
    ) -> tuple[Tokens, ...]:
        """Samples of `r` regions for each of `q` prompts, one `Tokens` a level; a token's index is its region's number.

        Args:
            masks: on the (padded) canvas of the image that they belong to; an empty mask gives padding only.
            rows: which row of the memory each region lies in; negative for "no region", whatever its mask.
            negatives: marks of what does not belong to the region.
        """
        positive = self._sample(memory, masks, rows, self.sign[0])
        if negatives is None:
            return positive
        negative = self._sample(memory, negatives, rows, self.sign[1])
        return tuple(Tokens.concatenate([p, n]) for p, n in zip(positive, negative, strict=True))

    def _sample(
        self, memory: ImageMemory, masks: Tensor, rows: Tensor, sign: Float[Tensor, " c"]
    ) -> tuple[Tokens, ...]:
        q, r = rows.shape
        points, padding = spread_points(masks, self.points)
        padding = (padding | (rows < 0)[..., None]).flatten(1)
        points = points.flatten(0, 1)
        index = torch.arange(r, device=rows.device).repeat_interleave(self.points).expand(q, -1)
        row = rows.clamp(min=0).flatten()
        tokens = []
        extents = memory.extents
        maps = zip(memory.levels, memory.level_embed, memory.shapes, self._projections(memory), strict=True)
        for number, (level, embed, shape, projection) in enumerate(maps):
            own = None if extents is None else (extents.canvas, extents.levels[number])
            sampled = projection(sample_bilinear(level, shape, row, points, own)) + (projection(embed) + sign)
            tokens.append(Tokens(sampled.reshape(q, r * self.points, -1), padding, index))
        return tuple(tokens)

    def _projections(self, memory: ImageMemory) -> Iterable[nn.Module]:
        if len(memory.levels) != len(self.projections):
            raise ValueError(f"the memory has {len(memory.levels)} levels, the sampler {len(self.projections)}")
        return self.projections
