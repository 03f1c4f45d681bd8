"""A small CLIP's two towers in plain PyTorch, equal to open_clip's but without its slow import.

Names of weights, their seeded initial values and all operations are open_clip's, so the same file loads into either and
gives the same numbers (tests/foundations/test_clip_towers.py).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from find.foundations.maps import stretched_positions


@dataclass(frozen=True)
class ImageSizes:
    """Of the image tower, as `vision_cfg` in open_clip_config.json names them."""

    image_size: int
    layers: Sequence[int]
    width: int
    head_width: int


@dataclass(frozen=True)
class TextSizes:
    """Of the text tower, as `text_cfg` in open_clip_config.json names them."""

    context_length: int
    vocab_size: int
    width: int
    heads: int
    layers: int


class Bottleneck(nn.Module):
    """A residual block; strides are average pools, before the last convolution and on the shortcut."""

    def __init__(self, channels: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample: nn.Module | None = None
        if stride > 1 or channels != 4 * planes:
            convolution = nn.Conv2d(channels, 4 * planes, 1, bias=False)
            parts = {"-1": nn.AvgPool2d(stride), "0": convolution, "1": nn.BatchNorm2d(4 * planes)}
            self.downsample = nn.Sequential(OrderedDict(parts))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(self.avgpool(out)))
        out += x if self.downsample is None else self.downsample(x)
        return F.relu(out, inplace=True)


class AttentionPool(nn.Module):
    """Pools a map into one vector: its mean attends to its positions. Position embeddings are resized to the map."""

    def __init__(self, side: int, width: int, heads: int, output: int) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(side**2 + 1, width) / width**0.5)
        self.k_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, output)
        self.heads = heads
        for linear in (self.q_proj, self.k_proj, self.v_proj, self.c_proj):
            nn.init.normal_(linear.weight, std=width**-0.5)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        height, width = features.shape[-2:]
        positions = stretched_positions(self.positional_embedding, (height, width), mode="bilinear")
        x = features.flatten(2).permute(2, 0, 1)
        x = torch.cat([x.mean(dim=0, keepdim=True), x]) + positions[:, None].to(x.dtype)
        attended, _ = F.multi_head_attention_forward(
            query=x,
            key=x,
            value=x,
            embed_dim_to_check=x.shape[-1],
            num_heads=self.heads,
            q_proj_weight=self.q_proj.weight,
            k_proj_weight=self.k_proj.weight,
            v_proj_weight=self.v_proj.weight,
            in_proj_weight=None,
            in_proj_bias=torch.cat([self.q_proj.bias, self.k_proj.bias, self.v_proj.bias]),
            bias_k=None,
            bias_v=None,
            add_zero_attn=False,
            dropout_p=0.0,
            out_proj_weight=self.c_proj.weight,
            out_proj_bias=self.c_proj.bias,
            use_separate_proj_weight=True,
            training=self.training,
            need_weights=False,
        )
        return attended[0]


class ImageTower(nn.Module):
    """CLIP's residual network: three convolutions, four stages and an attention pool."""

    def __init__(self, sizes: ImageSizes, output: int) -> None:
        super().__init__()
        self.image_size = sizes.image_size
        width, half = sizes.width, sizes.width // 2
        self.conv1 = nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        channels = width
        for stage, blocks in enumerate(sizes.layers):
            planes = width * 2**stage
            first = Bottleneck(channels, planes, stride=2 if stage else 1)
            channels = 4 * planes
            rest = [Bottleneck(channels, planes, stride=1) for _ in range(blocks - 1)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, *rest))
        self.attnpool = AttentionPool(sizes.image_size // 32, channels, channels // sizes.head_width, output)
        for name, weight in self.named_parameters():
            if "layer" in name and name.endswith("bn3.weight"):  # so that a block is initialised to the identity
                nn.init.zeros_(weight)

    def forward(
        self, pixels: Float[Tensor, "b 3 h w"]
    ) -> tuple[list[Float[Tensor, "b _ h2 w2"]], Float[Tensor, "b d"]]:
        """The stages' maps, of strides 4 to 32, and the pooled image."""
        x = pixels
        for convolution, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(norm(convolution(x)), inplace=True)
        x = F.avg_pool2d(x, 2)
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return maps, self.attnpool(x)


class LayerNorm(nn.LayerNorm):
    """Returns the type of its input, under autocast, too."""

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        return super().forward(x).to(x.dtype)


class Block(nn.Module):
    """Pre-norm self-attention and perceptron, each with a residual connection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = LayerNorm(width)
        wide, narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.mlp = nn.Sequential(OrderedDict(c_fc=wide, gelu=nn.GELU(), c_proj=narrow))

    def forward(self, x: Float[Tensor, "b t d"], *, attn_mask: Float[Tensor, "t t"]) -> Float[Tensor, "b t d"]:
        normed = self.ln_1(x)
        mask = attn_mask.to(normed.dtype)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class TextTower(nn.Module):
    """The weights of CLIP's text transformer; `OpenClipLanguage` runs them."""

    pool_type = "argmax"  # of its ids: the end token has the largest
    eos_id = -1  # which is therefore not requested

    def __init__(self, sizes: TextSizes, output: int) -> None:
        super().__init__()
        self.context_length = sizes.context_length
        self.token_embedding = nn.Embedding(sizes.vocab_size, sizes.width)
        self.positional_embedding = nn.Parameter(torch.empty(sizes.context_length, sizes.width))
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(Block(sizes.width, sizes.heads) for _ in range(sizes.layers))
        self.ln_final = LayerNorm(sizes.width)
        self.text_projection = nn.Parameter(torch.empty(sizes.width, output))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        narrow = sizes.width**-0.5
        for block in self.transformer.resblocks:
            nn.init.normal_(block.attn.in_proj_weight, std=narrow)
            nn.init.normal_(block.attn.out_proj.weight, std=narrow * (2 * sizes.layers) ** -0.5)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * sizes.width) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=narrow * (2 * sizes.layers) ** -0.5)
        nn.init.normal_(self.text_projection, std=narrow)

    @property
    def attn_mask(self) -> Float[Tensor, "t t"]:
        """Causal mask: minus infinity at later tokens."""
        length, device = self.context_length, self.positional_embedding.device
        return torch.full((length, length), -torch.inf, device=device).triu(1)
