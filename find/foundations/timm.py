"""Models of timm as vision encoders: the deepest map of each stride, or a plain ViT's last map."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import timm
import torch
from jaxtyping import Float
from torch import Tensor

from find.errors import CheckpointError
from find.foundations.loading import EncoderSpec, need_name
from find.foundations.maps import MapEncoder, Maps, deepest_of_each_stride, seeded, square_size
from find.foundations.source import Source

LOCAL, HUB = "local-dir:", "hf-hub:"


class TimmStages(MapEncoder):
    """A `features_only` model."""

    def forward_features(self, pixels: Float[Tensor, "b 3 h w"]) -> Maps:
        maps = self.tower(pixels)
        channels_last = getattr(self.tower, "output_fmt", None) == "NHWC"
        return [m.permute(0, 3, 1, 2) if channels_last else m for m in maps], None


class TimmPlain(MapEncoder):
    """A plain ViT: its tokens after the last block and the final norm, as one map."""

    def forward_features(self, pixels: Float[Tensor, "b 3 h w"]) -> Maps:
        return self.tower.forward_intermediates(pixels, indices=1, norm=True, intermediates_only=True), None


def load_timm(spec: EncoderSpec, *, dtype: torch.dtype = torch.float32) -> MapEncoder:
    """A model of timm as `NAME.TAG`, `NAME.TAG@REVISION`, or the folder or hub repository of one."""
    source = Source.parse(need_name(spec, "timm:NAME.TAG").removeprefix(LOCAL), spec=spec.text)
    with source.reading("the timm model"):
        called = timm_name(source)
        with torch.device("meta"):  # the architecture only: which maps it has, and what sizes it takes
            model = timm.create_model(called)
    config = model.pretrained_cfg
    stages = getattr(model, "feature_info", None)
    if not stages:
        raise CheckpointError(f"{spec.text}: timm's {type(model).__name__} has no feature maps; choose another model")
    strides = [stage["reduction"] for stage in stages]
    accepted = inspect.signature(type(model).__init__).parameters
    any_size = "dynamic_img_size" in accepted
    options: dict[str, Any] = {"dynamic_img_size": True} if any_size else {}
    if len(set(strides)) == 1:
        kind, options["num_classes"] = TimmPlain, 0
    else:
        kind, options["features_only"] = TimmStages, True
        options["out_indices"] = deepest_of_each_stride(strides)
    with source.reading("the timm model"):
        tower = seeded(timm.create_model, called, pretrained=not spec.untrained, **options)
    return kind(
        tower,
        spec=spec.text if spec.untrained else f"timm:{pinned(source)}",
        mean=config["mean"],
        std=config["std"],
        divisor=math.lcm(*strides),
        image_size=square_size(config["input_size"][1:]),
        fixed=bool(config.get("fixed_input_size")) and not any_size,
        dtype=dtype,
    )


def pinned(source: Source) -> str:
    """A name that fixes the weights: with the downloaded commit, if they are from the hub."""
    if source.is_folder or "/" in source.name:
        return source.pinned()
    config = timm.get_pretrained_cfg(source.name)
    if config is None or not config.hf_hub_id:
        return source.name
    tag = "" if "." in source.name or not config.tag else f".{config.tag}"
    commit = Source(config.hf_hub_id, source.revision, source.spec).commit()
    return f"{source.name}{tag}@{commit}" if commit else source.name


def timm_name(source: Source) -> str:
    """The argument for `timm.create_model`: a name that it knows, `local-dir:FOLDER` or `hf-hub:REPOSITORY@REVISION`.

    Raises FindError for an unknown name.
    """
    if source.is_folder:
        return LOCAL + str(Path(source.name).resolve())
    revision = f"@{source.revision}" if source.revision else ""
    if "/" in source.name:
        return HUB + source.name + revision
    model, _, tag = source.name.partition(".")
    if not timm.is_model(model):
        near = ", ".join(timm.list_models(f"*{model.split('_')[0]}*")[:5]) or "see timm.list_models()"
        raise CheckpointError(f"{source.spec}: timm has no model {model!r} ({near})")
    trained = timm.list_pretrained(f"{model}.*")
    if tag and source.name not in trained:
        raise CheckpointError(
            f"{source.spec}: timm has no weights {tag!r} of {model} (it has {', '.join(trained) or 'none'})"
        )
    if not revision:
        return source.name
    config = timm.get_pretrained_cfg(source.name)
    if config is None or not config.hf_hub_id:
        raise CheckpointError(
            f"{source.spec}: these weights are not on the Hugging Face hub, so they have no revisions"
        )
    return HUB + config.hf_hub_id + revision
