"""The image tower of an open_clip model as a vision encoder, and how the library's models are loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from open_clip.factory import HF_HUB_PREFIX, LOCAL_DIR_PREFIX
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.func import functional_call

from find.errors import FindError
from find.foundations.base import Frozen, VisionFeatures, check_divisible


class OpenClipVision(Frozen):
    """The image tower of an open_clip model as a `VisionEncoder`.

    A ModifiedResNet gives maps of strides 4, 8, 16, 32 and takes any size that is a multiple of 32: at other
    sizes than its own the attention pool's positions are interpolated. A vision transformer gives one map
    and takes its own size only.
    """

    def __init__(self, tower: nn.Module, *, spec: str, dtype: torch.dtype = torch.float32):
        super().__init__()
        if not hasattr(tower, "forward_intermediates"):
            raise FindError(f"vision encoder {spec}: its open_clip tower gives no intermediate features")
        self.spec = spec
        self.tower = tower.to(memory_format=torch.channels_last)  # on a CPU half again as fast
        self.dtype = dtype
        size = tower.image_size[0] if isinstance(tower.image_size, Sequence) else tower.image_size
        self.image_size: int | None = size
        mean = torch.tensor(tower.preprocess_cfg["mean"]).view(3, 1, 1)
        std = torch.tensor(tower.preprocess_cfg["std"]).view(3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)
        self.freeze()

        maps, pooled = self._intermediates(torch.zeros(1, 3, size, size), indices=None)
        deepest = {size // m.shape[-1]: i for i, m in enumerate(maps)}  # the deepest map of each stride
        self.strides: tuple[int, ...] = tuple(sorted(deepest))
        self.indices: list[int] = [deepest[s] for s in self.strides]
        self.channels: tuple[int, ...] = tuple(maps[i].shape[1] for i in self.indices)
        self.pooled_dim: int | None = pooled.shape[-1]
        self.divisor: int = size if isinstance(tower, VisionTransformer) else max(self.strides)

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"]) -> VisionFeatures:
        """Features of RGB images in 0..255, in `dtype`. Raises `FindError` for sides that do not fit."""
        check_divisible(images, self.divisor)
        height, width = images.shape[-2:]
        if isinstance(self.tower, VisionTransformer) and (height, width) != (self.divisor, self.divisor):
            raise FindError(
                f"vision encoder {self.spec} takes images of {self.divisor}x{self.divisor} pixels only, "
                f"these have {height}x{width} (height x width)"
            )
        normalised = torch.addcmul(self.shift, images.to(self.scale.dtype), self.scale)
        normalised = normalised.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            maps, pooled = self._intermediates(normalised, indices=self.indices)
        return VisionFeatures(
            maps=tuple(m.to(self.dtype) for m in maps), strides=self.strides, pooled=pooled.to(self.dtype)
        )

    @torch.no_grad()
    def _intermediates(self, images: Tensor, *, indices: list[int] | None) -> tuple[list[Tensor], Tensor]:
        if not isinstance(self.tower, ModifiedResNet):
            output = self.tower.forward_intermediates(images, indices=indices)
            return output["image_intermediates"], output["image_features"]
        output = self.tower.forward_intermediates(images, indices=indices, intermediates_only=True)
        maps = output["image_intermediates"]
        return maps, attention_pool(self.tower.attnpool, maps[-1])


def attention_pool(pool: AttentionPool2d, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
    """A ModifiedResNet's attention pool over a map of any size.

    At another size than its own, its grid of learned positions is bilinearly interpolated; at its own size
    this is exactly the pool.
    """
    height, width = features.shape[-2:]
    own = pool.positional_embedding
    side = math.isqrt(len(own) - 1)
    if (height, width) == (side, side):
        return pool(features)
    grid = own[1:].T.reshape(1, -1, side, side)
    grid = F.interpolate(grid, size=(height, width), mode="bilinear", align_corners=False)
    positions = torch.cat([own[:1], grid.flatten(2)[0].T])
    return functional_call(pool, {"positional_embedding": positions}, (features,))


def load_open_clip_vision(
    name: str, *, spec: str, untrained: bool = False, dtype: torch.dtype = torch.float32
) -> OpenClipVision:
    """The image tower of an open_clip model, named as `load_open_clip` takes it."""
    model = load_open_clip(name, untrained=untrained)
    return OpenClipVision(model.visual, spec=spec, dtype=dtype)


def load_open_clip(name: str, *, untrained: bool) -> nn.Module:
    """A whole open_clip model, or a `FindError` that says what is missing.

    `name` is `NAME/PRETRAINED` (a tag that open_clip knows, or a file), `local-dir:FOLDER` or `hf-hub:REPO`.
    `untrained` gives seeded random weights instead, the same ones each time.
    """
    name, pretrained = model_name(name)
    if name.startswith(LOCAL_DIR_PREFIX):
        folder = Path(name.removeprefix(LOCAL_DIR_PREFIX))
        if not (folder / "open_clip_config.json").is_file():
            raise FindError(f"no open_clip model in {folder}: open_clip_config.json is missing")
        if not untrained and not any(folder.glob("*.safetensors")):
            raise FindError(f"the open_clip model in {folder} has no weights: there is no .safetensors file")
    elif not name.startswith(HF_HUB_PREFIX):
        if open_clip.get_model_config(name) is None:
            raise FindError(f"open_clip knows no model named {name!r}; see open_clip.list_models()")
        if pretrained is None and not untrained:
            tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
            raise FindError(
                f"open_clip model {name!r}: name its weights as well, 'open_clip:{name}/TAG' (tags: {tags}), "
                f"or 'random:open_clip:{name}' for untrained ones"
            )
    with torch.random.fork_rng(devices=[], enabled=untrained):
        if untrained:
            torch.manual_seed(0)
        return open_clip.create_model(name, pretrained=pretrained, load_weights=not untrained)


def model_name(name: str) -> tuple[str, str | None]:
    """Splits `NAME/PRETRAINED`."""
    if name.startswith((LOCAL_DIR_PREFIX, HF_HUB_PREFIX)):
        return name, None
    name, _, pretrained = name.partition("/")
    return name, pretrained or None
