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

__all__ = [
    "Frozen",
    "LanguageEncoder",
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
    "focal:FOLDER" is a focal network. `dtype` is what it computes in, by autocast, and what its features come in.
    """
    library, name, untrained = _parts(spec)
    if library == "focal" and name:
        from find.foundations import focal

        return focal.load_focal(name, spec=spec, untrained=untrained, dtype=dtype)
    return _load_pair(spec, dtype)[0]


def load_language(spec: str = "tiny", *, dtype: torch.dtype = torch.float32) -> LanguageEncoder:
    """The frozen language encoder that a spec names, as for `load_vision`.

    "llama:FOLDER#N" is a LLaMA (a Hugging Face folder, or a name of the hub), read after its Nth block; `dtype` is that
    of its weights.
    """
    library, name, untrained = _parts(spec)
    if library == "llama" and name:
        from find.foundations import llama

        folder, _, block = name.partition("#")
        if block and not block.isdecimal():
            raise FindError(f"unknown foundation {spec!r}: after # stands the number of a block, as in llama:FOLDER#21")
        layers = int(block) if block else None
        return llama.load_llama(folder, layers=layers, spec=spec, untrained=untrained, dtype=dtype)
    return _load_pair(spec, dtype)[1]


def _parts(spec: str) -> tuple[str, str, bool]:
    """Library, name, and whether untrained weights are asked for."""
    library, _, name = spec.removeprefix("random:").partition(":")
    return library, name, spec.startswith("random:")


def _load_pair(spec: str, dtype: torch.dtype) -> tuple[VisionEncoder, LanguageEncoder]:
    library, name, untrained = _parts(spec)
    if library == "tiny" and not name:
        from find.foundations import tiny

        return tiny.untrained_tiny_pair(dtype=dtype) if untrained else tiny.tiny_pair(dtype=dtype)
    if library == "open_clip" and name:
        from find.foundations import open_clip

        return open_clip.load_pair(name, spec=spec, untrained=untrained, dtype=dtype)
    raise FindError(
        f"unknown foundation {spec!r}: it must be 'tiny', 'open_clip:NAME/PRETRAINED', "
        "'open_clip:local-dir:FOLDER', 'focal:FOLDER' (vision), 'llama:FOLDER#N' (language), "
        "or one of these after 'random:'"
    )
