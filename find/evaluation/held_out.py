"""Which segments of a split show a combination that was kept out of training, where the data set says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from find.data.coco import CocoFolder
from find.data.records import read_whole
from find.data.schema import HeldOutDocument


@dataclass(frozen=True)
class HeldOut:
    """Ids of the held-out segments of each image; empty for a data set that tells of none."""

    segments: Mapping[int, frozenset[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: CocoFolder) -> HeldOut:
        """The folder's held_out.json, `{"segments": {split: {image id: [segment ids]}}}`, if there is one.

        Raises:
            FindError: the file is broken.
        """
        path = folder.root / "held_out.json"
        if not path.exists():
            return cls()
        document = read_whole(
            path, HeldOutDocument, '{"segments": {split: {image id: [segment ids]}}}; write the file again, or remove '
            "it to evaluate without held-out figures",
        )  # fmt: skip
        by_image = document.segments.get(folder.split, {})
        return cls({int(image): frozenset(map(int, ids)) for image, ids in by_image.items()})

    def holds(self, image_id: int, segment_ids: Iterable[int]) -> bool:
        """Whether one of these segments is held out."""
        return not self.segments.get(image_id, frozenset()).isdisjoint(segment_ids)
