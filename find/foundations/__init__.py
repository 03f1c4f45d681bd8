"""Frozen pretrained encoders behind two small protocols."""

from __future__ import annotations

import torch

from find.errors import FindError
from find.foundations.base import (
    Frozen,
    LanguageEncoder,
    TextFeatures,
    TokenizedText,
    VisionEncoder,
    VisionFeatures,
    fingerprint,
)
from find.foundations.tokenization import LongTexts

__all__ = [
    "Frozen",
    "LanguageEncoder",
    "LongTexts",
    "TextFeatures",
    "TokenizedText",
    "VisionEncoder",
    "VisionFeatures",
    "fingerprint",
    "load_language",
    "load_vision",
]


def load_vision(spec: str = "tiny", *, dtype: torch.dtype = torch.float32) -> VisionEncoder:
    """The frozen vision encoder that a spec names.

    "tiny" is the shipped one; "open_clip:NAME/PRETRAINED" any of open_clip's (PRETRAINED is a tag or a file),
    "open_clip:local-dir:FOLDER" one in a folder; "random:" before either gives seeded untrained weights.
    "focal:FOLDER" is a focal network, "detectron2:CONFIG@WEIGHTS" a backbone of detectron2. `dtype` is what it computes
    in, by autocast, and what its features come in.
    """
    library, name, untrained = _parts(spec)
    if library == "focal" and name:
        from find.foundations import focal

        return focal.load_focal(name, spec=spec, untrained=untrained, dtype=dtype)
    if library == "tiny" and not name:
        from find.foundations import tiny

        return tiny.tiny_vision(untrained=untrained, dtype=dtype)
    if library == "open_clip" and name:
        from find.foundations import open_clip

        return open_clip.load_open_clip_vision(name, spec=spec, untrained=untrained, dtype=dtype)
    if library == "timm" and name:
        from find.foundations import timm

        return timm.load_timm(name, spec=spec, untrained=untrained, dtype=dtype)
    if library == "detectron2" and name:
        from find.foundations import detectron2

        return detectron2.load_detectron2(name, spec=spec, untrained=untrained, dtype=dtype)
    if library == "transformers" and name:
        from find.foundations import transformers_vision

        return transformers_vision.load_vision_model(name, spec=spec, untrained=untrained, dtype=dtype)
    raise FindError(
        f"unknown foundation {spec!r}: a vision encoder is 'tiny', 'timm:NAME.TAG', 'transformers:NAME', "
        "'open_clip:NAME/PRETRAINED', 'open_clip:local-dir:FOLDER', 'focal:FOLDER', "
        "'detectron2:CONFIG@WEIGHTS', or one of these after 'random:'"
    )


def load_language(
    spec: str = "tiny", *, dtype: torch.dtype = torch.float32, long_texts: str = "refuse"
) -> LanguageEncoder:
    """The frozen language encoder that a spec names.

    "tiny" and "open_clip:..." as for `load_vision`. "transformers:NAME" is a language model (LLaMA, Qwen3, Gemma), a
    text encoder (BERT, ModernBERT, T5) or the text tower of a CLIP or SigLIP; NAME is a folder, a repository of the
    hub, or one at a revision, "owner/name@revision". "#N" at the end reads the tokens after the Nth block: of a model
    that is no tower the blocks behind it are neither built nor loaded. "llama:NAME#N" is a LLaMA as the published
    FIND reads it. "random:" before any of them gives seeded untrained weights.

    Args:
        dtype: of the weights, or for open_clip's models what they compute in.
        long_texts: "refuse" texts that have more tokens than the encoder takes, by a `FindError`, or "cut" them, which
            is told.
    """
    library, name, untrained = _parts(spec)
    name, mark, number = name.rpartition("#") if "#" in name else (name, "", "")
    if mark and not number.isdecimal():
        raise FindError(f"unknown foundation {spec!r}: after # stands the number of a block, as in llama:FOLDER#21")
    block = int(number) if mark else None
    try:
        long = LongTexts(long_texts)
    except ValueError:
        raise FindError(f"long_texts is {long_texts!r}; it must be 'refuse' or 'cut'") from None
    options = {"spec": spec, "untrained": untrained, "dtype": dtype, "long_texts": long}
    if library == "tiny" and not name and not mark:
        from find.foundations import tiny

        return tiny.tiny_language(untrained=untrained, dtype=dtype, long_texts=long)
    if library == "open_clip" and name:
        from find.foundations import open_clip_text

        return open_clip_text.load_open_clip_text(name, layer=block, **options)
    if library == "transformers" and name:
        from find.foundations import transformers_text

        return transformers_text.load_text(name, block=block, **options)
    if library == "llama" and name:
        from find.foundations import llama

        return llama.load_llama(name, block=block, **options)
    raise FindError(
        f"unknown foundation {spec!r}: a language encoder is 'tiny', 'open_clip:NAME/PRETRAINED', "
        "'open_clip:local-dir:FOLDER', 'transformers:NAME', 'transformers:NAME#N', 'llama:FOLDER#N', or one of these "
        "after 'random:'"
    )


def _parts(spec: str) -> tuple[str, str, bool]:
    """Library, name, and whether untrained weights are asked for."""
    library, _, name = spec.removeprefix("random:").partition(":")
    return library, name, spec.startswith("random:")
