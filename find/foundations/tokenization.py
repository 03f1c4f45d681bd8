"""Turns texts into padded token ids with exact character offsets, for any tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import torch
from tokenizers import Encoding, Tokenizer

from find.errors import InputError, check_characters, warn_caller
from find.foundations.base import TokenizedText

REGION = "[region]"


class LongTexts(str, Enum):
    """How to treat a text with more tokens than its encoder takes."""

    REFUSE = "refuse"
    CUT = "cut"


class TextTokenizer:
    """A fast tokenizer that satisfies the protocol of language encoders.

    Offsets exclude the spaces around a word, a text has at least one token, and users' text never becomes a special
    token, except for `REGION` in a vocabulary that has it (and in unigram models, which have them as pieces).

    Args:
        tokenizer: becomes owned by this object.
        context_length: maximum number of tokens of a text, special tokens included.
        padding_id: fills texts shorter than the longest of a batch, and is the one token of a text without any.
        spec: of the encoder, for messages.
        unknown_id: the token of unknown words; None if there is none.
        long_texts: refuse them with a `FindError`, or truncate them, with a warning at the first and a count in `cut`.

    Attributes:
        placeholder: the word that stands for a region.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        context_length: int,
        padding_id: int,
        spec: str,
        unknown_id: int | None = None,
        long_texts: LongTexts = LongTexts.REFUSE,
    ) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        if long_texts is LongTexts.CUT:
            tokenizer.enable_truncation(context_length)
        knows_regions = tokenizer.token_to_id(REGION) is not None
        tokenizer.encode_special_tokens = not knows_regions
        self.backend = tokenizer
        self.context_length = context_length
        self.padding_id = padding_id
        self.spec = spec
        self.unknown_id = unknown_id
        self.cut = 0
        # A plain word if there is no token for it: brackets would be split, or merged with a comma.
        self.placeholder = REGION if knows_regions else REGION.strip("[]")

    def __call__(self, texts: Sequence[str]) -> TokenizedText:
        """Padded on the right to the longest text. Raises `FindError` for a text that is too long, or for an empty
        list."""
        for text in texts:
            check_characters(text, "a text to embed")
        encodings = self.backend.encode_batch([*texts])
        for text, encoding in zip(texts, encodings, strict=True):
            self._check_length(text, encoding)
        rows = [encoding.ids or [self.padding_id] for encoding in encodings]
        longest = max((len(row) for row in rows), default=0)
        ids = torch.full((len(texts), longest), self.padding_id)
        padding = torch.ones(len(texts), longest, dtype=torch.bool)
        offsets = torch.zeros(len(texts), longest, 2, dtype=torch.long)
        unknown: list[tuple[str, ...]] = []
        for row, (text, encoding) in enumerate(zip(texts, encodings, strict=True)):
            ids[row, : len(rows[row])] = torch.tensor(rows[row])
            padding[row, : len(rows[row])] = False
            words = _whole_words(text, [_without_spaces(text, *offset) for offset in encoding.offsets])
            offsets[row, : len(words)] = torch.tensor(words, dtype=torch.long).view(-1, 2)
            strange = (text[a:b] for i, (a, b) in zip(encoding.ids, words, strict=True) if i == self.unknown_id)
            unknown.append(tuple(dict.fromkeys(word for word in strange if word)))
        return TokenizedText(ids=ids, padding=padding, offsets=offsets, unknown=tuple(unknown))

    def _check_length(self, text: str, encoding: Encoding) -> None:
        if encoding.overflowing:
            if not self.cut:
                warn_caller(
                    f"{self.spec} reads the first {self.context_length} tokens of a text only; the rest of "
                    f"{text[:60]!r}... is cut, and so it will be with others"
                )
            self.cut += 1
        elif len(encoding.ids) > self.context_length:
            raise InputError(
                f"the text {text[:60]!r}... has {len(encoding.ids)} tokens, more than the {self.context_length} that "
                f"{self.spec} takes: shorten it, or set long_texts to cut"
            )


def _whole_words(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Corrects offsets of words that a normalizer has replaced, whose tokens have the last character only."""
    whole: list[tuple[int, int]] = []
    for start, end in offsets:
        last = whole[-1] if whole else (0, 0)
        if end == last[1] and end > start:  # of the same replaced word
            start = last[0]
        while last[1] < start and text[start - 1].isalnum() and text[start].isalnum():
            start -= 1
        whole.append((start, end))
    return whole


def _without_spaces(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else (0, 0)
