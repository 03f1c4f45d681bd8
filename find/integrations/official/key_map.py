"""Names of the published checkpoints' tensors and ours: a table of rules, each for a family of names.

Only this package knows the published names. A rule is a pattern over them, our name with the pattern's groups filled
in, and how the tensor changes on its way; a rule without a name of ours says why its tensors are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from torch import Tensor

PIXELS = r"sem_seg_head\.pixel_decoder\."
PREDICTOR = r"sem_seg_head\.predictor\."
LANGUAGE = r"sem_seg_head\.predictor\.lang_encoder\.lang_encoder\."


class Part(Enum):
    """Where a tensor goes: the interface, the backbone, the language model, or nowhere."""

    INTERFACE = "interface"
    BACKBONE = "backbone"
    LANGUAGE = "language"
    LEFT_OUT = "left out"


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _transposed(tensor: Tensor) -> Tensor:
    return tensor.mT


@dataclass(frozen=True)
class Rule:
    """Args: pattern of the published name; part; our name (of `LEFT_OUT`: the reason); the change of the tensor."""

    pattern: str
    part: Part
    name: str | Callable[[re.Match[str]], str]
    change: Callable[[Tensor], Tensor] = field(default=_same)


def _fpn(match: re.Match[str]) -> str:
    """Published maps are numbered fine to coarse, from 1; ours are in the order of computing, coarse to fine."""
    kind, number, norm, leaf = match["kind"], int(match["number"]), match["norm"], match["leaf"]
    rows, place = ("outputs", 4 - number) if kind == "layer" else ("laterals", 3 - number)
    return f"pixel_decoder.{rows}.{place}.{1 if norm else 0}.{leaf}"


RULES = (
    # the backbone
    Rule(r"backbone\.patch_embed\.(.+)", Part.BACKBONE, r"stem.\1"),
    Rule(r"backbone\.layers\.(\d+)\.downsample\.(.+)", Part.BACKBONE, r"downsamples.\1.\2"),
    Rule(
        r"backbone\.layers\.(\d+)\.blocks\.(\d+)\.modulation\.focal_layers\.(\d+)\.0\.weight",
        Part.BACKBONE,
        r"stages.\1.\2.modulation.contexts.\3.weight",
    ),
    Rule(r"backbone\.layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc1\.(.+)", Part.BACKBONE, r"stages.\1.\2.mlp.0.\3"),
    Rule(r"backbone\.layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc2\.(.+)", Part.BACKBONE, r"stages.\1.\2.mlp.2.\3"),
    Rule(
        r"backbone\.layers\.(\d+)\.blocks\.(\d+)\.(gamma_[12]|(?:norm[12]|dw[12]|modulation\.(?:f|h|proj))\.(?:weight|bias))",
        Part.BACKBONE,
        r"stages.\1.\2.\3",
    ),
    Rule(r"backbone\.norm(\d+)\.(.+)", Part.BACKBONE, r"norms.\1.\2"),
    # the pixel decoder
    Rule(
        PIXELS + r"(?P<kind>adapter|layer)_(?P<number>[1-4])\.(?P<norm>norm\.)?(?P<leaf>weight|bias)",
        Part.INTERFACE,
        _fpn,
    ),
    Rule(PIXELS + r"(input_proj|mask_features)\.(.+)", Part.INTERFACE, r"pixel_decoder.\1.\2"),
    Rule(PIXELS + r"transformer\.encoder\.layers\.(\d+)\.(.+)", Part.INTERFACE, r"pixel_decoder.encoder.\1.\2"),
    # the attention stack
    Rule(
        PREDICTOR + r"content_attention\.layers\.(\d+)\.multihead_attn\.(.+)",
        Part.INTERFACE,
        r"layers.\1.content_attention.\2",
    ),
    Rule(PREDICTOR + r"content_attention\.layers\.(\d+)\.norm\.(.+)", Part.INTERFACE, r"layers.\1.content_norm.\2"),
    Rule(
        PREDICTOR + r"condition_attention\.layers\.(\d+)\.self_attn\.(.+)",
        Part.INTERFACE,
        r"layers.\1.condition_attention.\2",
    ),
    Rule(PREDICTOR + r"condition_attention\.layers\.(\d+)\.norm\.(.+)", Part.INTERFACE, r"layers.\1.condition_norm.\2"),
    Rule(PREDICTOR + r"transformer_ffn_layers\.(\d+)\.(linear[12])\.(.+)", Part.INTERFACE, r"layers.\1.\2.\3"),
    Rule(PREDICTOR + r"transformer_ffn_layers\.(\d+)\.norm\.(.+)", Part.INTERFACE, r"layers.\1.feedforward_norm.\2"),
    # queries, tokens, memories, heads
    Rule(PREDICTOR + r"query_feat\.weight", Part.INTERFACE, "query_features"),
    Rule(PREDICTOR + r"query_embed\.weight", Part.INTERFACE, "query_positions"),
    Rule(PREDICTOR + r"spatial_featured\.weight", Part.INTERFACE, "memories.features"),
    Rule(PREDICTOR + r"spatial_embed\.weight", Part.INTERFACE, "memories.positions"),
    Rule(PREDICTOR + r"level_embed\.weight", Part.INTERFACE, "level_embed"),
    Rule(PREDICTOR + r"pn_indicator\.weight", Part.INTERFACE, "sampler.sign"),
    Rule(PREDICTOR + r"mask_sptial_embed\.(\d+)", Part.INTERFACE, r"sampler.projections.\1.weight", _transposed),
    Rule(PREDICTOR + r"lang_encoder\.lang_proj", Part.INTERFACE, "text_projection.weight", _transposed),
    Rule(PREDICTOR + r"lang_encoder\.logit_scale", Part.INTERFACE, "logit_scale"),
    Rule(PREDICTOR + r"decoder_norm\.(.+)", Part.INTERFACE, r"heads.norm.\1"),
    Rule(PREDICTOR + r"class_embed", Part.INTERFACE, "heads.semantic.weight", _transposed),
    Rule(PREDICTOR + r"mask_embed\.(layers\.\d+\..+)", Part.INTERFACE, r"heads.pixel.\1"),
    # the frozen language model, where it lies inside
    Rule(LANGUAGE + r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq", Part.LEFT_OUT, "computed, not learned"),
    Rule(LANGUAGE + r"model\.norm\.weight", Part.LEFT_OUT, "comes after the layers that are used"),
    Rule(LANGUAGE + r"lm_head\.weight", Part.LEFT_OUT, "comes after the layers that are used"),
    Rule(LANGUAGE + r"(model\.(?:embed_tokens|layers)\..+)", Part.LANGUAGE, r"\1"),
    # constants
    Rule(r"criterion\.empty_weight", Part.LEFT_OUT, "a constant of the loss (ones, 0.1 for the background)"),
    Rule(r"dilation_kernel", Part.LEFT_OUT, "a constant of simulated clicks (a 3x3 box of ones)"),
)


@dataclass(frozen=True)
class Destination:
    """Of one published tensor; `name` is ours, of `LEFT_OUT` it is the reason."""

    source: str
    part: Part
    name: str
    change: Callable[[Tensor], Tensor]


def destination(source: str) -> Destination | None:
    """Where a published name goes; None for a name that no published FIND has."""
    for rule in RULES:
        match = re.fullmatch(rule.pattern, source)
        if match:
            name = rule.name(match) if callable(rule.name) else match.expand(rule.name)
            return Destination(source, rule.part, name, rule.change)
    return None
