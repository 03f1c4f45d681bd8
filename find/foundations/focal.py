"""Focal modulation networks (Yang et al., 2022) as vision encoders, in the two flavours of the published FIND models.

The flavours differ in the stem's padding and in where a block normalises, so each has its own block (reference
section 5). Weights lie in a folder: `focal.json` (the constructor's numbers) and `focal.safetensors`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from find.errors import CheckpointError
from find.foundations.base import Frozen, VisionFeatures, check_divisible
from find.foundations.loading import EncoderSpec, need_name

CONFIG, WEIGHTS = "focal.json", "focal.safetensors"
STRIDES = (4, 8, 16, 32)
MEAN, STD = (123.675, 116.280, 103.530), (58.395, 57.120, 57.375)
"""Of RGB in 0..255."""


class Flavour(str, Enum):
    """PLAIN normalises the branches; DEPTHWISE normalises after the sum and has two depth-wise convolutions a block."""

    PLAIN = "focal"
    DEPTHWISE = "focal_dw"


@dataclass(frozen=True)
class FocalConfig:
    """Sizes of a focal network, one entry a stage.

    Args:
        flavour: of its blocks and stem.
        width: channels of the first stage; each later one has twice as many.
        depths: blocks.
        levels: focal levels; level l has kernel `windows + 2 l`.
        windows: the smallest kernel.
        mlp_ratio: hidden width of a block's MLP.
    """

    flavour: Flavour
    width: int
    depths: tuple[int, ...]
    levels: tuple[int, ...]
    windows: tuple[int, ...] = (3, 3, 3, 3)
    mlp_ratio: float = 4.0

    @property
    def channels(self) -> tuple[int, ...]:
        return tuple(self.width << stage for stage in range(len(self.depths)))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"flavour": self.flavour.value}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FocalConfig:
        rows = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**rows | {"flavour": Flavour(rows["flavour"])})


class Patches(nn.Module):
    """A strided convolution that pads right and bottom to whole patches, and a norm over channels."""

    def __init__(self, *, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h2 w2 c2"]:
        stride = self.proj.stride[0]
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % stride, 0, -height % stride))
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class FocalModulation(nn.Module):
    """Each pixel's query times a gated sum of its surroundings, from near to the whole map."""

    def __init__(self, *, width: int, levels: int, window: int) -> None:
        super().__init__()
        self.f = nn.Linear(width, 2 * width + levels + 1)
        self.h = nn.Conv2d(width, width, 1)
        self.proj = nn.Linear(width, width)
        self.contexts = nn.ModuleList(
            nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=False)
            for kernel in range(window, window + 2 * levels, 2)
        )

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        width, gates = x.shape[-1], len(self.contexts) + 1
        query, context, gate = self.f(x).permute(0, 3, 1, 2).split((width, width, gates), dim=1)
        gathered = 0
        for level, conv in enumerate(self.contexts):
            context = F.gelu(conv(context))
            gathered = gathered + context * gate[:, level, None]
        whole = F.gelu(context.mean((2, 3), keepdim=True))
        gathered = (gathered + whole * gate[:, -1, None]) / gates
        return self.proj((query * self.h(gathered)).permute(0, 2, 3, 1))


class PlainBlock(nn.Module):
    """Branches are normalised, then scaled and added."""

    def __init__(self, *, width: int, levels: int, window: int, hidden: int) -> None:
        super().__init__()
        self.modulation = FocalModulation(width=width, levels=levels, window=window)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.gamma_1, self.gamma_2 = (nn.Parameter(torch.full((width,), 1e-4)) for _ in range(2))

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        x = x + self.gamma_1 * self.norm1(self.modulation(x))
        return x + self.gamma_2 * self.norm2(self.mlp(x))


class DepthwiseBlock(PlainBlock):
    """A depth-wise convolution before each branch; sums are normalised, not branches."""

    def __init__(self, *, width: int, levels: int, window: int, hidden: int) -> None:
        super().__init__(width=width, levels=levels, window=window, hidden=hidden)
        self.dw1, self.dw2 = (nn.Conv2d(width, width, 3, padding=1, groups=width) for _ in range(2))

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        x = x + _over_map(self.dw1, x)
        x = self.norm1(x + self.gamma_1 * self.modulation(x))
        x = x + _over_map(self.dw2, x)
        return self.norm2(x + self.gamma_2 * self.mlp(x))


class FocalNet(nn.Module):
    """Four stages of blocks; gives the normalised output of each, fine to coarse."""

    def __init__(self, config: FocalConfig) -> None:
        super().__init__()
        depthwise = config.flavour is Flavour.DEPTHWISE
        block = DepthwiseBlock if depthwise else PlainBlock
        widths = config.channels
        self.stem = Patches(inputs=3, outputs=widths[0], kernel=7, stride=4, padding=3 if depthwise else 2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    block(width=width, levels=levels, window=window, hidden=int(config.mlp_ratio * width))
                    for _ in range(depth)
                )
            )
            for width, depth, levels, window in zip(widths, config.depths, config.levels, config.windows, strict=True)
        )
        self.downsamples = nn.ModuleList(
            Patches(inputs=fine, outputs=coarse, kernel=3, stride=2, padding=1) for fine, coarse in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)

    def forward(self, normalised: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b _ _ _"], ...]:
        return tuple(self._maps(normalised))

    def _maps(self, x: Tensor) -> Iterator[Tensor]:
        for number, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            patches = self.stem if number == 0 else self.downsamples[number - 1]
            inside = stage(patches(x))
            yield norm(inside).permute(0, 3, 1, 2)
            x = inside.permute(0, 3, 1, 2)


class FocalVision(Frozen):
    """A focal network as a `VisionEncoder`, without a space shared with a language encoder."""

    def __init__(self, net: FocalNet, config: FocalConfig, *, spec: str, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.net = net
        self.spec = spec
        self.dtype = dtype
        self.strides = STRIDES
        self.channels = config.channels
        self.pooled_dim: int | None = None
        self.divisor = STRIDES[-1]
        self.image_size: int | None = None
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)
        self.freeze()

    def normalise(self, images: UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """RGB of 0..255 to zero mean and unit variance; a pixel of colour `MEAN` becomes exactly zero."""
        return (images - self.mean) / self.std

    def compute_in(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"]) -> VisionFeatures:
        check_divisible(images, self.divisor)
        with torch.autocast(images.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            maps = self.net(self.normalise(images))
        return VisionFeatures(maps=tuple(m.to(self.dtype) for m in maps), strides=self.strides, pooled=None)


def load_focal(spec: EncoderSpec, *, dtype: torch.dtype = torch.float32) -> FocalVision:
    """The network in a folder, or, untrained, one of its sizes with seeded random weights."""
    folder = need_name(spec, "focal:FOLDER")
    about, weights = Path(folder) / CONFIG, Path(folder) / WEIGHTS
    try:
        config = FocalConfig.from_dict(json.loads(about.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"no focal network in {folder}: {about} cannot be read ({error})") from error
    with torch.random.fork_rng(devices=[], enabled=spec.untrained):
        if spec.untrained:
            torch.manual_seed(0)
        net = FocalNet(config)
    if not spec.untrained:
        try:
            net.load_state_dict(load_file(weights))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise CheckpointError(
                f"{weights} cannot be read or does not fit {about} ({error}); convert it again"
            ) from error
    return FocalVision(net, config, spec=spec.text, dtype=dtype)


def _over_map(conv: nn.Conv2d, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
