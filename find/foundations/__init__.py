"""Frozen pretrained encoders behind two small protocols."""

from find.foundations.base import (
    Frozen,
    LanguageEncoder,
    TextFeatures,
    TokenizedText,
    VisionEncoder,
    VisionFeatures,
    fingerprint,
)
from find.foundations.loading import EncoderSpec, LanguageLoader, VisionLoader, load_language, load_vision
from find.foundations.tokenization import LongTexts

__all__ = [
    "EncoderSpec",
    "Frozen",
    "LanguageEncoder",
    "LanguageLoader",
    "LongTexts",
    "TextFeatures",
    "TokenizedText",
    "VisionEncoder",
    "VisionFeatures",
    "VisionLoader",
    "fingerprint",
    "load_language",
    "load_vision",
]
