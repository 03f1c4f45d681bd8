"""A simple feature pyramid: maps of strides near 4, 8, 16 and 32 made from those that a vision encoder has."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from find.errors import CheckpointError

STRIDES = (4, 8, 16, 32)
FARTHEST = 3
"""How often at most a map is doubled or halved: what is farther from its stride holds too little of it."""


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a map."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Halve(nn.Module):
    """Max-pools to half the side, rounded up; for odd sides the windows overlap, so that the map stays aligned.

    Equals adaptive max-pooling, which is wrong on MPS if sides do not divide.
    """

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        if torch.compiler.is_exporting():
            return _halved(_halved(x, -2), -1)
        odd = tuple(side % 2 for side in x.shape[-2:])
        return F.max_pool2d(x, tuple(2 + one for one in odd), stride=2, padding=odd)


def _halved(x: Float[Tensor, "b c h w"], axis: int) -> Float[Tensor, "b c _ _"]:
    """`Halve` along one axis, without a choice by the parity of its length, which an exported graph cannot make."""
    length = x.shape[axis]
    odd = length - length // 2 * 2
    middle = 2 * torch.arange((length + 1) // 2, device=x.device)
    windows = ((middle - odd).clamp(min=0), middle, (middle + 1).clamp(max=length - 1))
    first, second, third = (x.index_select(axis, window) for window in windows)
    return first.maximum(second).maximum(third)


class FeaturePyramid(nn.Module):
    """Makes each of the four strides from the encoder's nearest map, by deconvolutions or max-pooling.

    Of a plain ViT's single map this makes the simple feature pyramid of ViTDet (Li et al., 2022, section 3); its
    lateral and output convolutions are the pixel decoder's. Maps that already have the stride are unchanged.

    Args:
        channels, strides: of the encoder's maps, fine to coarse.

    Attributes:
        channels: of the four maps.
    """

    def __init__(self, *, channels: Sequence[int], strides: Sequence[float]) -> None:
        super().__init__()
        if not strides:
            raise CheckpointError("the vision encoder has no maps, so there is nothing to segment with; choose another")
        self.sources: list[int] = []
        self.channels: list[int] = []
        self.steps = nn.ModuleList()
        for stride in STRIDES:
            source = min(range(len(strides)), key=lambda k: abs(math.log2(strides[k] / stride)))
            doublings = round(math.log2(strides[source] / stride))
            inputs = channels[source]
            if abs(doublings) > FARTHEST or inputs >> max(doublings, 0) < 1:
                raise CheckpointError(
                    f"the vision encoder's maps have strides {', '.join(map(str, strides))}: none is near enough to "
                    f"{stride}; choose an encoder with maps of strides between 2 and 32"
                )
            self.sources.append(source)
            self.steps.append(_resample(inputs, doublings))
            self.channels.append(inputs >> max(doublings, 0))

    def forward(self, maps: Sequence[Float[Tensor, "b _ _ _"]]) -> list[Float[Tensor, "b _ _ _"]]:
        """Args: maps, fine to coarse, as the encoder gives them."""
        return [step(maps[source]) for source, step in zip(self.sources, self.steps, strict=True)]


def is_pyramid(strides: Sequence[float]) -> bool:
    """Whether an encoder's maps have the four strides already, each at most a third off."""
    return len(strides) == len(STRIDES) and all(
        abs(math.log2(stride / wanted)) < 0.42 for stride, wanted in zip(strides, STRIDES, strict=True)
    )


def _resample(inputs: int, doublings: int) -> nn.Sequential:
    """ViTDet's: deconvolutions that halve the channels, with a norm and GELU between; or max-pooling."""
    layers: list[nn.Module] = [Halve() for _ in range(-doublings)]
    for k in range(doublings):
        if k:
            layers += [ChannelNorm(inputs >> k), nn.GELU()]
        layers.append(nn.ConvTranspose2d(inputs >> k, inputs >> (k + 1), kernel_size=2, stride=2))
    return nn.Sequential(*layers)
