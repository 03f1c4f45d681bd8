"""Whether two pictures show the same pixels, though one is resized, compressed, brighter, or cut at its sides.

Small pictures of both are laid over each other by Gauss-Newton steps (Lucas and Kanade 1981): a scale and a shift
along each side, a gain and an offset of brightness. What then remains of their difference is looked at place by place,
so that one small thing that is in one picture only makes a difference.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

SIDE = 32
"""Of the small pictures, in pixels."""
LEVELS = (4, 2, 1)
"""Factors by which they are reduced, one after the other, so that larger shifts are found first."""
STEPS = 6
MOST_SCALE, MOST_SHIFT = 0.25, 0.25
"""As shares of a side: what is farther off is another picture."""
BLOCK = 4
"""Pixels of a side of a place; pictures are the same where they are in every place."""
MOST_DIFFERENCE = 0.12
"""Root mean square in a place, of values in 0..1."""
MOST_UNEXPLAINED, PLAIN = 0.5, 0.02
"""What remains of a picture's deviation, as a share; of pictures with less deviation than `PLAIN` noise may remain."""


@torch.inference_mode()
def largest_difference(left: Float[Tensor, "n 3 s s"], right: Float[Tensor, "n 3 s s"]) -> Float[Tensor, " n"]:
    """Of pictures in 0..1, pair by pair: the root mean square of what remains in the place that differs most.

    Infinity for pairs that no small change of place makes alike, and for those of fine texture whose averages alone
    are alike.
    """
    warp = torch.tensor([1.0, 1, 0, 0]).repeat(len(left), 1)
    for factor in LEVELS:
        warp = _align(_grey(left, factor), _grey(right, factor), warp)
    moved, inside = _moved(right, warp)
    weight = inside[:, None].float()
    count = 3 * weight.sum((1, 2, 3)).clamp(min=1)

    def mean(values: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n 1 1 1"]:
        return ((values * weight).sum((1, 2, 3)) / count)[:, None, None, None]

    a, b = left - mean(left), moved - mean(moved)
    gain = (mean(a * b) / mean(b * b).clamp(min=1e-6)).clamp(0.5, 2)
    squares = ((a - gain * b) ** 2 * weight).mean(1, keepdim=True)
    deviation = mean(a**2).flatten().sqrt()
    is_explained = mean((a - gain * b) ** 2).flatten().sqrt() <= MOST_UNEXPLAINED * deviation.clamp(min=PLAIN)
    places = avg_pool2d(squares, BLOCK) / avg_pool2d(weight, BLOCK).clamp(min=0.5)
    found = places.flatten(1).amax(1).sqrt()
    scale, shift = (warp[:, :2] - 1).abs().amax(1), warp[:, 2:].abs().amax(1)
    is_near = (scale <= MOST_SCALE) & (shift <= MOST_SHIFT) & warp.isfinite().all(1)
    return torch.where(is_near & is_explained & found.isfinite(), found, torch.inf)


def are_same(left: Float[Tensor, "n 3 s s"], right: Float[Tensor, "n 3 s s"]) -> Bool[Tensor, " n"]:
    """Which pairs of pictures are the same."""
    return largest_difference(left, right) <= MOST_DIFFERENCE


def _grey(pictures: Float[Tensor, "n 3 s s"], factor: int) -> Float[Tensor, "n 1 h h"]:
    """Their brightness, reduced, with mean 0 and deviation 1."""
    grey = avg_pool2d(pictures.mean(1, keepdim=True), factor)
    grey = grey - grey.mean((2, 3), keepdim=True)
    return grey / grey.std((2, 3), keepdim=True).clamp(min=1e-3)


def _moved(
    pictures: Float[Tensor, "n c s s"], warp: Float[Tensor, "n 4"]
) -> tuple[Float[Tensor, "n c s s"], Bool[Tensor, "n s s"]]:
    """Pictures seen through a scale and a shift along x and y, and which pixels come from inside of them."""
    side = pictures.shape[-1]
    place = (torch.arange(side) + 0.5) * 2 / side - 1
    x = place[None] * warp[:, :1] + warp[:, 2:3]
    y = place[None] * warp[:, 1:2] + warp[:, 3:4]
    grid = torch.stack([x[:, None, :].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], dim=-1)
    moved = grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return moved, (grid.abs() <= 1).all(-1)


def _align(
    left: Float[Tensor, "n 1 h h"], right: Float[Tensor, "n 1 h h"], warp: Float[Tensor, "n 4"]
) -> Float[Tensor, "n 4"]:
    """The warp of `right` that makes it most like `left`, from a near one."""
    side = left.shape[-1]
    place = (torch.arange(side) + 0.5) * 2 / side - 1
    x, y = place[None, None, :].expand(1, side, side), place[None, :, None].expand(1, side, side)
    for _ in range(STEPS):
        moved, inside = _moved(right, warp)
        across, down = torch.gradient(moved[:, 0], spacing=2 / side, dim=(2, 1))
        across, down = across / warp[:, 0, None, None], down / warp[:, 1, None, None]
        slopes = torch.stack([across * x, down * y, across, down, moved[:, 0], torch.ones_like(across)], dim=-1)
        slopes = (slopes * inside[..., None]).flatten(1, 2)
        rest = ((left[:, 0] - moved[:, 0]) * inside).flatten(1)
        normal = slopes.mT @ slopes + 1e-3 * side * side * torch.eye(6)
        step = torch.linalg.solve(normal, (slopes.mT @ rest[..., None]))[..., 0]
        warp = (warp + step[:, :4]).clamp(torch.tensor([0.5, 0.5, -0.5, -0.5]), torch.tensor([1.5, 1.5, 0.5, 0.5]))
    return warp
