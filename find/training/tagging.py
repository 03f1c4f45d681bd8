"""Trains an entity tagger on sentences with linked phrases, on top of a frozen language encoder."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn

from find.foundations import LanguageEncoder
from find.interface import EntityTagger
from find.tasks.tagging import Span, labels_of, tagging_loss
from find.utils.transfer import upload

Tagged = tuple[str, Sequence[Span]]
"""A sentence and the characters [start, end) of its entities, in reading order."""
STRANGE = "qwzx"
"""Replaces words to simulate unknown ones: the tagger must also use context."""
ARTICLES = ("a ", "an ", "the ")
VERBS = ("stands", "flies", "hangs", STRANGE, f"{STRANGE} {STRANGE}")
"""Adjectives that are inserted before an entity with an article."""


def train_tagger(
    language: LanguageEncoder,
    tagger: EntityTagger,
    sentences: Sequence[Tagged],
    *,
    steps: int,
    rate: float,
    batch_size: int = 64,
    seed: int = 0,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Each step draws sentences, augments them (`varied`) and encodes them.

    Args:
        report: called every 50 steps with the step and the mean of the latest losses.
    """
    chance = random.Random(seed)
    device = tagger.read.weight.device
    optimizer = torch.optim.AdamW(tagger.parameters(), lr=rate, weight_decay=0.01)
    mean = torch.zeros((), device=device)
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * max(0.5 * (1 + math.cos(math.pi * step / steps)), 0.01)
        texts, spans = zip(*(varied(chance.choice(sentences), chance) for _ in range(batch_size)), strict=True)
        tokenized = language.tokenize(texts)
        labels = upload(labels_of(texts, spans, tokenized.offsets), device)
        with torch.no_grad():
            features = language(tokenized).to(device)
        loss = tagging_loss(tagger, features.tokens, features.padding, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(tagger.parameters(), 1.0)
        optimizer.step()
        mean += (loss.detach() - mean) / min(step, 50)
        if step % 50 == 0:
            report(step, mean.item())


def varied(sentence: Tagged, chance: random.Random) -> Tagged:
    """Augments a sentence in the way people type queries: shortened, without articles, in another case, with an unknown
    word."""
    text, spans = sentence
    pieces = _pieces(text, spans)
    if len(spans) > 1 and chance.random() < 0.35:  # some adjacent entities and the text between them
        count = chance.randint(1, len(spans) - 1)
        first = chance.randint(0, len(spans) - count)
        pieces = ["", *pieces[2 * first + 1 : 2 * (first + count)], ""]
        if chance.random() < 0.5:
            pieces[-1] = sentence[0][spans[first + count - 1][1] :].split(".")[0] if first + count == len(spans) else ""
    bare, strange = chance.random() < 0.25, chance.random() < 0.2
    for number in range(1, len(pieces), 2):
        words = pieces[number]
        if bare and chance.random() < 0.8:
            words = _without_article(words)
        if strange and chance.random() < 0.5 and " in " not in words:  # "a person in ..." could continue in any way
            parts = words.split(" ")
            place = chance.randrange(_without_article(words) != words, len(parts))
            parts[place : place + chance.randrange(2)] = [STRANGE]  # instead of a word, or before it
            words = " ".join(parts)
        pieces[number] = words
    for number in range(0, len(pieces) - 1, 2):
        if chance.random() < (0.15 if number else 0.25) and _without_article(pieces[number + 1]) != pieces[number + 1]:
            pieces[number] = f"{pieces[number].rstrip()} {chance.choice(VERBS)} ".lstrip()
    change = chance.choice((str, str, str, str.lower, str.upper))
    return _joined([change(piece) for piece in pieces])


def _pieces(text: str, spans: Sequence[Span]) -> list[str]:
    """Text, entity, text, entity, ..., text."""
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def _joined(pieces: Sequence[str]) -> Tagged:
    text, spans = "", []
    for number, piece in enumerate(pieces):
        if number % 2:
            spans.append((len(text), len(text) + len(piece)))
        text += piece
    return text, spans


def _without_article(words: str) -> str:
    for article in ARTICLES:
        if words.lower().startswith(article) and len(words) > len(article):
            return words[len(article) :]
    return words
