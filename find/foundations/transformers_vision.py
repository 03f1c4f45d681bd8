"""The image encoders of transformers: its backbones, and those of CLIP, SigLIP, SigLIP2, FocalNet, SAM, SAM2 and SAM3.

A backbone gives the deepest map of each stride. Of a plain ViT that is one map, from which the interface makes its
pyramid; positions are interpolated, or extrapolated if rotary, so that images may have any size.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from transformers import (
    AutoConfig,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    FocalNetConfig,
    FocalNetModel,
    PreTrainedConfig,
    PreTrainedModel,
    Sam2VisionConfig,
    Sam2VisionModel,
    Sam3VisionConfig,
    Sam3VisionModel,
    SamVisionConfig,
    SamVisionModel,
    Siglip2VisionConfig,
    Siglip2VisionModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)
from transformers.image_processing_base import ImageProcessingMixin
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING

from find.errors import CheckpointError
from find.foundations.loading import EncoderSpec, need_name
from find.foundations.maps import IMAGENET_MEAN, IMAGENET_STD, MapEncoder, Maps, deepest_of_each_stride, square_size
from find.foundations.source import Source
from find.foundations.transformers_text import check_complete, load_model

Pixels = Float[Tensor, "b 3 h w"]
Look = Callable[[nn.Module, Pixels], Maps]


@dataclass(frozen=True)
class Family:
    """How the towers of one family are used.

    Args:
        kind: the tower's class.
        look: its features of normalised pixels.
        divisor: of the sides of images, in patches.
        inside: the names that the tower's weights begin with in the files of a larger model, as regular expressions.
    """

    kind: type[PreTrainedModel]
    look: Look
    divisor: int
    inside: dict[str, str] | None = None


class TransformersVision(MapEncoder):
    """A tower of transformers, by its family."""

    def __init__(self, tower: nn.Module, *, look: Look, **options: Any) -> None:
        self._look = look  # the base class's constructor calls `look`
        super().__init__(tower, **options)

    def forward_features(self, pixels: Pixels) -> Maps:
        return self._look(self.tower, pixels)


def backbone(tower: nn.Module, pixels: Pixels) -> Maps:
    """The maps that its config's `out_features` names."""
    return tower(pixels).feature_maps, None


def focalnet(tower: nn.Module, pixels: Pixels) -> Maps:
    """Every stage before it halves its map; as a backbone it would return them after that."""
    tokens, size = tower.embeddings(pixels)
    maps = []
    for stage in tower.encoder.stages:
        tokens, before, dimensions = stage(tokens, size)
        maps.append(before.transpose(1, 2).unflatten(2, size))
        size = dimensions[-2:]
    return maps, None


def clip(tower: nn.Module, pixels: Pixels) -> Maps:
    """The last block's patches, normalised as the class token is, and the image in the space of CLIP's texts."""
    output = tower(pixels, interpolate_pos_encoding=True)
    tokens = tower.vision_model.post_layernorm(output.last_hidden_state[:, 1:])
    return [_as_map(tokens, pixels, tower.config.patch_size)], output.image_embeds


def siglip(tower: nn.Module, pixels: Pixels) -> Maps:
    """The normalised patches that its pooling head reads, and the image in the space of SigLIP's texts."""
    output = tower(pixels, interpolate_pos_encoding=True)
    return [_as_map(output.last_hidden_state, pixels, tower.config.patch_size)], output.pooler_output


def siglip2(tower: nn.Module, pixels: Pixels) -> Maps:
    """As `siglip`, of the variant that takes flat patches (NaFlex)."""
    patch = tower.config.patch_size
    batch, _, height, width = pixels.shape
    rows, columns = height // patch, width // patch
    patches = pixels.unflatten(3, (columns, patch)).unflatten(2, (rows, patch))
    patches = patches.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, -1)
    shapes = torch.tensor([[rows, columns]], device="cpu").expand(batch, 2)  # they are read in Python
    output = tower(patches, pixel_attention_mask=None, spatial_shapes=shapes)
    return [_as_map(output.last_hidden_state, pixels, patch)], output.pooler_output


def sam(tower: nn.Module, pixels: Pixels) -> Maps:
    """The neck's map, of images of any size: its absolute positions are interpolated, its relative ones are already."""
    encoder = tower.vision_encoder
    x = encoder.patch_embed.projection(pixels).permute(0, 2, 3, 1)
    if encoder.pos_embed is not None:
        grid = encoder.pos_embed.permute(0, 3, 1, 2).float()
        if grid.shape[-2:] != x.shape[1:3]:
            grid = F.interpolate(grid, size=x.shape[1:3], mode="bicubic", align_corners=False)
        x = x + grid.permute(0, 2, 3, 1).to(x.dtype)
    for layer in encoder.layers:
        x = layer(x)
    return [encoder.neck(x)], None


def sam2(tower: nn.Module, pixels: Pixels) -> Maps:
    """All maps of its neck, of strides 4 to 32; its masks use the first three."""
    stages = tower.backbone(pixels).intermediate_hidden_states
    return tower.neck(stages)[0][::-1], None


def sam3(tower: nn.Module, pixels: Pixels) -> Maps:
    """Its neck's maps; at other sizes than its own the rotary positions keep their step."""
    config = tower.config.backbone_config
    rows, columns = (side // config.patch_size for side in pixels.shape[-2:])
    own = config.image_size // config.patch_size
    if (rows, columns) == (own, own):
        return tower(pixels).fpn_hidden_states, None
    grid = torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="xy")
    ids = torch.stack([axis.flatten() for axis in grid], dim=-1) * (config.window_size / own)
    everywhere = {
        f"backbone.layers.{number}.position_ids": ids.to(pixels.device)
        for number, layer in enumerate(tower.backbone.layers)
        if layer.window_size == 0
    }
    return functional_call(tower, everywhere, (pixels,)).fpn_hidden_states, None


def _as_map(tokens: Float[Tensor, "b p c"], pixels: Pixels, patch: int) -> Float[Tensor, "b c h w"]:
    rows, columns = (side // patch for side in pixels.shape[-2:])
    return tokens.transpose(1, 2).unflatten(2, (rows, columns))


IN_SAM = {r"^(detector_model\.)?vision_encoder\.": ""}
FAMILIES: dict[type[PreTrainedConfig], Family] = {
    CLIPVisionConfig: Family(CLIPVisionModelWithProjection, clip, 1),
    SiglipVisionConfig: Family(SiglipVisionModel, siglip, 1),
    Siglip2VisionConfig: Family(Siglip2VisionModel, siglip2, 1),
    FocalNetConfig: Family(FocalNetModel, focalnet, 8),
    SamVisionConfig: Family(SamVisionModel, sam, 1),
    Sam2VisionConfig: Family(Sam2VisionModel, sam2, 8, IN_SAM),
    Sam3VisionConfig: Family(Sam3VisionModel, sam3, 2, IN_SAM),
}
"""Models that transformers does not offer as a backbone, or that have several feature maps; by config class."""


def load_vision_model(spec: EncoderSpec, *, dtype: torch.dtype = torch.float32) -> TransformersVision:
    """The image encoder in a folder or on the hub (`NAME@REVISION`), also of a larger model such as a CLIP.

    Untrained, the architecture that its config.json describes, with seeded random weights.
    """
    untrained = spec.untrained
    source = Source.parse(need_name(spec, "transformers:NAME"), spec=spec.text)
    with source.reading("its config.json"):
        whole = AutoConfig.from_pretrained(source.name, revision=source.revision, **source.options(untrained=untrained))
    config = vision_config(whole)
    mean, std = pixel_statistics(source, whole, untrained=untrained)
    family, fixed = FAMILIES.get(type(config)), False
    if family is None:
        config, divisor, fixed = choose_maps(config, spec=spec.text)
        family = Family(MODEL_FOR_BACKBONE_MAPPING[type(config)], backbone, divisor)
    else:
        divisor = family.divisor * patch_size(config)
        if config is not whole and isinstance(config, CLIPVisionConfig):
            config.projection_dim = whole.projection_dim  # the vision config's own is often a default
    # Untrained weights are float32; the base class casts what may be stored in less.
    stored = torch.float32 if untrained else dtype
    tower, missing = load_model(source, family.kind, config, untrained=untrained, dtype=stored, names=family.inside)
    check_complete(source, [name for name in missing if "hidden_states_norms" not in name])  # plain norms are enough
    return TransformersVision(
        tower,
        look=family.look,
        spec=f"{'random:' * untrained}transformers:{source.pinned()}",
        mean=mean,
        std=std,
        divisor=divisor,
        image_size=square_size(getattr(config, "image_size", None)),
        fixed=fixed,
        dtype=dtype,
    )


def vision_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """The vision part's config of a multimodal model; otherwise the config itself."""
    config = getattr(config, "detector_config", None) or config
    return getattr(config, "vision_config", None) or config


def patch_size(config: PreTrainedConfig) -> int:
    """Of the tower's first convolution."""
    config = getattr(config, "backbone_config", None) or config
    return config.patch_stride[0] if hasattr(config, "patch_stride") else config.patch_size


def choose_maps(config: PreTrainedConfig, *, spec: str) -> tuple[PreTrainedConfig, int, bool]:
    """A backbone's config that requests the deepest map of each stride, the divisor of its images' sides, and whether
    it takes its own size only.

    A forward on the meta device, where nothing is computed, finds the strides of all its maps.
    """
    kind = MODEL_FOR_BACKBONE_MAPPING.get(type(config), None)
    if kind is None:
        known = ", ".join(sorted({c.model_type for c in [*MODEL_FOR_BACKBONE_MAPPING, *FAMILIES]}))
        raise CheckpointError(
            f"{spec}: transformers has no vision backbone of type {config.model_type!r}; it has {known}"
        )
    config = copy.deepcopy(config)
    config.out_features = list(config.stage_names)
    with torch.device("meta"):
        model = kind(config).eval()
    side, fixed = 2 * 448, False  # 448 is a multiple of 14 and of 64
    try:
        maps = model(torch.zeros(1, 3, 448, side, device="meta")).feature_maps
    except (RuntimeError, ValueError):
        side, fixed = square_size(config.image_size), True
        maps = model(torch.zeros(1, 3, side, side, device="meta")).feature_maps
    strides = [side // m.shape[-1] for m in maps]
    chosen = deepest_of_each_stride(strides)
    config.out_features = [config.stage_names[number] for number in sorted(chosen)]
    return config, strides[chosen[-1]], fixed


def pixel_statistics(source: Source, config: PreTrainedConfig, *, untrained: bool) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of RGB in 0..1, as the model's image processor has them.

    Untrained weights fall back to those of their model type, or ImageNet's. Raises FindError if trained weights lack
    the file, because other statistics would change the colours.
    """
    try:
        values, _ = ImageProcessingMixin.get_image_processor_dict(
            source.name, revision=source.revision, **source.options(untrained=untrained)
        )
    except OSError as error:
        if not untrained:
            with source.reading("its preprocessor_config.json (how pixels are normalised)"):
                raise error
        own = next(iter((IMAGE_PROCESSOR_MAPPING.get(type(config), None) or {}).values()), None)
        values = {"image_mean": getattr(own, "image_mean", None), "image_std": getattr(own, "image_std", None)}
    mean, std = values.get("image_mean") or IMAGENET_MEAN, values.get("image_std") or IMAGENET_STD
    if not values.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    factor = 255 * values.get("rescale_factor", 1 / 255) if values.get("do_rescale", True) else 255
    return [m / factor for m in mean], [s / factor for s in std]
