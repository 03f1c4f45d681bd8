"""Tells before training which class names the language encoder cannot read."""

from __future__ import annotations

from collections.abc import Sequence

from lightning.pytorch.utilities import rank_zero_warn

from find.foundations.base import LanguageEncoder

SHOWN = 10


def warn_unknown_classes(language: LanguageEncoder, names: Sequence[str]) -> None:
    """Warns of classes with words that the language encoder has never seen; encoders that spell words know all.

    No `UnknownWordsWarning`, which the command line leaves out, as answers tell of the words of a query themselves.
    """
    unknown = [name for name, words in zip(names, language.tokenize(list(names)).unknown, strict=True) if words]
    if unknown:
        shown = ", ".join(unknown[:SHOWN]) + (", ..." if len(unknown) > SHOWN else "")
        rank_zero_warn(
            f"the language encoder has never seen words of {len(unknown)} of {len(names)} class names ({shown}), so "
            "they can hardly be told apart by words; --model.config.language takes an encoder that knows them "
            "(docs/foundations.md), such as transformers:sentence-transformers/all-MiniLM-L6-v2"
        )
