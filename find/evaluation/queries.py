"""Turns sentences with linked phrases into interleaved queries: which phrases become regions, and of which images."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from find.data.data_split import DataSplit
from find.data.sample import PhraseSpan, Sentence
from find.query.query import Query, Region


class EntityMode(str, Enum):
    """Which entities of a sentence become regions instead of words."""

    TEXT = "text"  # none
    VISUAL = "visual"  # every one with a region
    MIXED = "mixed"  # each one with a region with some probability, by a seeded random choice


class RegionSource(str, Enum):
    """The source of an entity's region."""

    REFERENCE = "reference"  # the phrase's reference: a segment of the same category in another image
    SAME = "same"  # the target segment itself, so the query contains its own answer


@dataclass(frozen=True)
class SentenceQuery:
    """The query of a sentence. `is_region[e]` is True if entity e is a region; `owners` are the ids of the images that
    its regions come from."""

    query: Query
    is_region: tuple[bool, ...]
    owners: frozenset[int]


@dataclass(frozen=True)
class Interleaving:
    """Settings that turn the sentences of a folder into queries.

    The random choice depends only on the seed and the sentence, so that a sentence gives the same query in every
    protocol, order and subset.
    """

    mode: EntityMode = EntityMode.MIXED
    source: RegionSource = RegionSource.REFERENCE
    probability: float = 0.5  # probability of a region in mixed mode
    seed: int = 0

    @property
    def name(self) -> str:
        """The name in tables: text, visual (reference image) ..."""
        return self.mode.value if self.mode is EntityMode.TEXT else f"{self.mode.value} ({self.source.value} image)"

    def query(self, sentence: Sentence, folder: DataSplit) -> SentenceQuery:
        """The query of a sentence; the plain sentence if it has no phrases."""
        regions: dict[int, Region] = {}
        owners = set()
        for number, place in enumerate(self.places(sentence)):
            if place is not None:
                image_id, segment_ids = place
                mask = np.isin(folder.segment_map(image_id), segment_ids)
                regions[number] = Region(folder.image(image_id), mask=mask, label=sentence.phrases[number].text)
                owners.add(image_id)
        spans = [(phrase.start, phrase.end) for phrase in sentence.phrases]
        return SentenceQuery(
            query=Query.from_sentence(sentence.text, spans, regions),
            is_region=tuple(number in regions for number in range(len(spans))),
            owners=frozenset(owners),
        )

    def places(self, sentence: Sentence) -> list[tuple[int, tuple[int, ...]] | None]:
        """For each phrase the image and the segments of the region that replaces its words, or None."""
        coins = np.random.default_rng([self.seed, abs(sentence.image_id), abs(sentence.id)])
        share = {EntityMode.TEXT: 0.0, EntityMode.MIXED: self.probability, EntityMode.VISUAL: 1.0}[self.mode]
        shown = coins.random(len(sentence.phrases)) < share
        return [
            self._place(sentence, phrase) if is_shown else None
            for phrase, is_shown in zip(sentence.phrases, shown, strict=True)
        ]

    def _place(self, sentence: Sentence, phrase: PhraseSpan) -> tuple[int, tuple[int, ...]] | None:
        if self.source is RegionSource.SAME:
            return sentence.image_id, phrase.segment_ids
        if phrase.reference is None:
            return None
        return phrase.reference.image_id, (phrase.reference.segment_id,)


def all_interleavings(*, probability: float = 0.5, seed: int = 0) -> tuple[Interleaving, ...]:
    """All variants of the interleaved protocols; queries of words only have no source."""
    text = Interleaving(EntityMode.TEXT, probability=probability, seed=seed)
    return (
        text,
        *(
            Interleaving(mode, source, probability, seed)
            for mode in (EntityMode.VISUAL, EntityMode.MIXED)
            for source in RegionSource
        ),
    )
