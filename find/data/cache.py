"""An in-memory cache of decoded samples: four bytes per pixel, one of them for the segment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from find.data.data_split import DataSplit
from find.data.sample import Sample
from find.data.segment_map import segment_index
from find.errors import FindError

BYTES_A_PIXEL = 4
MEMORY = Path("/proc/meminfo")


class CachedFolder:
    """A folder whose pixels are decoded once: 20,000 images of 160 x 160 take about 2 GB.

    Filled on access, or completely by `fill`. Loader processes that are forked after `fill` share the memory; without
    it, or if processes are spawned (macOS, Windows), each has its own copy.

    Raises:
        FindError: the folder needs more memory than is free (checked on Linux only).
    """

    def __init__(self, folder: DataSplit) -> None:
        needed = BYTES_A_PIXEL * int(folder.sizes().astype(np.int64).prod(axis=1).sum())
        free = free_memory()
        if free is not None and needed > free:
            raise FindError(
                f"{folder.root}: the {len(folder)} images of {folder.split} take {needed / 1e9:.3g} GB of memory, "
                f"but {free / 1e9:.3g} GB are free. Set cache_in_memory to false."
            )
        self.folder = folder
        self._pixels: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, position: int) -> Sample:
        if position not in self._pixels:
            sample = self.folder[position]
            ids = _ids(sample)
            number = np.uint8 if len(ids) < 256 else np.int16
            index = (segment_index(sample.segment_map, ids) + 1).astype(number)
            self._pixels[position] = (sample.image, index)
            return sample
        image, index = self._pixels[position]
        sample = self.folder.assemble(position, image, index)
        return replace(sample, segment_map=np.append(np.int32(0), _ids(sample))[index])

    def fill(self) -> None:
        for position in range(len(self)):
            self[position]


def _ids(sample: Sample) -> np.ndarray:
    return np.array([segment.id for segment in sample.segments], np.int32)


def free_memory() -> int | None:
    """Available memory in bytes, including reclaimable disk caches; None if unknown."""
    try:
        lines = MEMORY.read_text().splitlines()
    except OSError:
        return None
    sizes = dict(line.split(":", 1) for line in lines)
    return 1024 * int(sizes["MemAvailable"].split()[0]) if "MemAvailable" in sizes else None
