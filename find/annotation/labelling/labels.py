"""The instances that a model has found in photos, to be written as annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from find.annotation.labelling.yolo_folder import YoloFiles
    from find.retrieval.photos import Skipped


@dataclass(frozen=True)
class Label:
    """An instance on a photograph.

    Attributes:
        category: the class's name.
        query: the text of the query that found it.
        score: the probability that it matches the query (0..1).
        segmentation: its mask as COCO's compressed run-length code.
        area: pixels of the mask.
        box: x, y, width, height of the mask, in pixels.
    """

    category: str
    query: str
    score: float
    segmentation: Mapping[str, Any]
    area: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class LabelledPhoto:
    """A processed photo: its path below the folder, height and width, and instances."""

    path: str
    size: tuple[int, int]
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Labels:
    """The instances in all photos of a folder.

    Attributes:
        root: the folder.
        queries: the texts of the queries of each class.
        photos: the processed photos, with or without instances.
        skipped: unreadable photos, with reasons.
        duplicates: numbers of objects found by two classes, by both names; the more probable label was used, unless
            both were requested.
        settings: model, threshold and other settings, for the file.
    """

    root: Path
    queries: Mapping[str, Sequence[str]]
    photos: Sequence[LabelledPhoto]
    skipped: Sequence[Skipped] = ()
    duplicates: Counter[tuple[str, str]] = field(default_factory=Counter)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Label]:
        return (one for photo in self.photos for one in photo.labels)

    def __len__(self) -> int:
        """How many instances there are."""
        return sum(len(photo.labels) for photo in self.photos)

    def __repr__(self) -> str:
        return f"Labels({len(self)} instances of {len(self.queries)} classes in {len(self.photos)} photos)"

    @property
    def categories(self) -> list[str]:
        """The classes, in the given order."""
        return list(self.queries)

    @property
    def counts(self) -> dict[str, int]:
        """Instances of each class."""
        found = Counter(one.category for one in self)
        return {name: found[name] for name in self.queries}

    @property
    def empty(self) -> list[str]:
        """The photos without instances."""
        return [photo.path for photo in self.photos if not photo.labels]

    def save_coco(self, file: str | Path, *, polygons: bool = False) -> Path:
        """Writes COCO's instances JSON: run-length codes, or polygons where tools take no codes; scores beside them.

        Polygons follow the pixels exactly; holes are joined to the outline by a cut.
        """
        from find.annotation.labelling.coco_file import write_labels

        return write_labels(self, Path(file), polygons=polygons)

    def save_yolo(self, folder: str | Path, *, val_fraction: float = 0.2, seed: int = 0) -> YoloFiles:
        """Writes a YOLO segmentation folder: data.yaml, links to the pictures, a text file of polygons for each.

        Args:
            val_fraction, seed: how many photographs go to val, drawn at random; the others train.

        Raises:
            InputError: the folder is there and not empty.
        """
        from find.annotation.labelling.yolo_folder import write_yolo

        return write_yolo(self, Path(folder), val_fraction=val_fraction, seed=seed)
