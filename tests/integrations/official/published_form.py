"""Checkpoints in the authors' form: random weights of our modules under the published names."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from find.foundations.focal import FocalConfig, FocalNet
from find.integrations.official.key_map import destination
from find.integrations.official.published import CONVENTIONS, Unwritten
from find.model.building import build_interface
from find.model.config import FINDConfig, InterfaceConfig

SIZES = InterfaceConfig(
    width=32, heads=2, feedforward=16, layers=2, queries=5, semantic_width=32, mask_width=8, decoder_width=32,
    decoder_layers=1, region_points=8, residual=False,
)  # fmt: skip
UNWRITTEN = Unwritten(heads=2, region_points=8, feature_layer=-2)
LLAMA_WIDTH, LLAMA_BLOCKS = 16, 3
"""Of the small LLaMA of the foundations' tests."""
SMALL = {"width": 8, "depths": (1, 1, 1, 1), "levels": (1, 1, 1, 1)}
"""Of a backbone."""

PIXELS, PREDICTOR = "sem_seg_head.pixel_decoder.", "sem_seg_head.predictor."
NAMES = (
    (r"stem\.(.+)", r"backbone.patch_embed.\1"),
    (r"downsamples\.(\d)\.(.+)", r"backbone.layers.\1.downsample.\2"),
    (r"stages\.(\d)\.(\d+)\.(\w+)\.contexts\.(\d)\.(.+)", r"backbone.layers.\1.blocks.\2.\3.focal_layers.\4.0.\5"),
    (r"stages\.(\d)\.(\d+)\.mlp\.0\.(.+)", r"backbone.layers.\1.blocks.\2.mlp.fc1.\3"),
    (r"stages\.(\d)\.(\d+)\.mlp\.2\.(.+)", r"backbone.layers.\1.blocks.\2.mlp.fc2.\3"),
    (r"stages\.(\d)\.(\d+)\.(.+)", r"backbone.layers.\1.blocks.\2.\3"),
    (r"norms\.(\d)\.(.+)", r"backbone.norm\1.\2"),
    (r"pixel_decoder\.outputs\.(\d)\.0\.(.+)", lambda m: f"{PIXELS}layer_{4 - int(m[1])}.{m[2]}"),
    (r"pixel_decoder\.outputs\.(\d)\.1\.(.+)", lambda m: f"{PIXELS}layer_{4 - int(m[1])}.norm.{m[2]}"),
    (r"pixel_decoder\.laterals\.(\d)\.0\.(.+)", lambda m: f"{PIXELS}adapter_{3 - int(m[1])}.{m[2]}"),
    (r"pixel_decoder\.laterals\.(\d)\.1\.(.+)", lambda m: f"{PIXELS}adapter_{3 - int(m[1])}.norm.{m[2]}"),
    (r"pixel_decoder\.encoder\.(\d)\.(.+)", PIXELS + r"transformer.encoder.layers.\1.\2"),
    (r"pixel_decoder\.(.+)", PIXELS + r"\1"),
    (r"layers\.(\d)\.content_attention\.(.+)", PREDICTOR + r"content_attention.layers.\1.multihead_attn.\2"),
    (r"layers\.(\d)\.content_norm\.(.+)", PREDICTOR + r"content_attention.layers.\1.norm.\2"),
    (r"layers\.(\d)\.condition_attention\.(.+)", PREDICTOR + r"condition_attention.layers.\1.self_attn.\2"),
    (r"layers\.(\d)\.condition_norm\.(.+)", PREDICTOR + r"condition_attention.layers.\1.norm.\2"),
    (r"layers\.(\d)\.feedforward_norm\.(.+)", PREDICTOR + r"transformer_ffn_layers.\1.norm.\2"),
    (r"layers\.(\d)\.(linear[12]\..+)", PREDICTOR + r"transformer_ffn_layers.\1.\2"),
    ("query_features", PREDICTOR + "query_feat.weight"),
    ("query_positions", PREDICTOR + "query_embed.weight"),
    ("memories.features", PREDICTOR + "spatial_featured.weight"),
    ("memories.positions", PREDICTOR + "spatial_embed.weight"),
    ("level_embed", PREDICTOR + "level_embed.weight"),
    ("sampler.sign", PREDICTOR + "pn_indicator.weight"),
    (r"sampler\.projections\.(\d)\.weight", PREDICTOR + r"mask_sptial_embed.\1"),
    ("text_projection.weight", PREDICTOR + "lang_encoder.lang_proj"),
    ("logit_scale", PREDICTOR + "lang_encoder.logit_scale"),
    (r"heads\.norm\.(.+)", PREDICTOR + r"decoder_norm.\1"),
    ("heads.semantic.weight", PREDICTOR + "class_embed"),
    (r"heads\.pixel\.(.+)", PREDICTOR + r"mask_embed.\1"),
)  # fmt: skip
"""Our names and the published ones, the other way round than the conversion's table, and written apart from it."""


def published_name(ours: str) -> str:
    for pattern, template in NAMES:
        if match := re.fullmatch(pattern, ours):
            return template(match) if callable(template) else match.expand(template)
    raise KeyError(ours)


def random_state(
    focal: FocalConfig, *, sizes: InterfaceConfig = SIZES, llama_width: int = LLAMA_WIDTH
) -> dict[str, Tensor]:
    """A state dict as the authors save it, but for two constants."""
    torch.manual_seed(0)
    config = FINDConfig(vision="", language="", interface=sizes, conventions=CONVENTIONS)
    interface = build_interface(config, channels=focal.channels, text_width=llama_width, pooled_width=None)
    state = {}
    for ours, tensor in (FocalNet(focal).state_dict() | interface.state_dict()).items():
        if ours == "background":  # which the authors compute
            continue
        name = published_name(ours)
        place = destination(name)
        assert place is not None and place.name == ours, (ours, name, place)
        state[name] = place.change(tensor).contiguous()  # a transposition is its own inverse
    return state


def write_checkpoint(file: Path, focal: FocalConfig, *, filled_up_to: int = 0) -> Path:
    """A small .pt file; a constant of the loss, which no one reads, fills it up to a size in bytes."""
    state = random_state(focal)
    state["criterion.empty_weight"] = torch.rand(max(filled_up_to // 4, 1))
    torch.save(state, file)
    return file
