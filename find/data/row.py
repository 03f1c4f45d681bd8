"""One sample on its way into a batch: its segments numbered by column, crowd and vanished ones left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from find.data.panoptic import segment_index
from find.data.sample import PhraseSpan, Sample, Segment


@dataclass(frozen=True)
class Row:
    """A sample with its usable segments: the largest of those that are no crowd and have at least one pixel."""

    sample: Sample
    segments: tuple[Segment, ...]
    columns: dict[int, int]  # segment id -> position in `segments`
    index: np.ndarray  # int16 [H, W]: position in `segments`, -1 = void, crowd or left out

    @classmethod
    def of(cls, sample: Sample, *, max_segments: int | None = None) -> Row:
        """The row of a sample, with its `max_segments` largest segments; None keeps all."""
        segments = tuple(segment for segment in sample.segments if not segment.is_crowd)
        index = segment_index(sample.segment_map, np.array([segment.id for segment in segments], np.int32))
        pixels = np.bincount((index + np.int16(1)).ravel(), minlength=len(segments) + 1)[1:]
        largest = np.argsort(-pixels, kind="stable")[:max_segments]
        kept = np.sort(largest[pixels[largest] > 0])
        if len(kept) < len(segments):
            segments = tuple(segments[number] for number in kept)
            index = segment_index(sample.segment_map, np.array([segment.id for segment in segments], np.int32))
        columns = {segment.id: column for column, segment in enumerate(segments)}
        return cls(sample, segments, columns, index)

    def columns_of(self, phrase: PhraseSpan) -> tuple[int, ...]:
        """The columns of a phrase's segments that are there."""
        return tuple(self.columns[id] for id in phrase.segment_ids if id in self.columns)

    def mask(self, *columns: int) -> np.ndarray:
        """bool [H, W]: the pixels of these segments."""
        if len(columns) == 1:
            return self.index == columns[0]
        return np.isin(self.index, columns)
