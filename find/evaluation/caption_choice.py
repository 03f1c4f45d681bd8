"""Caption choice: does a picture's true caption score higher than its false ones?

Each figure is given beside a text-only baseline: a classifier of words and word pairs that never sees a picture and is
cross-validated over pictures. It measures how far true and false captions differ in wording alone, a bias of the data
set (Hsieh et al. 2023).
"""

from __future__ import annotations

import random
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from find.data.caption_records import CaptionChoice, find_picture
from find.evaluation.confidence import bootstrap, shares, sums_of_images
from find.evaluation.protocol import Measured, Metric
from find.evaluation.ranking import TIE
from find.model.model import FIND
from find.model.tagging import tagged_queries
from find.query.query import Query
from find.utils.progress import track

ALL = "all"
FOLDS, BUCKETS, EPOCHS = 5, 1 << 14, 8


@dataclass(frozen=True)
class ChoiceAnswer:
    """Whether the lowest-scoring true caption beats the highest-scoring false one, and by how much."""

    choice: CaptionChoice
    margin: float

    @property
    def is_won(self) -> bool:
        return self.margin > TIE


def answer_choices(
    system: Any, choices: Sequence[CaptionChoice], pictures: Path, *, batch_size: int = 16, progress: bool = True
) -> list[ChoiceAnswer]:
    """Scores each picture with its captions: a FIND model by its ranking score, with the entities that its tagger
    finds; any other system by the cosine similarity of `embed_images` and `embed_texts`.

    Raises:
        DataError: a picture is missing or cannot be read.
    """
    of_picture: dict[str, list[int]] = defaultdict(list)
    for number, choice in enumerate(choices):
        of_picture[choice.image].append(number)
    files = {name: find_picture(pictures, name) for name in of_picture}
    names, margins = list(of_picture), {}
    starts = range(0, len(names), batch_size)
    for start in track(starts, "captions", shown=progress):
        batch = names[start : start + batch_size]
        captions = [
            [text for number in of_picture[name] for text in (*choices[number].true, *choices[number].false)]
            for name in batch
        ]
        for name, scores in zip(batch, _scores(system, [str(files[name]) for name in batch], captions), strict=True):
            rest = iter(scores.tolist())
            for number in of_picture[name]:
                true = [next(rest) for _ in choices[number].true]
                margins[number] = min(true) - max(next(rest) for _ in choices[number].false)
    return [ChoiceAnswer(choice, margins[number]) for number, choice in enumerate(choices)]


def _scores(system: Any, files: Sequence[str], captions: Sequence[Sequence[str]]) -> Iterator[Float[Tensor, " c"]]:
    flat = [text for row in captions for text in row]
    counts = [len(row) for row in captions]
    if isinstance(system, FIND):
        queries = iter(tagged_queries(system, [Query(text) for text in flat]))
        asked = [[next(queries) for _ in row] for row in captions]
        return iter(system.run("interleaved_retrieval", list(files), asked))
    texts = F.normalize(torch.as_tensor(system.embed_texts(flat)).float(), dim=-1)
    images = F.normalize(torch.as_tensor(system.embed_images(list(files)).image).float(), dim=-1)
    return (own @ image.to(own.device) for own, image in zip(texts.split(counts), images, strict=True))


def answer_by_words(choices: Sequence[CaptionChoice], *, seed: int = 0) -> list[ChoiceAnswer]:
    """The text-only baseline: a linear classifier of words and bigrams, trained on the captions of other pictures (five
    folds) to choose the true caption."""
    fold = {name: zlib.crc32(name.encode()) % FOLDS for name in {choice.image for choice in choices}}
    margins = [0.0] * len(choices)
    torch.manual_seed(seed)
    for held in range(FOLDS):
        inside = [number for number, choice in enumerate(choices) if fold[choice.image] == held]
        learned = [choice for choice in choices if fold[choice.image] != held]
        if not inside or not learned:
            continue
        weights = _learned(learned, random.Random(seed))
        with torch.no_grad():
            for number in inside:
                true, false = (
                    [_word_score(weights, text) for text in side]
                    for side in (choices[number].true, choices[number].false)
                )
                margins[number] = float(min(true) - max(false))
    return [ChoiceAnswer(choice, margin) for choice, margin in zip(choices, margins, strict=True)]


def _learned(choices: Sequence[CaptionChoice], chance: random.Random) -> nn.EmbeddingBag:
    weights = nn.EmbeddingBag(BUCKETS, 1, mode="sum")
    nn.init.zeros_(weights.weight)
    pairs = [(true, false) for choice in choices for true in choice.true for false in choice.false]
    optimizer = torch.optim.Adam(weights.parameters(), lr=0.03)
    for _ in range(EPOCHS):
        chance.shuffle(pairs)
        for start in range(0, len(pairs), 128):
            batch = pairs[start : start + 128]
            true, false = (_word_scores(weights, [pair[side] for pair in batch]) for side in range(2))
            loss = F.softplus(false - true).mean() + 1e-4 * weights.weight.square().sum() / len(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return weights


def _word_scores(weights: nn.EmbeddingBag, texts: Sequence[str]) -> Float[Tensor, " t"]:
    numbers = [_numbers(text) for text in texts]
    offsets = torch.tensor([0, *np.cumsum([len(row) for row in numbers])[:-1]])
    return weights(torch.tensor([number for row in numbers for number in row]), offsets)[:, 0]


def _word_score(weights: nn.EmbeddingBag, text: str) -> Float[Tensor, ""]:
    return _word_scores(weights, [text])[0]


def _numbers(text: str) -> list[int]:
    """Hash buckets of the words, the bigrams and the number of words."""
    words = re.findall(r"\w+", text.lower())
    units = [*words, *(f"{a} {b}" for a, b in pairwise(words)), f"#{min(len(words), 30)}"]
    return [zlib.crc32(unit.encode()) % BUCKETS for unit in units]


def summary(title: str, answers: Sequence[ChoiceAnswer], by_words: Sequence[ChoiceAnswer]) -> Measured:
    """Percentages of correct choices, by kind and overall, with those of the text-only baseline."""
    figures: dict[str, float | None] = {}
    intervals: dict[str, list[float]] = {}
    kinds = list(dict.fromkeys(answer.choice.kind for answer in answers))
    images = {name: number for number, name in enumerate(dict.fromkeys(a.choice.image for a in answers))}
    counts = {}
    for kind in (*kinds, ALL):
        chosen = [k for k, answer in enumerate(answers) if kind in (ALL, answer.choice.kind)]
        won = np.array([answers[k].is_won for k in chosen], float)
        figures[kind] = 100 * float(won.mean())
        figures[words_alone(kind)] = 100 * float(np.mean([by_words[k].is_won for k in chosen]))
        owners = np.array([images[answers[k].choice.image] for k in chosen])
        [found] = bootstrap(sums_of_images(owners, [won, np.ones(len(won))]), shares)
        if found is not None:
            intervals[kind] = found.scaled(100)
        counts[kind] = len(chosen)
    metrics = [Metric(name) for kind in (*kinds, ALL) for name in (kind, words_alone(kind))]
    return Measured(title, metrics, figures, intervals, {"choices": counts, "images": len(images)}, tuple(answers))


def words_alone(kind: str) -> str:
    return f"{kind}, words alone"


def to_markdown(found: Measured) -> str:
    """One row per kind; 95 % intervals by bootstrap over pictures."""
    lines = ["| true captions win, % | model | words alone | choices |", "| --- | ---: | ---: | ---: |"]
    for kind, count in found.found_details["choices"].items():
        low, high = found.found_intervals.get(kind, [float("nan")] * 2)
        own, words = found.figures[kind], found.figures[words_alone(kind)]
        lines.append(f"| {kind} | {own:.1f} [{low:.1f}, {high:.1f}] | {words:.1f} | {count} |")
    return "\n".join(lines) + "\n"
