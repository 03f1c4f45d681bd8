"""Entities of plain sentences: from characters to labels of tokens, and back from a tagger's labels to characters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from find.foundations import LanguageEncoder
from find.interface.tagger import INSIDE, OUTSIDE, START, EntityTagger
from find.tasks.losses import masked_mean

Span = tuple[int, int]
IGNORED = -100
"""Label of special tokens and padding, which the loss leaves out."""


def entity_spans(
    language: LanguageEncoder, tagger: EntityTagger, texts: Sequence[str], device: torch.device, batch_size: int = 64
) -> list[list[Span]]:
    """Characters [start, end) of the entities of each text, in reading order."""
    found: list[list[Span]] = []
    for start in range(0, len(texts), batch_size):
        batch = texts[start : start + batch_size]
        features = language(language.tokenize(batch)).to(device)
        logits = tagger(features.tokens, features.padding).float().cpu()
        rows = zip(batch, features.offsets.tolist(), logits, strict=True)
        found += [_spans(text, offsets, row) for text, offsets, row in rows]
    return found


def words_of(text: str, offsets: Sequence[Span]) -> list[list[int]]:
    """Indices of the tokens of each word; pieces of a word are adjacent, special tokens and padding belong to none."""
    words: list[list[int]] = []
    end = -1
    for number, (first, last) in enumerate(offsets):
        if first == last:
            continue
        if first == end and text[first].isalnum() and text[first - 1].isalnum():
            words[-1].append(number)
        else:
            words.append([number])
        end = last
    return words


def _spans(text: str, offsets: Sequence[Span], logits: Float[Tensor, "l 3"]) -> list[Span]:
    """A word's label is the one with the largest sum over its tokens; an entity neither starts nor ends with
    punctuation."""
    spans: list[Span] = []
    before = OUTSIDE
    for word in words_of(text, offsets):
        label = int(logits[word].log_softmax(dim=-1).sum(dim=0).argmax())
        first, last = offsets[word[0]][0], offsets[word[-1]][1]
        is_word = any(letter.isalnum() for letter in text[first:last])
        if label == INSIDE and before != OUTSIDE:
            spans[-1] = (spans[-1][0], last)
        elif label != OUTSIDE and is_word:
            spans.append((first, last))
        else:
            label = OUTSIDE
        before = label
    return [(first, first + len(_without_punctuation(text[first:last]))) for first, last in spans]


def _without_punctuation(words: str) -> str:
    while words and not words[-1].isalnum():
        words = words[:-1]
    return words


def labels_of(
    texts: Sequence[str], spans: Sequence[Sequence[Span]], offsets: Int64[Tensor, "t l 2"]
) -> Int64[Tensor, "t l"]:
    """The target labels of a tagger; all pieces of a word have the same label."""
    labels = torch.full(offsets.shape[:2], IGNORED)
    for row, (text, entities, places) in enumerate(zip(texts, spans, offsets.tolist(), strict=True)):
        begun: set[int] = set()
        for word in words_of(text, places):
            labels[row, word] = OUTSIDE
            first, last = places[word[0]][0], places[word[-1]][1]
            for number, (start, end) in enumerate(entities):
                if first < end and start < last:
                    labels[row, word] = INSIDE if number in begun else START
                    begun.add(number)
                    break
    return labels


def tagging_loss(
    tagger: EntityTagger, tokens: Float[Tensor, "t l w"], padding: Bool[Tensor, "t l"], labels: Int64[Tensor, "t l"]
) -> Float[Tensor, ""]:
    """Mean cross entropy over the tokens of all words (`labels_of`)."""
    logits = tagger(tokens, padding).float()
    wrong = F.cross_entropy(logits.mT, labels, reduction="none", ignore_index=IGNORED)
    return masked_mean(wrong, labels != IGNORED)
