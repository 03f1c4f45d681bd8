"""The image tower of an open_clip model as a vision encoder, and how the library's models are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from jaxtyping import Float
from open_clip.factory import HF_HUB_PREFIX, LOCAL_DIR_PREFIX
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from open_clip.transformer import VisionTransformer
from timm.models import ConvNeXt
from torch import Tensor, nn
from torch.func import functional_call

from find.errors import CheckpointError
from find.foundations.loading import EncoderSpec, need_name
from find.foundations.maps import MapEncoder, Maps, deepest_of_each_stride, square_size, stretched_positions
from find.foundations.source import Source, hub_answers

PICKLED = "open_clip_pytorch_model.bin"
"""Weights in repositories without safetensors; open_clip reads tensors of it and nothing else."""


class OpenClipVision(MapEncoder):
    """The image tower of an open_clip model: the deepest map of each stride, and the pooled vector in the text space.

    Positions are interpolated at other sizes than the tower's own; a tower of timm that cannot do this (Swin, EVA)
    takes its own size only. The map of a plain ViT is normalised like the tokens that it pools. A ConvNeXt's last
    map, passed through its head at each position, is in the text space (Yu et al., 2023, FC-CLIP).
    """

    def __init__(self, tower: nn.Module, *, spec: str, dtype: torch.dtype = torch.float32):
        if not hasattr(tower, "forward_intermediates"):
            raise CheckpointError(f"vision encoder {spec}: its open_clip tower gives no intermediate features")
        size = square_size(tower.image_size)
        if size is None:
            raise CheckpointError(f"vision encoder {spec}: its open_clip tower is not of square images")
        pixels = torch.zeros(1, 3, size, size, device=next(tower.parameters()).device)
        with torch.no_grad():
            maps = tower.eval().forward_intermediates(pixels, intermediates_only=True)["image_intermediates"]
        strides = [size // m.shape[-1] for m in maps]
        self.indices = deepest_of_each_stride(strides)
        self.plain = len(self.indices) == 1
        super().__init__(
            tower,
            spec=spec,
            mean=tower.preprocess_cfg["mean"],
            std=tower.preprocess_cfg["std"],
            divisor=max(strides),
            image_size=size,
            fixed=not _takes_any_size(tower),
            dtype=dtype,
        )

    def forward_features(self, pixels: Float[Tensor, "b 3 h w"]) -> Maps:
        if isinstance(self.tower, ModifiedResNet):
            maps = self.tower.forward_intermediates(pixels, indices=self.indices, intermediates_only=True)
            maps = maps["image_intermediates"]
            return maps, attention_pool(self.tower.attnpool, maps[-1])
        tower, positions = _Intermediates(self.tower), {}
        if isinstance(self.tower, VisionTransformer):
            grid = tuple(side // patch for side, patch in zip(pixels.shape[-2:], self.tower.patch_size, strict=True))
            own = self.tower.positional_embedding
            positions["tower.positional_embedding"] = stretched_positions(own, grid, mode="bicubic")
        options = {"indices": self.indices, "normalize_intermediates": self.plain}
        output = functional_call(tower, positions, (pixels,), options)
        return output["image_intermediates"], output["image_features"]

    def align(self, maps: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b d h w"] | None:
        trunk = getattr(self.tower, "trunk", None)
        if not isinstance(trunk, ConvNeXt) or isinstance(self.tower.head, nn.Identity):
            return None
        places = trunk.head.norm(maps[-1]).permute(0, 2, 3, 1)
        return self.tower.head(trunk.head.fc(trunk.head.pre_logits(places))).permute(0, 3, 1, 2)


class _Intermediates(nn.Module):
    """Makes the tower's `forward_intermediates` a forward, which `functional_call` needs."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Float[Tensor, "b 3 h w"], **options: Any) -> dict[str, Any]:
        return self.tower.forward_intermediates(pixels, **options)


def _takes_any_size(tower: nn.Module) -> bool:
    """Whether the tower takes images of other sizes than its own; sets this up for plain ViTs of timm."""
    trunk = getattr(tower, "trunk", None)
    if trunk is None:
        return True
    if isinstance(trunk, timm.models.VisionTransformer) and isinstance(trunk.patch_embed, timm.layers.PatchEmbed):
        # Does what timm's constructor does for dynamic_img_size, which open_clip does not pass on.
        trunk.dynamic_img_size = True
        trunk.patch_embed.strict_img_size = False
        trunk.patch_embed.flatten = False
        trunk.patch_embed.output_fmt = timm.layers.Format.NHWC
        return True
    return not trunk.pretrained_cfg.get("fixed_input_size", False)


def attention_pool(pool: AttentionPool2d, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
    """A ModifiedResNet's attention pool over a map of any size.

    At another size than its own, its grid of learned positions is bilinearly interpolated; at its own size
    this is exactly the pool.
    """
    grid = tuple(features.shape[-2:])
    positions = stretched_positions(pool.positional_embedding, grid, mode="bilinear")
    return functional_call(pool, {"positional_embedding": positions}, (features,))


def load_open_clip_vision(spec: EncoderSpec, *, dtype: torch.dtype = torch.float32) -> OpenClipVision:
    """The image tower of an open_clip model, named as `load_open_clip` takes it."""
    name = need_name(spec, "open_clip:NAME/PRETRAINED or open_clip:local-dir:FOLDER")
    model = load_open_clip(name, untrained=spec.untrained)
    return OpenClipVision(model.visual, spec=pinned_spec(spec), dtype=dtype)


def pinned_spec(spec: EncoderSpec) -> str:
    """The spec by which the same weights are loaded again."""
    return spec.text if spec.untrained else spec.text.replace(spec.name, pinned(spec.name))


def load_open_clip(name: str, *, untrained: bool) -> nn.Module:
    """Loads a complete open_clip model. Raises `FindError` that says what is missing.

    `name` is `NAME/PRETRAINED` (a tag that open_clip knows, or a file), `local-dir:FOLDER` or `hf-hub:REPO`; after a
    tag or a repository of the hub may stand `@REVISION`. `untrained` gives seeded random weights instead, the same
    ones each time.
    """
    asked = f"open_clip:{name}"
    name, pretrained = model_name(name) if not untrained else architecture_name(name)
    source = Source(name, None, asked)
    if name.startswith(LOCAL_DIR_PREFIX):
        folder = Path(name.removeprefix(LOCAL_DIR_PREFIX))
        if not (folder / "open_clip_config.json").is_file():
            raise CheckpointError(f"no open_clip model in {folder}: open_clip_config.json is missing")
        if not untrained and not any(folder.glob("*.safetensors")) and not (folder / PICKLED).is_file():
            raise CheckpointError(f"the open_clip model in {folder} has no weights: there is no .safetensors file")
        source = Source(str(folder), None, asked)
    else:
        if open_clip.get_model_config(name) is None:
            raise CheckpointError(f"open_clip knows no model named {name!r}; see open_clip.list_models()")
        if untrained and open_clip.get_model_config(name)["text_cfg"].get("hf_model_name") and not hub_answers():
            raise CheckpointError(
                f"random:{asked}: the text tower of {name} is described by a file of the hub, which cannot be reached; "
                "take a model with a text tower of open_clip's own, such as random:open_clip:ViT-B-32"
            )
        if not untrained and not Path(pretrained or "").is_file():
            source = Source(_repository(name, pretrained), None, asked)
    with torch.random.fork_rng(devices=[], enabled=untrained), source.reading("the open_clip model"):
        if untrained:
            torch.manual_seed(0)
        return open_clip.create_model(
            name,
            pretrained=pretrained,
            load_weights=not untrained,
            require_pretrained=not untrained,
            device=torch.get_default_device(),
        )


def model_name(name: str) -> tuple[str, str | None]:
    """open_clip's arguments for a model's name and its weights.

    `hf-hub:REPO`, and names with a revision, are downloaded and become folders.
    """
    if name.startswith(LOCAL_DIR_PREFIX):
        return name, None
    if not name.startswith(HF_HUB_PREFIX):
        model, _, pretrained = name.partition("/")
        tag, at, revision = pretrained.partition("@")
        if not at or Path(pretrained).exists():
            return model, pretrained or None
        repository = _repository(model, tag)
    else:
        repository, _, revision = name.removeprefix(HF_HUB_PREFIX).partition("@")
    source = Source(repository, revision or None, f"open_clip:{name}")
    what, config = "an open_clip model", "open_clip_config.json"
    folder = source.fetch(what, "open_clip*", "*.json", "*.txt", needs=[config], ignore_patterns=["*.bin"])
    if not any(folder.glob("*.safetensors")):  # older repositories have nothing else
        source.fetch(what, PICKLED, needs=[PICKLED])
    return f"{LOCAL_DIR_PREFIX}{folder}", None


def architecture_name(name: str) -> tuple[str, None]:
    """open_clip's name of an untrained model; no weights are downloaded for it.

    For `hf-hub:REPO` its config is downloaded, which describes the architecture.
    """
    if name.startswith(LOCAL_DIR_PREFIX):
        return name, None
    if not name.startswith(HF_HUB_PREFIX):
        return name.partition("/")[0], None
    repository, _, revision = name.removeprefix(HF_HUB_PREFIX).partition("@")
    source = Source(repository, revision or None, f"random:open_clip:{name}")
    config = "open_clip_config.json"
    options = source.options(untrained=True)
    return f"{LOCAL_DIR_PREFIX}{source.fetch('its config', '*.json', '*.txt', needs=[config], **options)}", None


def pinned(name: str) -> str:
    """A name that fixes the weights: with the commit that `load_open_clip` has downloaded, if from the hub."""
    if name.startswith(LOCAL_DIR_PREFIX) or Path(name.partition("/")[2]).is_file():
        return name
    plain, _, revision = name.partition("@")
    if plain.startswith(HF_HUB_PREFIX):
        repository = plain.removeprefix(HF_HUB_PREFIX)
    else:
        model, tag = plain.split("/", 1)
        if not open_clip.get_pretrained_cfg(model, tag)["hf_hub"].endswith("/"):  # a file without a config beside it
            return name
        repository = _repository(model, tag)
    commit = Source(repository, revision or None, f"open_clip:{name}").commit()
    return f"{plain}@{commit}" if commit else name


def _repository(model: str, tag: str | None) -> str:
    """The hub's repository of a model's weights. Raises FindError for weights that open_clip does not know."""
    config = open_clip.get_pretrained_cfg(model, tag or "")
    if not config:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        raise CheckpointError(
            f"open_clip model {model!r}: name its weights as well, 'open_clip:{model}/TAG' (tags: {tags}), "
            f"or 'random:open_clip:{model}' for untrained ones"
            if not tag
            else f"open_clip model {model!r} has no weights {tag!r}, and no such file is here (tags: {tags})"
        )
    return "/".join(config.get("hf_hub", "").split("/")[:2]) or model  # a file's name may follow
