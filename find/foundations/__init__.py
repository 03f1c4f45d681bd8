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
    `dtype` is what it computes in, by autocast, and what its features come in.
    """
    return _load_pair(spec, dtype)[0]


def load_language(spec: str = "tiny", *, dtype: torch.dtype = torch.float32) -> LanguageEncoder:
    """The frozen language encoder that a spec names, as for `load_vision`."""
    return _load_pair(spec, dtype)[1]


def _load_pair(spec: str, dtype: torch.dtype) -> tuple[VisionEncoder, LanguageEncoder]:
    library, _, name = spec.removeprefix("random:").partition(":")
    untrained = spec.startswith("random:")
    if library == "tiny" and not name:
        from find.foundations import tiny

        return tiny.untrained_tiny_pair(dtype=dtype) if untrained else tiny.tiny_pair(dtype=dtype)
    if library == "open_clip" and name:
        from find.foundations import open_clip

        return open_clip.load_pair(name, spec=spec, untrained=untrained, dtype=dtype)
    raise FindError(
        f"unknown foundation {spec!r}: it must be 'tiny', 'open_clip:NAME/PRETRAINED', "
        "'open_clip:local-dir:FOLDER', or one of these after 'random:'"
    )
