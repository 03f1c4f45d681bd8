"""What the reader of a tool's export gives, in one form for all tools: photographs, and how to draw their objects."""

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
    """An object on a photograph.

    Attributes:
        category: the class's name.
        segmentation: polygons in pixels or a run-length code, as COCO writes them; None where there is a box only.
        item: what messages call the object.
        box: x, y, width, height in pixels, where the export has it.
        is_crowd: many objects in one mask.
    """

    category: str
    segmentation: Any
    item: str
    box: tuple[float, float, float, float] | None = None
    is_crowd: bool = False


Draw: TypeAlias = Callable[[tuple[int, int], Report], Sequence[Drawn]]
"""The objects of a photograph of a size (height, width), which is its own: many tools write shares of it."""


@dataclass(frozen=True)
class Photo:
    """A photograph of the export.

    Attributes:
        path: where it lies.
        split: "train", "val" or "test"; None where the export does not say.
        draw: gives its objects, once it is known how large it is.
        file: the annotation file that describes it, for messages.
        size: height and width as that file says, if it does; those of the picture once it has been opened.
    """

    path: Path
    split: str | None
    draw: Draw
    file: str
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Export:
    """All of an export.

    Attributes:
        photos: in the order of the export.
        categories: the classes that it lists, objects or not, in its order; others follow as they appear.
        stuff: classes without single objects, as the export says.
        tells_apart: whether it tells single objects of a class apart; where not, every class is stuff.
        notes: how it was understood, where it could be understood otherwise.
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
        recognise: what a folder is taken for, in words; None where it is another kind.
        read: raises FindError where nothing can be made of the folder; what is lost is reported.
    """

    name: str
    recognise: Callable[[Files], str | None]
    read: Callable[[Files, Report], Export]


def split_named(name: str) -> str | None:
    """The split that a folder or file of this name holds: "valid", "val2017" and "validation" are all val."""
    word = name.lower().rstrip("0123456789")
    return {"train": TRAIN, "training": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "test": TEST}.get(word)


def split_of_path(path: str) -> str | None:
    """The split that a folder of the path names, wherever it stands."""
    return next((split for part in path.split("/")[:-1] if (split := split_named(part))), None)


def splits_text(files: Mapping[str, str | None]) -> str:
    """The splits in brackets, for descriptions."""
    found = [split for split in SPLITS if split in files.values()]
    return f" ({', '.join(found)})" if found else ""
