"""The files of a YOLO segmentation data set: data.yaml, the pictures of each split, and the rows of their labels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float

from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.names import plain_path
from find.errors import DataError
from find.images.formats import PICTURE_SUFFIXES

SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test",)}
"""Splits, and what data.yaml and folders call them."""
BEYOND = 0.05
"""By so much a point may lie outside the picture: tools let people draw over its edge. Further out it is no share."""


@dataclass(frozen=True)
class YoloConfig:
    """What data.yaml says: the names of the classes by their numbers, and where the pictures of each split are."""

    file: Path
    names: Mapping[int, str]
    places: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, root: Path) -> YoloConfig:
        """The root's data.yaml, or its only other YAML file that lists names.

        Raises:
            DataError: there is none, or its names are neither a list nor numbered.
        """
        if not root.is_dir():
            raise DataError(f"{root}: there is no such folder. Give the folder that holds data.yaml and images/.")
        for file in sorted(root.glob("*.y*ml"), key=lambda file: (file.stem != "data", file.name)):
            try:
                content = yaml.safe_load(file.read_text(encoding="utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise DataError(f"{file}: this is no YAML ({' '.join(str(error).split())}). Write it again.") from error
            if isinstance(content, dict) and content.get("names"):
                return cls(file, _names(content["names"], file), _places(content))
        raise DataError(
            f"{root}: there is no data.yaml that names the classes. Put one there, such as: names: [cat, dog], "
            "train: images/train, val: images/val."
        )

    def splits(self) -> list[str]:
        """The splits that the file lists, or that there are folders of."""
        return [split for split in SPLITS if self.places.get(split) or _folders(self.file.parent, split)]

    def pictures(self, split: str) -> list[Path]:
        """The pictures of a split, sorted by path: those of the folders or lists that the file names, whatever folders
        they lie in; else those of images/SPLIT or SPLIT/images.

        Raises:
            DataError: there is no such split, or it has no pictures.
        """
        root = self.file.parent
        split = next((name for name, others in SPLITS.items() if split in others), split)
        places = [_found(root, place) for place in self.places.get(split, ())] or _folders(root, split)
        if not places:
            raise DataError(
                f"{self.file}: it names no split {split!r}, and there is no images/{split}. Write where its pictures "
                f"are, such as {split}: images/{split}."
            )
        found = sorted({picture for place in places for picture in _pictures(place, root)})
        if not found:
            raise DataError(f"{', '.join(map(str, places))}: there are no pictures of {split}. Put them there.")
        return found


@dataclass(frozen=True)
class Row:
    """An object: the class's number, and its outline in shares of width and height. `item` is for messages."""

    number: int
    outline: Float[np.ndarray, "points 2"]
    item: str


def label_file(picture: Path) -> Path:
    """The text file of a picture: the last folder `images` of its path becomes `labels`; else it lies beside it."""
    parts = list(picture.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def read_rows(file: Path, name: str, classes: Mapping[int, str], report: Report) -> list[Row]:
    """The outlines of a label file, which may be missing: then there are no objects.

    Boxes, and rows that cannot be used, are reported and left out.

    Args:
        name: what messages call the file.
    """
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        try:
            row = _row(words, classes, f"row {number}")
        except ValueError as problem:
            report(DatasetIssue(Severity.WARNING, "broken row", name, f"row {number}", str(problem), "Correct it"))
            continue
        if row is None:
            message = "it is a box, and a box alone is no segment"
            fix = "Draw the object's outline, or export as segmentation"
            report(DatasetIssue(Severity.WARNING, "box without outline", name, f"row {number}", message, fix))
            continue
        found.append(row)
    return found


def _row(words: Sequence[str], classes: Mapping[int, str], item: str) -> Row | None:
    """None for a box: four numbers, or five with how sure a model was. ValueError for what is neither."""
    try:
        number, values = int(float(words[0])), np.array(words[1:], np.float64)
    except (ValueError, OverflowError):
        raise ValueError("it holds something that is no number") from None
    if number not in classes:
        raise ValueError(f"class {number} is not among the {len(classes)} names of data.yaml")
    if not np.isfinite(values).all():
        raise ValueError("it holds something that is no number")
    if len(values) in (4, 5):
        return None
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"{len(values)} numbers are neither a box (4) nor an outline (x and y of 3 points or more)")
    beyond = values[(values < -BEYOND) | (values > 1 + BEYOND)]
    if len(beyond):
        raise ValueError(f"a point is at {beyond[0]:g}; points are shares of the picture, 0 to 1")
    return Row(number, values.reshape(-1, 2), item)


def _names(names: Any, file: Path) -> dict[int, str]:
    try:
        numbered = dict(enumerate(names)) if isinstance(names, list) else {int(k): v for k, v in names.items()}
    except (AttributeError, TypeError, ValueError):
        raise DataError(
            f"{file}: names is neither a list nor numbered. Write names: [cat, dog] or {{0: cat}}."
        ) from None
    return {number: str(name) for number, name in sorted(numbered.items())}


def _places(content: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Of each split, with the file's `path` before them."""
    base = content.get("path")
    found: dict[str, tuple[str, ...]] = {}
    for split, others in SPLITS.items():
        given = next((content[key] for key in others if content.get(key)), ())
        places = [given] if isinstance(given, str) else [place for place in given if isinstance(place, str)]
        found[split] = tuple(os.path.join(base, place) if isinstance(base, str) else place for place in places)
    return found


def _folders(root: Path, split: str) -> list[Path]:
    names = SPLITS.get(split, (split,))
    places = [place for name in names for place in (root / "images" / name, root / name / "images")]
    return [place for place in places if place.is_dir()]


def _found(root: Path, place: str) -> Path:
    """Where a place of data.yaml is: it may have been written on another machine, or for another working directory."""
    parts = [part for part in Path(place).parts if part not in ("..", ".")]
    tried = [Path(place)] if Path(place).is_absolute() else [root / place]
    tried += [root.joinpath(*parts[start:]) for start in range(int(Path(place).is_absolute()), len(parts))]
    found = next((path for path in tried if path.exists()), None)
    if found is None:
        raise DataError(f"{root}: data.yaml names {place}, which is not there. Correct it, or put the pictures there.")
    return found


def _pictures(place: Path, root: Path) -> Iterator[Path]:
    """The pictures below a folder, or those that a text file lists."""
    if place.is_dir():
        for folder, folders, files in os.walk(place, followlinks=True):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(folder, name) for name in files if _is_picture(name))
        return
    for line in place.read_text(encoding="utf-8", errors="replace").splitlines():
        name = plain_path(line.strip())
        if name and _is_picture(name):
            yield _found(root, line.strip())


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES
