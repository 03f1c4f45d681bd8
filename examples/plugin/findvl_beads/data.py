"""A data reader: pictures of round things whose centres and radii stand in a CSV file, as many counting tools write."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from find.data.class_sentences import sentences_of_classes
from find.data.data_split import DataSplit
from find.data.sample import Category, Segment
from find.errors import DataError
from find.images.images import read_image, read_size

COLORS = ((200, 60, 60), (60, 90, 200), (220, 180, 40), (60, 160, 90))


@dataclass(frozen=True)
class Circle:
    """A round thing; centre and radius in pixels."""

    kind: str
    x: float
    y: float
    radius: float


class BeadsSplit(DataSplit):
    """The pictures of one split, and a segment a circle.

    ::

        root/{split}.csv     file, x, y, radius, kind: a row a circle
        root/{split}/*.png

    Args:
        root, split: where the files are.
        shrink: circles are drawn smaller by so many pixels, for annotators who click generously.
    """

    def __init__(self, root: str | Path, split: str, *, shrink: float = 0.0) -> None:
        self.file = Path(root) / f"{split}.csv"
        self.shrink = shrink
        circles = self._read()
        names = sorted({circle.kind for own in circles.values() for circle in own})
        self.names = dict(enumerate(sorted(circles), start=1))  # image id -> file
        self.circles = {image_id: circles[name] for image_id, name in self.names.items()}
        self.sizes_of = {image_id: read_size(Path(root) / split / name) for image_id, name in self.names.items()}
        self.ids = {name: number for number, name in enumerate(names, start=1)}  # of the categories
        categories = [
            Category(number, name, is_thing=True, color=COLORS[index % len(COLORS)], index=index)
            for index, (name, number) in enumerate(self.ids.items())
        ]
        sentences = sentences_of_classes(
            {image_id: self.segments(image_id) for image_id in self.names}, categories, self.sizes_of
        )
        super().__init__(
            root,
            split,
            categories=categories,
            image_ids=tuple(self.names),
            sentences=sentences,
            captions={sentence.image_id: (sentence.text,) for sentence in sentences},
        )

    def file_name(self, image_id: int) -> str:
        return self.names[image_id]

    def image_size(self, image_id: int) -> tuple[int, int]:
        return self.sizes_of[image_id]

    def image(self, image_id: int) -> np.ndarray:
        return read_image(self.root / self.split / self.names[image_id])

    def segment_map(self, image_id: int) -> np.ndarray:
        height, width = self.sizes_of[image_id]
        y, x = np.mgrid[:height, :width]
        result = np.zeros((height, width), np.int32)
        for number, circle in enumerate(self.circles[image_id], start=1):
            radius = circle.radius - self.shrink
            result[(x - circle.x) ** 2 + (y - circle.y) ** 2 <= radius**2] = number
        return result

    def segments(self, image_id: int) -> tuple[Segment, ...]:
        found = []
        for number, circle in enumerate(self.circles[image_id], start=1):
            radius = circle.radius - self.shrink
            left, top, side = round(circle.x - radius), round(circle.y - radius), round(2 * radius)
            found.append(Segment(number, self.ids[circle.kind], round(np.pi * radius**2), (left, top, side, side)))
        return tuple(found)

    def _read(self) -> dict[str, list[Circle]]:
        """File -> its circles. Raises DataError with the line of the first row that cannot be read."""
        if not self.file.is_file():
            raise DataError(f"{self.file}: there is no such file. `python -m findvl_beads.make_data` writes one.")
        found: dict[str, list[Circle]] = defaultdict(list)
        with self.file.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                try:
                    circle = Circle(row["kind"], float(row["x"]), float(row["y"]), float(row["radius"]))
                    found[row["file"]].append(circle)
                except (KeyError, TypeError, ValueError) as error:
                    raise DataError(
                        f"{self.file}, line {number}: {error!r}. It needs file, x, y, radius, kind."
                    ) from error
        return dict(found)
