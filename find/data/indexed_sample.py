"""A sample with its segments indexed by target column, without crowd regions and empty segments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from find.data.sample import PhraseSpan, Sample, Segment
from find.data.segment_map import Box, locate
from find.data.strokes import Stroke, StrokeKind, draw_stroke


@dataclass(frozen=True)
class IndexedSample:
    """A sample with its usable segments: the largest ones that are not crowds and have at least one pixel."""

    sample: Sample
    segments: tuple[Segment, ...]
    columns: dict[int, int]  # segment id -> position in `segments`
    index: np.ndarray  # int16 [H, W]: position in `segments`, -1 = void, crowd or left out
    boxes: tuple[Box, ...]  # bounding boxes of the segments' pixels

    @classmethod
    def of(cls, sample: Sample, *, max_segments: int | None = None) -> IndexedSample:
        """The row of a sample, with its `max_segments` largest segments; None keeps all."""
        segments = tuple(segment for segment in sample.segments if not segment.is_crowd)
        found = locate(sample.segment_map, np.array([segment.id for segment in segments], np.int32))
        areas, index, boxes = np.array(found.areas, int), found.index, found.boxes
        largest = np.argsort(-areas, kind="stable")[:max_segments]
        kept = np.sort(largest[areas[largest] > 0])
        if len(kept) < len(segments):
            column = np.full(len(segments) + 1, -1, np.int16)  # the last one belongs to -1
            column[kept] = np.arange(len(kept))
            index = column[index]
            segments, boxes = (tuple(all_of[number] for number in kept) for all_of in (segments, boxes))
        columns = {segment.id: column for column, segment in enumerate(segments)}
        return cls(sample, segments, columns, index, tuple(boxes))

    def columns_of(self, phrase: PhraseSpan) -> tuple[int, ...]:
        """The columns of a phrase's usable segments."""
        return tuple(self.columns[id] for id in phrase.segment_ids if id in self.columns)

    def draw(self, column: int, kind: StrokeKind, rng: np.random.Generator) -> Stroke:
        """A random stroke for a segment."""
        return draw_stroke(self.index, column, self.boxes[column], kind, rng)
