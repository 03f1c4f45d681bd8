"""Draws interleaved training queries: which phrases of a sentence become visual, and the region of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from find.data.false_sentences import phrase_swaps
from find.data.indexed_sample import IndexedSample
from find.data.sample import Foil, PhraseSpan, Sentence
from find.data.strokes import Stroke, StrokeKind
from find.query.query import RenderedQuery

FULL_MASK_SHARE = 0.7
OTHER_KINDS = tuple(kind for kind in StrokeKind if kind is not StrokeKind.MASK)


@dataclass(frozen=True)
class VisualEntity:
    """A region that replaces words: the batch row of its image, and its stroke there."""

    row: int
    stroke: Stroke


@dataclass(frozen=True)
class FalseQuery:
    """A false variant of a query; entity k comes from entity `origin[k]` of the true one and has the same region."""

    rendered: RenderedQuery
    origin: tuple[int, ...]


@dataclass(frozen=True)
class InterleavedQuery:
    """A sentence as it will be encoded; for each entity its target segments (columns), and its region.

    `false`: one of its false variants, if there is one.
    """

    rendered: RenderedQuery
    targets: tuple[tuple[int, ...], ...] = ()
    regions: tuple[VisualEntity | None, ...] = ()
    false: FalseQuery | None = None


class Interleaver:
    """Draws one interleaved query per image.

    A phrase can become visual if the batch contains its reference segment or, for data without references, another
    image's segment of the same category. Otherwise a region of the target segment itself may replace it, rarely, since
    that gives its position away. The words of a visual entity are replaced by the placeholder before the text is
    encoded: tokens of the full sentence would leak what was removed.

    Args:
        placeholder: the word that replaces a visual entity.
        max_entities: maximum number of entities; further phrases become plain text.
        reference_share: probability that a phrase becomes visual if the batch contains its reference. Much more than
            half, since only some references are in the batch and about half of all entities should be visual.
        category_share: the same if the data has no reference, but the batch contains a segment of the category.
        own_region_share: the same if only the target segment is available.
    """

    def __init__(
        self,
        *,
        placeholder: str,
        max_entities: int,
        reference_share: float = 0.9,
        category_share: float = 0.5,
        own_region_share: float = 0.1,
    ) -> None:
        self.placeholder = placeholder
        self.max_entities = max_entities
        self.reference_share = reference_share
        self.category_share = category_share
        self.own_region_share = own_region_share

    def __call__(
        self,
        rows: Sequence[IndexedSample],
        captions: Sequence[str],
        rngs: Sequence[np.random.Generator],
        seeds: Sequence[int],
    ) -> list[InterleavedQuery]:
        """One query per image, drawn from its generator; an image without sentences gets its caption, without entities.

        `seeds`: seeds of the choice of false variants, which other draws do not depend on.
        """
        row_of_image = {row.sample.image_id: number for number, row in enumerate(rows)}
        by_category: dict[int, list[tuple[int, int]]] = {}
        for number, row in enumerate(rows):
            for column, segment in enumerate(row.segments):
                by_category.setdefault(segment.category_id, []).append((number, column))
        queries = []
        for number, (row, caption, rng, seed) in enumerate(zip(rows, captions, rngs, seeds, strict=True)):
            if not row.sample.sentences:
                queries.append(InterleavedQuery(RenderedQuery(caption, (), ())))
                continue
            sentence = self._choose_sentence(row, rows, row_of_image, rng)
            foils = np.random.default_rng(seed)
            queries.append(self._interleave(sentence, number, rows, row_of_image, by_category, rng, foils))
        return queries

    def _choose_sentence(
        self, row: IndexedSample, rows: Sequence[IndexedSample], row_of_image: dict[int, int], rng: np.random.Generator
    ) -> Sentence:
        """A random sentence of the image; the more of its references are in the batch, the likelier."""
        sentences = row.sample.sentences
        weights = np.array([
            1 + 2 * sum(_referred(phrase, rows, row_of_image) is not None for phrase in sentence.phrases)
            for sentence in sentences
        ], float)  # fmt: skip
        return sentences[rng.choice(len(sentences), p=weights / weights.sum())]

    def _interleave(
        self,
        sentence: Sentence,
        number: int,
        rows: Sequence[IndexedSample],
        row_of_image: dict[int, int],
        by_category: dict[int, list[tuple[int, int]]],
        rng: np.random.Generator,
        foils: np.random.Generator,
    ) -> InterleavedQuery:
        phrases = [(phrase, columns) for phrase in sentence.phrases if (columns := rows[number].columns_of(phrase))]
        if len(phrases) > self.max_entities:
            phrases = [phrases[i] for i in sorted(rng.choice(len(phrases), self.max_entities, replace=False))]
        regions: list[VisualEntity | None] = []
        for phrase, columns in phrases:
            place = _referred(phrase, rows, row_of_image)
            share = self.reference_share
            if place is None and phrase.reference is None:
                share = self.category_share
                category = rows[number].segments[columns[0]].category_id
                others = [place for place in by_category[category] if place[0] != number]
                place = others[rng.integers(len(others))] if others else None
            if place is None:
                place, share = (number, columns[0]), self.own_region_share
            regions.append(_draw_region(rows, place, rng) if rng.random() < share else None)
        spans = [(phrase.start, phrase.end) for phrase, _ in phrases]
        return InterleavedQuery(
            rendered=render(sentence.text, spans, [region is not None for region in regions], self.placeholder),
            targets=tuple(columns for _, columns in phrases),
            regions=tuple(regions),
            false=self._false(sentence, rows[number], [phrase for phrase, _ in phrases], regions, foils),
        )

    def _false(
        self,
        sentence: Sentence,
        row: IndexedSample,
        kept: Sequence[PhraseSpan],
        regions: Sequence[VisualEntity | None],
        rng: np.random.Generator,
    ) -> FalseQuery | None:
        """One of the sentence's false variants; labelled ones, if there are any. A region shows the original meaning of
        its phrase, so phrases that become regions must have the same words in both."""
        made = row.sample.foils.get(sentence.id) or tuple(
            Foil(probe.false, probe.origin) for probe in phrase_swaps(sentence)
        )
        place = {sentence.phrases.index(phrase): number for number, phrase in enumerate(kept)}
        shown = {k for k, number in place.items() if regions[number] is not None}
        usable = [
            foil
            for foil in made
            if all(
                origin not in shown or phrase.text.lower() == sentence.phrases[origin].text.lower()
                for phrase, origin in zip(foil.false.phrases, foil.origin, strict=True)
            )
        ]
        if not usable:
            return None
        foil = usable[rng.integers(len(usable))]
        said = [(p, o) for p, o in zip(foil.false.phrases, foil.origin, strict=True) if o in place]
        spans = [(phrase.start, phrase.end) for phrase, _ in said]
        rendered = render(foil.false.text, spans, [origin in shown for _, origin in said], self.placeholder)
        return FalseQuery(rendered, tuple(place[origin] for _, origin in said))


def render(text: str, spans: Sequence[tuple[int, int]], is_region: Sequence[bool], placeholder: str) -> RenderedQuery:
    """The sentence with the words of each region replaced by the placeholder, and the spans of its entities.

    `spans` are character [start, end), sorted, without overlap.
    """
    pieces: list[str] = []
    moved: list[tuple[int, int]] = []
    length = read = 0
    for (start, end), region in zip(spans, is_region, strict=True):
        words = placeholder if region else text[start:end]
        begin = length + start - read
        pieces += [text[read:start], words]
        length, read = begin + len(words), end
        moved.append((begin, length))
    pieces.append(text[read:])
    return RenderedQuery("".join(pieces), tuple(moved), tuple(bool(region) for region in is_region))


def _referred(
    phrase: PhraseSpan, rows: Sequence[IndexedSample], row_of_image: dict[int, int]
) -> tuple[int, int] | None:
    """Batch row and column of the phrase's reference segment, if it is in the batch (after augmentation)."""
    if phrase.reference is None:
        return None
    number = row_of_image.get(phrase.reference.image_id)
    if number is None:
        return None
    column = rows[number].columns.get(phrase.reference.segment_id)
    return None if column is None else (number, column)


def _draw_region(rows: Sequence[IndexedSample], place: tuple[int, int], rng: np.random.Generator) -> VisualEntity:
    number, column = place
    kind = StrokeKind.MASK
    if rng.random() >= FULL_MASK_SHARE:
        kind = OTHER_KINDS[rng.integers(len(OTHER_KINDS))]
    return VisualEntity(number, rows[number].draw(column, kind, rng))
