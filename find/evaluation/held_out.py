"""Which segments of a split show a combination that was kept out of training, where the data set says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from find.data.data_split import DataSplit


@dataclass(frozen=True)
class HeldOut:
    """Ids of the held-out segments of each image; empty for a data set that tells of none."""

    segments: Mapping[int, frozenset[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, data: DataSplit) -> HeldOut:
        """What the data tell. Raises FindError where their file of it is broken."""
        return cls(data.held_out())

    def holds(self, image_id: int, segment_ids: Iterable[int]) -> bool:
        """Whether one of these segments is held out."""
        return not self.segments.get(image_id, frozenset()).isdisjoint(segment_ids)
