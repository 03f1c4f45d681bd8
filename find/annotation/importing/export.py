"""The common form of all tools' exports: photos, and functions that draw their objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from find.annotation.importing.files import Files
from find.data.dataset_issue import DatasetIssue, Report, Severity

warning = partial(DatasetIssue, Severity.WARNING)

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)


@dataclass(frozen=True)
class Drawn:
    """An object in a photo.

    Attributes:
        category: the class's name.
        segmentation: polygons in pixels or a run-length code, as in COCO; None if there is only a box.
        item: the object's name in messages.
        box: x, y, width, height in pixels, if the export has it.
        is_crowd: many objects in one mask.
    """

    category: str
    segmentation: Any
    item: str
    box: tuple[float, float, float, float] | None = None
    is_crowd: bool = False


Draw: TypeAlias = Callable[[tuple[int, int], Report], Sequence[Drawn]]
"""Returns the objects of a photo, given its size (height, width): many tools write relative coordinates."""


@dataclass(frozen=True)
class Photo:
    """A photo of the export.

    Attributes:
        path: its file.
        split: "train", "val" or "test"; None if the export does not say.
        draw: returns its objects, given its size.
        file: the annotation file that describes it, for messages.
        size: height and width according to that file, if given; the picture's own once it has been opened.
    """

    path: Path
    split: str | None
    draw: Draw
    file: str
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Export:
    """A complete export.

    Attributes:
        photos: in the order of the export.
        categories: the classes that it lists, with or without objects, in its order; others follow as they appear.
        stuff: classes without single objects, according to the export.
        tells_apart: whether it distinguishes objects of a class; if not, every class is stuff.
        notes: how ambiguous parts were interpreted.
    """

    photos: Sequence[Photo]
    categories: Sequence[str] = ()
    stuff: frozenset[str] = frozenset()
    tells_apart: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """A kind of export.

    Attributes:
        name: for `--format`.
        recognise: describes what a folder is; None if it is of another kind.
        read: reads the folder; raises FindError if it cannot be used, and reports what is lost.
    """

    name: str
    recognise: Callable[[Files], str | None]
    read: Callable[[Files, Report], Export]


def split_named(name: str) -> str | None:
    """The split that a folder or file of this name holds: "valid", "val2017" and "validation" are all val."""
    word = name.lower().rstrip("0123456789")
    return {"train": TRAIN, "training": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "test": TEST}.get(word)


def split_of_path(path: str) -> str | None:
    """The split that any folder of the path names."""
    return next((split for part in path.split("/")[:-1] if (split := split_named(part))), None)


def splits_text(files: Mapping[str, str | None]) -> str:
    """The splits in parentheses, for descriptions."""
    found = [split for split in SPLITS if split in files.values()]
    return f" ({', '.join(found)})" if found else ""
