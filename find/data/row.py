"""One sample on its way into a batch: its segments numbered by column, crowd and vanished ones left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from find.data.panoptic import segment_index
from find.data.sample import PhraseSpan, Sample, Segment


@dataclass(frozen=True)
class Row:
    """A sample with its usable segments: those that are no crowd and have at least one pixel."""

    sample: Sample
    segments: tuple[Segment, ...]
    columns: dict[int, int]  # segment id -> position in `segments`
    index: np.ndarray  # int16 [H, W]: position in `segments`, -1 = void or crowd

    @classmethod
    def of(cls, sample: Sample) -> Row:
        segments = tuple(segment for segment in sample.segments if not segment.is_crowd)
        index = segment_index(sample.segment_map, np.array([segment.id for segment in segments], np.int32))
        pixels = np.bincount((index + np.int16(1)).ravel(), minlength=len(segments) + 1)[1:]
        if not pixels.all():
            segments = tuple(segment for segment, count in zip(segments, pixels, strict=True) if count)
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
