"""Base class of vision encoders: normalises pixels, checks sizes, and freezes the tower in its dtype."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from find.errors import CheckpointError
from find.foundations.base import Frozen, VisionFeatures, check_divisible

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB in 0..1."""

Maps = tuple[Sequence[Float[Tensor, "b _ _ _"]], Float[Tensor, "b d"] | None]
"""Maps from fine to coarse, and one vector an image, if the tower makes one in a space shared with words."""


class MapEncoder(Frozen):
    """A tower as a `VisionEncoder`; subclasses adapt a library's towers in `forward_features`.

    Strides and channels are measured on a small image of zeros. Weights are kept in `dtype`, and the tower runs under
    autocast to it, independent of the caller's precision.

    Args:
        tower: the network.
        spec: what `load_vision` takes to build the encoder again.
        mean, std: of RGB in 0..1, for normalising the tower's pixels.
        divisor: sides of images must be multiples of it.
        image_size: side of the square images that the tower was trained on.
        fixed: whether it takes only images of that size.
        dtype: of weights and features.
    """

    def __init__(
        self,
        tower: nn.Module,
        *,
        spec: str,
        mean: Sequence[float],
        std: Sequence[float],
        divisor: int,
        image_size: int | None = None,
        fixed: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.tower = cast_weights(tower, dtype).to(memory_format=torch.channels_last)  # on a CPU half again as fast
        self.dtype = dtype
        self.image_size = image_size
        self.fixed = fixed
        self.divisor: int = image_size if fixed else divisor
        device = next(tower.parameters()).device
        self.register_buffer("scale", 1 / (255 * torch.tensor(std, device=device).view(3, 1, 1)), persistent=False)
        self.register_buffer("shift", -self.scale * 255 * torch.tensor(mean, device=device).view(3, 1, 1), False)
        self.freeze()

        side = self.divisor if fixed else 2 * self.divisor
        maps, pooled, _ = self._forward_tower(torch.zeros(1, 3, side, side, device=device))
        self.strides: tuple[float, ...] = tuple(_stride(side, m.shape[-1]) for m in maps)
        self.channels: tuple[int, ...] = tuple(m.shape[1] for m in maps)
        self.pooled_dim: int | None = None if pooled is None else pooled.shape[-1]

    def forward_features(self, pixels: Float[Tensor, "b 3 h w"]) -> Maps:
        """The tower's features of normalised pixels."""
        raise NotImplementedError

    def align(self, maps: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b d h w"] | None:
        """A map in the space of `pooled`, made of the tower's maps; None if the tower has none."""
        return None

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"]) -> VisionFeatures:
        """Features of RGB images in 0..255, in `dtype`. Raises `FindError` for sides that do not fit."""
        check_divisible(images, self.divisor)
        height, width = images.shape[-2:]
        if self.fixed and (height, width) != (self.divisor, self.divisor):
            raise CheckpointError(
                f"vision encoder {self.spec} takes images of {self.divisor}x{self.divisor} pixels only, "
                f"these have {width}x{height} (width x height)"
            )
        maps, pooled, aligned = self._forward_tower(torch.addcmul(self.shift, images.to(self.scale.dtype), self.scale))
        return VisionFeatures(
            maps=tuple(m.to(self.dtype) for m in maps),
            strides=self.strides,
            pooled=None if pooled is None else pooled.to(self.dtype),
            aligned=None if aligned is None else aligned.to(self.dtype),
        )

    def compute_in(self, dtype: torch.dtype) -> None:
        cast_weights(self.tower, dtype)
        self.dtype = dtype

    @torch.no_grad()
    def _forward_tower(self, pixels: Float[Tensor, "b 3 h w"]) -> tuple[Sequence[Tensor], Tensor | None, Tensor | None]:
        low = self.dtype != torch.float32
        pixels = pixels.to(self.dtype).contiguous(memory_format=torch.channels_last)
        device = "cpu" if pixels.is_meta else pixels.device.type  # where nothing is computed, autocast is not known
        with torch.autocast(device, dtype=self.dtype if low else None, enabled=low):
            maps, pooled = self.forward_features(pixels)
            return maps, pooled, self.align(maps)


def cast_weights(tower: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The tower with its weights in `dtype`.

    Non-persistent buffers, such as rotary frequencies, keep their type: rounded frequencies would rotate distant
    positions by several degrees.
    """
    stored = tower.state_dict(keep_vars=True)
    for tensor in stored.values():
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)
    return tower


def deepest_of_each_stride(strides: Sequence[float], *, finest: float = 4) -> list[int]:
    """The index of the last map of each stride, fine to coarse; those finer than `finest` are left out if there are
    others."""
    deepest = {stride: number for number, stride in enumerate(strides)}
    chosen = [number for stride, number in sorted(deepest.items()) if stride >= finest]
    return chosen or list(deepest.values())


def square_size(size: int | Sequence[int] | None) -> int | None:
    """The side of square images; None if they are not square."""
    if not isinstance(size, Sequence):
        return size
    return size[0] if len(set(size)) == 1 else None


def stretched_positions(own: Float[Tensor, "l c"], grid: tuple[int, int], *, mode: str) -> Float[Tensor, "l2 c"]:
    """Learned positions of a class token and of a square grid, interpolated to another grid."""
    side = math.isqrt(len(own) - 1)
    if grid == (side, side):
        return own
    places = own[1:].T.reshape(1, -1, side, side).float()
    places = F.interpolate(places, size=grid, mode=mode, align_corners=False).to(own.dtype)
    return torch.cat([own[:1], places.flatten(2)[0].T])


def seeded(build: Any, *arguments: Any, **options: Any) -> nn.Module:
    """The result of `build` with seeded random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(*arguments, **options)


def _stride(side: int, cells: int) -> float:
    stride = side / cells
    return int(stride) if stride.is_integer() else stride
