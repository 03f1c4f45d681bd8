"""The pixel decoder: a feature pyramid whose coarsest map passes a small transformer encoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from find.interface.feature_pyramid import FeaturePyramid
from find.interface.positions import sine_positions


@dataclass(frozen=True)
class DecodedPixels:
    """`levels` coarse to fine (strides 32, 16, 8 for a four-map encoder); `mask_features` at the finest stride;
    `encoded` is the coarsest map after its transformer encoder, from which the pyramid starts."""

    levels: tuple[Float[Tensor, "b c _ _"], ...]
    mask_features: Float[Tensor, "b m h w"]
    encoded: Float[Tensor, "b c _ _"]


class GroupNorm(nn.GroupNorm):
    """torch's own, also where a group is one value, which `nn.GroupNorm` takes for a mistake in training: a picture
    whose coarsest map is one position, by a model with a group for each channel. Together with others it passes."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


def _normed_conv(inputs: int, outputs: int, kernel: int, groups: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, GroupNorm(groups, outputs))


class EncoderLayer(nn.Module):
    """A post-norm transformer encoder layer with positions added to queries and keys only."""

    def __init__(self, *, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm1 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, feedforward)
        self.linear2 = nn.Linear(feedforward, width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "b p c"], positions: Float[Tensor, "p c"]) -> Float[Tensor, "b p c"]:
        placed = x + positions
        x = self.norm1(x + self.self_attn(placed, placed, x, need_weights=False)[0])
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class PixelDecoder(nn.Module):
    """Turns an encoder's maps into the levels that proposals attend to and the features that masks are drawn with.

    Args:
        channels: of the encoder's maps, fine to coarse (at least two).
        width: of the pyramid.
        mask_width: of the mask features.
        layers, heads, feedforward: of the transformer encoder on the coarsest map.
        groups: of every group norm.
        pyramid: makes these maps of those that the encoder gives, if it gives others.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int],
        width: int,
        mask_width: int,
        layers: int,
        heads: int,
        feedforward: int,
        groups: int = 32,
        pyramid: FeaturePyramid | None = None,
    ) -> None:
        super().__init__()
        self.pyramid = pyramid
        *finer, coarsest = channels
        self.width = width
        self.input_proj = nn.Conv2d(coarsest, width, 1)
        self.encoder = nn.ModuleList(
            EncoderLayer(width=width, heads=heads, feedforward=feedforward) for _ in range(layers)
        )
        self.laterals = nn.ModuleList(_normed_conv(inputs, width, 1, groups) for inputs in reversed(finer))
        self.outputs = nn.ModuleList(_normed_conv(width, width, 3, groups) for _ in channels)
        self.mask_features = nn.Conv2d(width, mask_width, 3, padding=1)

    def forward(self, maps: Sequence[Float[Tensor, "b _ _ _"]]) -> DecodedPixels:
        """Args: maps, fine to coarse, as the encoder returns them, of any floating type."""
        maps = [m.to(self.input_proj.weight.dtype) for m in maps]
        *finer, coarsest = maps if self.pyramid is None else self.pyramid(maps)
        x = self.input_proj(coarsest)
        _, c, h, w = x.shape
        positions = sine_positions(h, w, c, device=x.device).to(x.dtype)
        tokens = x.flatten(2).transpose(1, 2)
        for layer in self.encoder:
            tokens = layer(tokens, positions)
        x = tokens.transpose(1, 2).reshape(-1, c, h, w)

        pyramid = [F.relu(self.outputs[0](x))]
        for lateral, output, finer_map in zip(self.laterals, self.outputs[1:], reversed(finer), strict=True):
            side = lateral(finer_map)
            above = F.interpolate(pyramid[-1], size=side.shape[-2:], mode="nearest")
            pyramid.append(F.relu(output(side + above)))
        return DecodedPixels(levels=tuple(pyramid[:-1]), mask_features=self.mask_features(pyramid[-1]), encoded=x)
