"""Segments with attribute combinations that were held out from training, if the data set lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from find.data.data_split import DataSplit


@dataclass(frozen=True)
class HeldOut:
    """Ids of the held-out segments of each image; empty if the data set lists none."""

    segments: Mapping[int, frozenset[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, data: DataSplit) -> HeldOut:
        """Reads the data set's list. Raises FindError if the file is damaged."""
        return cls(data.held_out())

    def holds(self, image_id: int, segment_ids: Iterable[int]) -> bool:
        """Whether one of these segments is held out."""
        return not self.segments.get(image_id, frozenset()).isdisjoint(segment_ids)
