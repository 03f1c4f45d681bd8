"""Per-image counter-based RNG (SplitMix64): independent of batch, process, device and earlier steps."""

from math import prod

import torch
from jaxtyping import Float, Int64
from torch import Tensor

MASK_POINTS, NEGATIVE_STROKES = range(2)
"""Uses of random numbers, each with its own stream."""


def uniform(seeds: Int64[Tensor, " b"], stream: int, *shape: int) -> Float[Tensor, " b *shape"]:
    """Uniform numbers in [0, 1) for each seed, on the seeds' device.

    Number k of an image is a hash of its seed, the stream and k (SplitMix64, Steele et al. 2014), so a longer sequence
    begins with the shorter one.
    """
    start = _mixed(_mixed(seeds) + stream)[:, None]
    count = torch.arange(1, prod(shape) + 1, device=seeds.device)
    bits = _mixed(start + count * -7046029254386353131)  # the golden ratio's bits
    return (_shifted(bits, 40).to(torch.float32) * 2.0**-24).view(len(seeds), *shape)


def _mixed(x: Int64[Tensor, "..."]) -> Int64[Tensor, "..."]:
    """SplitMix64's finaliser; products wrap around."""
    x = (x ^ _shifted(x, 30)) * -4658895280553007687
    x = (x ^ _shifted(x, 27)) * -7723592293110705685
    return x ^ _shifted(x, 31)


def _shifted(x: Int64[Tensor, "..."], bits: int) -> Int64[Tensor, "..."]:
    """Logical right shift: torch's own is arithmetic."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
