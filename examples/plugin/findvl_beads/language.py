"""A language encoder: every word has a fixed random vector, found by hashing, and its place in the sentence."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

from find.errors import CheckpointError, InputError
from find.foundations import EncoderSpec, Frozen, LongTexts, TextFeatures, TokenizedText

BUCKETS = 4096
LONGEST = 128
WORD = re.compile(r"\w+|[^\w\s]")


class HashingLanguage(Frozen):
    """A token a word or punctuation mark. Any word has a vector, so none is unknown; two may share one.

    Args:
        width: of a token's features.
        spec: what `load_language` takes to build it again.
    """

    pooled_dim = None
    context_length = LONGEST
    placeholder = "region"

    def __init__(self, width: int, *, spec: str, dtype: torch.dtype, long_texts: LongTexts) -> None:
        super().__init__()
        self.spec = spec
        self.width = width
        self.dtype = dtype
        self.long_texts = long_texts
        generator = torch.Generator().manual_seed(1)
        self.register_buffer("words", torch.randn(BUCKETS, width, generator=generator))
        self.register_buffer("places", 0.3 * torch.randn(LONGEST, width, generator=generator))
        self.freeze()

    def tokenize(self, texts: Sequence[str]) -> TokenizedText:
        rows = [list(WORD.finditer(text)) for text in texts]
        for text, row in zip(texts, rows, strict=True):
            if len(row) > LONGEST and self.long_texts is LongTexts.REFUSE:
                raise InputError(f"the text {text[:60]!r}... has {len(row)} words, more than {LONGEST}: shorten it")
        rows = [row[:LONGEST] for row in rows]
        longest = max((max(len(row), 1) for row in rows), default=0)
        ids = torch.zeros(len(texts), longest, dtype=torch.long)
        padding = torch.ones(len(texts), longest, dtype=torch.bool)
        offsets = torch.zeros(len(texts), longest, 2, dtype=torch.long)
        for number, row in enumerate(rows):
            padding[number, : max(len(row), 1)] = False  # a text without words has one token
            for place, word in enumerate(row):
                ids[number, place] = zlib.crc32(word.group().lower().encode()) % BUCKETS
                offsets[number, place] = torch.tensor(word.span())
        return TokenizedText(ids=ids, padding=padding, offsets=offsets, unknown=((),) * len(texts))

    @torch.no_grad()
    def forward(self, tokenized: TokenizedText) -> TextFeatures:
        tokenized = tokenized.to(self.words.device)  # from the CPU, where `tokenize` has made them
        tokens: Tensor = self.words[tokenized.ids] + self.places[: tokenized.ids.shape[1]]
        tokens = tokens.masked_fill(tokenized.padding[..., None], 0).to(self.dtype)
        return TextFeatures(tokens=tokens, padding=tokenized.padding, offsets=tokenized.offsets, pooled=None)


def load_hashing(spec: EncoderSpec, *, dtype: torch.dtype, long_texts: LongTexts) -> HashingLanguage:
    """`hashing:WIDTH`."""
    if not spec.name.isdecimal() or not int(spec.name):
        raise CheckpointError(f"{spec.text}: say how wide a token's features are, such as hashing:64")
    return HashingLanguage(int(spec.name), spec=spec.text, dtype=dtype, long_texts=long_texts)
