"""Decoded samples kept in memory, for data sets that fit: four bytes a pixel, one of them for the segment."""

from __future__ import annotations

import numpy as np

from find.data.coco import CocoFolder
from find.data.panoptic import segment_index
from find.data.sample import Sample


class CachedFolder:
    """A folder whose pixels are decoded once: 20,000 images of 160 x 160 take about 2 GB.

    Filled as samples are asked for, or at once by `fill`. Loader processes that are forked after `fill` share the
    memory; without it, or where processes are spawned (macOS, Windows), each keeps a copy of its own.
    """

    def __init__(self, folder: CocoFolder) -> None:
        self.folder = folder
        self._pixels: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, position: int) -> Sample:
        ids = self.folder.table.segment_ids[self.folder.table.span(position)]
        if position not in self._pixels:
            sample = self.folder[position]
            number = np.uint8 if len(ids) < 256 else np.int16
            index = (segment_index(sample.segment_map, ids) + 1).astype(number)
            self._pixels[position] = (sample.image, index)
            return sample
        image, index = self._pixels[position]
        return self.folder.assemble(position, image, np.append(np.int32(0), ids)[index])

    def fill(self) -> None:
        for position in range(len(self)):
            self[position]
