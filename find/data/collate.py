"""Samples become a `Batch`: common canvas, numbered segments, and prompts drawn for each image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized

import numpy as np
import torch

from find.data.batch import Batch
from find.data.indexed_sample import IndexedSample
from find.data.interleave import InterleavedQuery, Interleaver
from find.data.sample import Category, Sample
from find.data.strokes import StrokeKind

STROKE_KINDS = tuple(StrokeKind)
POINT_SHARE = 0.4  # a click is what users (and the benchmark) begin with; the other kinds share the rest


class Collate:
    """Makes batches of samples of any mix of sizes.

    Args:
        categories: the data set's classes, for labels and class names.
        divisor: images are padded to a multiple of it; the coarsest stride of the vision encoder.
        placeholder: the word that stands for a visual entity in a sentence.
        max_phrases: texts to ground an image, at most; drawn from all there are.
        max_strokes: strokes an image, at most, each for another segment.
        max_entities: entities of an image's sentence, at most.
        max_segments: segments an image, at most, the largest; the pixels of the others count as void. None: all.
    """

    def __init__(
        self,
        categories: Sequence[Category],
        *,
        divisor: int = 32,
        placeholder: str = "[region]",
        max_phrases: int = 8,
        max_strokes: int = 4,
        max_entities: int = 6,
        max_segments: int | None = None,
    ) -> None:
        self.categories = {category.id: category for category in categories}
        self.divisor = divisor
        self.max_phrases = max_phrases
        self.max_strokes = max_strokes
        self.max_segments = max_segments
        self.interleave = Interleaver(placeholder=placeholder, max_entities=max_entities)

    def __call__(self, samples: Sequence[Sample], rngs: Sequence[np.random.Generator]) -> Batch:
        """A batch of these samples in their order; what is drawn for each is drawn from its own generator."""
        rows = [IndexedSample.of(sample, max_segments=self.max_segments) for sample in samples]
        height, width = (_ceil(max(sample.size[axis] for sample in samples), self.divisor) for axis in (0, 1))
        images = np.zeros((len(rows), 3, height, width), np.uint8)
        segments = np.full((len(rows), height, width), -1, np.int16)
        labels = np.full((len(rows), _longest(row.segments for row in rows)), -1, np.int64)
        for number, row in enumerate(rows):
            h, w = row.sample.size
            images[number, :, :h, :w] = row.sample.image.transpose(2, 0, 1)
            segments[number, :h, :w] = row.index
            labels[number, : len(row.segments)] = [self.categories[one.category_id].index for one in row.segments]
        seeds = [int(rng.integers(2**63)) for rng in rngs]
        captions = [self._caption(row, rng) for row, rng in zip(rows, rngs, strict=True)]
        texts = [self._draw_phrases(row, rng) for row, rng in zip(rows, rngs, strict=True)]
        strokes, stroke_targets = self._draw_strokes(rows, (height, width), rngs)
        queries = self.interleave(rows, captions, rngs, seeds)
        targets, padding, regions, region_rows = _place_entities(queries, labels.shape[1], (height, width))
        return Batch(
            image_ids=[sample.image_id for sample in samples],
            seeds=torch.tensor(seeds),
            images=torch.from_numpy(images),
            sizes=torch.tensor([sample.size for sample in samples]),
            canvases=[tuple(_ceil(side, self.divisor) for side in sample.size) for sample in samples],
            segments=torch.from_numpy(segments),
            labels=torch.from_numpy(labels),
            captions=captions,
            phrases=[list(found) for found in texts],
            phrase_targets=_phrase_targets(texts, labels.shape[1]),
            strokes=strokes,
            stroke_targets=stroke_targets,
            queries=[query.rendered for query in queries],
            entity_targets=targets,
            entity_padding=padding,
            regions=regions,
            region_rows=region_rows,
            false_queries=[query.false.rendered if query.false else query.rendered for query in queries],
            false_origin=_origins(queries, padding.shape[1]),
            has_false=torch.tensor([query.false is not None for query in queries]),
        )

    def _caption(self, row: IndexedSample, rng: np.random.Generator) -> str:
        """One of the captions, else one of the sentences, else the names of what is there."""
        texts = row.sample.captions or tuple(sentence.text for sentence in row.sample.sentences)
        if texts:
            return texts[rng.integers(len(texts))]
        names = dict.fromkeys(self.categories[segment.category_id].words for segment in row.segments)
        return f"a photo of {', '.join(names)}" if names else "a photo"

    def _draw_phrases(self, row: IndexedSample, rng: np.random.Generator) -> dict[str, set[int]]:
        """Text -> columns. Texts that read alike are one text that means all of their segments.

        Referring expressions, which are the hard ones, get up to half of the places.
        """
        meant: dict[str, tuple[str, set[int]]] = {}

        def add(text: str, columns: Sequence[int]) -> None:
            if columns:
                meant.setdefault(text.casefold(), (text, set()))[1].update(columns)

        for expression in row.sample.expressions:
            if expression.segment_id in row.columns:
                add(expression.text, [row.columns[expression.segment_id]])
        expressions = len(meant)
        for sentence in row.sample.sentences:
            for phrase in sentence.phrases:
                add(phrase.text, row.columns_of(phrase))
        for column, segment in enumerate(row.segments):
            add(self.categories[segment.category_id].words, [column])
        candidates = list(meant.values())
        first = rng.permutation(expressions)[: self.max_phrases // 2]
        rest = np.setdiff1d(rng.permutation(len(candidates)), first, assume_unique=True)
        return dict(candidates[i] for i in np.concatenate([first, rest])[: self.max_phrases])

    def _draw_strokes(
        self, rows: Sequence[IndexedSample], canvas: tuple[int, int], rngs: Sequence[np.random.Generator]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        count = max(1, min(self.max_strokes, _longest(row.segments for row in rows)))
        strokes = np.zeros((len(rows), count, *canvas), bool)
        targets = np.full((len(rows), count), -1, np.int64)
        for number, (row, rng) in enumerate(zip(rows, rngs, strict=True)):
            for slot, column in enumerate(rng.permutation(len(row.segments))[: self.max_strokes].tolist()):
                kind = StrokeKind.POINT
                if rng.random() >= POINT_SHARE:
                    kind = STROKE_KINDS[rng.integers(len(STROKE_KINDS))]
                row.draw(column, kind, rng).paint(strokes[number, slot])
                targets[number, slot] = column
        return torch.from_numpy(strokes), torch.from_numpy(targets)


def _phrase_targets(texts: Sequence[dict[str, set[int]]], segments: int) -> torch.Tensor:
    targets = torch.zeros(len(texts), _longest(texts), segments, dtype=torch.bool)
    for number, found in enumerate(texts):
        for slot, columns in enumerate(found.values()):
            targets[number, slot, list(columns)] = True
    return targets


def _place_entities(
    queries: Sequence[InterleavedQuery], segments: int, canvas: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Entity targets, padding, regions and region rows of a batch."""
    shape = (len(queries), _longest(query.targets for query in queries))
    targets = np.zeros((*shape, segments), bool)
    padding = np.ones(shape, bool)
    regions = np.zeros((*shape, *canvas), bool)
    region_rows = np.full(shape, -1, np.int64)
    for number, query in enumerate(queries):
        padding[number, : len(query.targets)] = False
        for slot, (columns, region) in enumerate(zip(query.targets, query.regions, strict=True)):
            targets[number, slot, list(columns)] = True
            if region is not None:
                region.stroke.paint(regions[number, slot])
                region_rows[number, slot] = region.row
    return tuple(torch.from_numpy(array) for array in (targets, padding, regions, region_rows))


def _origins(queries: Sequence[InterleavedQuery], entities: int) -> torch.Tensor:
    origins = torch.arange(entities).repeat(len(queries), 1)
    for number, query in enumerate(queries):
        if query.false is not None:
            origins[number, : len(query.false.origin)] = torch.tensor(query.false.origin, dtype=torch.int64)
    return origins


def _longest(groups: Iterable[Sized]) -> int:
    """Length of the longest group, at least 1."""
    return max(1, max(len(group) for group in groups))


def _ceil(value: int, divisor: int) -> int:
    return -(-value // divisor) * divisor
