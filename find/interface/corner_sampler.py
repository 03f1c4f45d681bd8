"""The visual sampler of the published FIND checkpoints, with the conventions that they were trained with."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from find.interface.sampler import VisualSampler, interpolate
from find.interface.types import ImageMemory, Tokens


class CornerAlignedSampler(VisualSampler):
    """Reads at most `points` pixels of all regions of a prompt together, corners of mask and map aligned.

    Differs from `VisualSampler` in two ways (reference section 9): the limit is shared by the regions, and row r of a
    mask of height H lies at (h - 1) r / H of a map of height h, without half a pixel's shift. Of more than `points`
    pixels every level draws its own: at random in training; otherwise a fixed choice, independent of the batch.
    """

    def _sample(
        self, memory: ImageMemory, masks: Tensor, rows: Tensor, sign: Float[Tensor, " c"]
    ) -> tuple[Tokens, ...]:
        height, width = masks.shape[-2:]
        present = masks & (rows >= 0)[..., None, None]
        tokens = []
        maps = zip(memory.levels, memory.level_embed, memory.shapes, self._projections(memory), strict=True)
        for number, (level, embed, shape, projection) in enumerate(maps):
            chance = None if self.training else _fixed_chance(number, height * width).to(masks.device)
            region, row, column, padding = draw_pixels(present, self.points, chance)
            of_image = rows.clamp(min=0).gather(1, region)
            if memory.extents is None:
                x, y = column / width * (shape[1] - 1), row / height * (shape[0] - 1)
            else:
                share, size = memory.extents.canvas[of_image], memory.extents.levels[number][of_image]
                x = column / (width * share[..., 1]) * (size[..., 1] - 1)
                y = row / (height * share[..., 0]) * (size[..., 0] - 1)
            sampled = interpolate(level, shape, of_image.flatten(), x.flatten()[:, None], y.flatten()[:, None])
            values = projection(sampled.view(*region.shape, level.shape[-1])) + (projection(embed) + sign)
            tokens.append(Tokens(values, padding, region))
        return tuple(tokens)


def draw_pixels(
    masks: Bool[Tensor, "q r h w"], limit: int, chance: Float[Tensor, " h*w"] | None = None
) -> tuple[Int[Tensor, "q l"], Int[Tensor, "q l"], Int[Tensor, "q l"], Bool[Tensor, "q l"]]:
    """Pixels of all masks of a prompt, in order of mask, row and column, as (mask, row, column, padding).

    If there are more than `limit`, that many are drawn without replacement, each mask with the same probability.
    `chance` holds an exponential variate for each pixel; None draws new ones for each pixel of each mask.
    """
    q, r, h, w = masks.shape
    prompt, place = masks.flatten(1).nonzero().unbind(1)  # place: in the prompt's masks, row-major
    mask = prompt * r + torch.div(place, h * w, rounding_mode="floor")
    area = mask.bincount(minlength=q * r)  # of the few pixels found: summing the masks would be slower than the rest
    total = area.view(q, r).sum(dim=1)
    if len(place) > 0 and int(total.max()) > limit:
        weight = 1.0 / area[mask]
        # Arrival times with these rates: the first ones to arrive are a weighted draw without replacement.
        variate = (
            torch.empty(len(place), device=masks.device).exponential_() if chance is None else chance[place % (h * w)]
        )
        order = (variate / weight).argsort(stable=True)
        order = order[prompt[order].argsort(stable=True)]
        first = total.cumsum(0) - total
        rank = torch.arange(len(place), device=masks.device) - first[prompt[order]]
        kept = order[rank < limit].sort().values
        prompt, place = prompt[kept], place[kept]
    count = prompt.bincount(minlength=q)
    length = int(count.max()) if len(place) else 0
    rank = torch.arange(len(place), device=masks.device) - (count.cumsum(0) - count)[prompt]
    placed = place.new_zeros(q, length)
    placed[prompt, rank] = place
    padding = torch.arange(length, device=masks.device) >= count[:, None]
    within = placed % (h * w)
    return (
        torch.div(placed, h * w, rounding_mode="floor"),
        torch.div(within, w, rounding_mode="floor"),
        within % w,
        padding,
    )


def _fixed_chance(seed: int, pixels: int) -> Float[Tensor, " p"]:
    return torch.empty(pixels).exponential_(generator=torch.Generator().manual_seed(seed))
