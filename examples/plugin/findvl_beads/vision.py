"""A vision encoder: colours, edges and blobs at four scales, mixed by fixed random weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from find.errors import CheckpointError
from find.foundations import EncoderSpec, Frozen, VisionFeatures
from find.foundations.base import check_divisible

STRIDES = (4, 8, 16, 32)
RESPONSES = 12
"""Mean colour, its deviation, edges and blobs, each of three colours."""


class FilterVision(Frozen):
    """Maps at strides 4 to 32; it has no text space, so it gives no pooled vector.

    Args:
        channels: of each map.
        spec: what `load_vision` takes to build it again.
    """

    pooled_dim = None
    divisor = 32
    image_size = None

    def __init__(self, channels: int, *, spec: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.spec = spec
        self.strides = tuple(map(float, STRIDES))
        self.channels = (channels,) * len(STRIDES)
        self.dtype = dtype
        generator = torch.Generator().manual_seed(0)
        mix = torch.randn(len(STRIDES), channels, RESPONSES, generator=generator) / RESPONSES**0.5
        self.register_buffer("mix", mix)  # in the state, so that checkpoints know which weights they were made for
        self.freeze()

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "b 3 h w"]) -> VisionFeatures:
        """Features of RGB images in 0..255."""
        check_divisible(images, self.divisor)
        pixels = images.float() / 127.5 - 1
        maps = []
        for stride, mix in zip(STRIDES, self.mix, strict=True):
            mean = F.avg_pool2d(pixels, stride)
            deviation = (F.avg_pool2d(pixels**2, stride) - mean**2).clamp_min(0).sqrt()
            around = F.avg_pool2d(F.pad(mean, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
            edges = (mean - mean.roll(1, -1)).abs() + (mean - mean.roll(1, -2)).abs()
            responses = torch.cat([mean, deviation, edges, mean - around], dim=1)
            maps.append(torch.einsum("cr,brhw->bchw", mix, responses).tanh().to(self.dtype))
        return VisionFeatures(maps=tuple(maps), strides=self.strides, pooled=None)


def load_filters(spec: EncoderSpec, *, dtype: torch.dtype) -> FilterVision:
    """`filters:CHANNELS`."""
    if not spec.name.isdecimal() or not int(spec.name):
        raise CheckpointError(f"{spec.text}: say how many channels a map has, such as filters:32")
    return FilterVision(int(spec.name), spec=spec.text, dtype=dtype)
