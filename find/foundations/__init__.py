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

__all__ = [
    "Frozen",
    "LanguageEncoder",
    "TextFeatures",
    "TokenizedText",
    "VisionEncoder",
    "VisionFeatures",
    "fingerprint",
]
