"""The files of a YOLO segmentation data set: data.yaml, the pictures of each split, and the rows of their labels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np
import yaml
from jaxtyping import Float

from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.names import plain_path
from find.errors import DataError
from find.images.formats import PICTURE_SUFFIXES

SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test",)}
"""Splits, and their names in data.yaml and of folders."""
BEYOND = 0.05
"""Tolerance for points outside the picture, relative to its side: tools let people draw over the edge."""

AnyPath = TypeVar("AnyPath", bound=PurePath)


@dataclass(frozen=True)
class YoloConfig:
    """The content of data.yaml: class names by number, places of the pictures of each split, and whether rows are boxes
    with keypoints."""

    file: Path
    names: Mapping[int, str]
    places: Mapping[str, tuple[str, ...]]
    has_keypoints: bool = False

    @classmethod
    def read(cls, root: Path) -> YoloConfig:
        """The root's data.yaml, or its only other YAML file that lists names.

        Raises:
            DataError: there is none, or its names are neither a list nor numbered.
        """
        if not root.is_dir():
            raise DataError(f"{root}: there is no such folder. Give the folder that holds data.yaml and images/.")
        for file in sorted(root.glob("*.y*ml"), key=lambda file: (file.stem != "data", file.name)):
            content = read_config(file)
            if content is not None:
                return cls(file, content["names"], _places(content), "kpt_shape" in content)
        raise DataError(
            f"{root}: there is no data.yaml that names the classes. Put one there, such as: names: [cat, dog], "
            "train: images/train, val: images/val."
        )

    def splits(self) -> list[str]:
        """The splits that the file lists, or for which folders exist."""
        return [split for split in SPLITS if self.places.get(split) or _folders(self.file.parent, split)]

    def pictures(self, split: str) -> list[Path]:
        """The pictures of a split, sorted by path: those in the folders or lists that the file names, otherwise those
        in images/SPLIT or SPLIT/images.

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
class PolygonRow:
    """An object: the class number, and its outline relative to width and height. `item` is for messages."""

    number: int
    outline: Float[np.ndarray, "points 2"]
    item: str


@dataclass(frozen=True)
class BoxRow:
    """An object with only a box: centre x and y, width and height, relative to the picture's width and height."""

    number: int
    box: tuple[float, float, float, float]
    item: str


def label_file(picture: AnyPath) -> AnyPath:
    """The label file of a picture: the last folder `images` of its path becomes `labels`; otherwise beside it."""
    parts = list(picture.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return type(picture)(*parts).with_suffix(".txt")


def read_rows(
    file: Path, name: str, classes: Mapping[int, str], report: Report, *, has_keypoints: bool = False
) -> list[PolygonRow | BoxRow]:
    """The objects of a label file; none if it is missing. Invalid rows are reported.

    Args:
        name: the file's name in messages.
        has_keypoints: data.yaml has a `kpt_shape`, so every row is a box with keypoints.
    """
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(lines, start=1):
        if words := line.split():
            try:
                found.append(_row(words, classes, f"row {number}", has_keypoints=has_keypoints))
            except ValueError as problem:
                fix = "Correct it, or export again"
                report(DatasetIssue(Severity.WARNING, "broken row", name, f"row {number}", str(problem), fix))
    return found


def _row(words: Sequence[str], classes: Mapping[int, str], item: str, *, has_keypoints: bool) -> PolygonRow | BoxRow:
    """A box has four numbers, or five with a confidence. ValueError for anything but a box or an outline."""
    try:
        number, values = int(float(words[0])), np.array(words[1:], np.float64)
    except (ValueError, OverflowError):
        raise ValueError("it holds something that is not a number") from None
    if number not in classes:
        raise ValueError(f"class {number} is not among the {len(classes)} class names")
    if not np.isfinite(values).all():
        raise ValueError("it holds something that is not a number")
    if len(values) in (4, 5) or (has_keypoints and len(values) > 5):
        box = values[:4]
        if _beyond(box).size:
            raise ValueError(f"its box has {_beyond(box)[0]:g}; boxes are in shares of the picture, 0 to 1")
        return BoxRow(number, tuple(box.tolist()), item)
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"{len(values)} numbers are neither a box (4) nor an outline (x and y of 3 points or more)")
    if _beyond(values).size:
        raise ValueError(f"a point is at {_beyond(values)[0]:g}; points are in shares of the picture, 0 to 1")
    return PolygonRow(number, values.reshape(-1, 2), item)


def _beyond(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
    return values[(values < -BEYOND) | (values > 1 + BEYOND)]


def read_config(file: Path) -> dict[str, Any] | None:
    """The content of a YAML file, with class names by number; None if it has no class names.

    Raises:
        DataError: it is not YAML, or its names are neither a list nor numbered.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, OSError) as error:  # PyYAML raises ValueError for impossible dates, too
        reason = " ".join(str(error).split())
        raise DataError(f"{file}: this cannot be read as YAML ({reason}). Write it again.") from error
    if not isinstance(content, dict) or not content.get("names"):
        return None
    names = content["names"]
    try:
        numbered = dict(enumerate(names)) if isinstance(names, list) else {int(k): v for k, v in names.items()}
    except (AttributeError, TypeError, ValueError):
        raise DataError(
            f"{file}: names is neither a list nor numbered. Write names: [cat, dog] or {{0: cat}}."
        ) from None
    return content | {"names": {number: str(name) for number, name in sorted(numbered.items())}}


def _places(content: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The places of each split, below the file's `path`."""
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
    """Resolves a path in data.yaml, which may be for another machine or another working directory."""
    parts = [part for part in Path(place).parts if part not in ("..", ".")]
    tried = [Path(place)] if Path(place).is_absolute() else [root / place]
    tried += [root.joinpath(*parts[start:]) for start in range(int(Path(place).is_absolute()), len(parts))]
    found = next((path for path in tried if path.exists()), None)
    if found is None:
        raise DataError(f"{root}: data.yaml names {place}, which is not there. Correct it, or put the pictures there.")
    return found


def _pictures(place: Path, root: Path) -> Iterator[Path]:
    """The pictures below a folder, or those listed in a text file."""
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
