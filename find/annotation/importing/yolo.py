"""YOLO's segmentation folders: pictures below images/, a text file of each below labels/, classes in data.yaml.

A row is the class's number and a polygon, x and y in turn as shares of the picture; one with four numbers is a box.
Splits are folders, above images/ or in it, or lists such as train.txt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from find.annotation.importing.export import (
    Draw,
    Drawn,
    Export,
    Format,
    Photo,
    split_named,
    split_of_path,
    splits_told,
    warning,
)
from find.annotation.importing.files import Files, stem
from find.data.dataset_issue import Report
from find.data.names import plain_path
from find.errors import DataError

NAMES = ("classes.txt", "obj.names")
"""Lists of classes where there is no data.yaml: Label Studio's and Darknet's."""
LISTS = ("train.txt", "val.txt", "valid.txt", "validation.txt", "test.txt")
BEYOND = 0.05
"""By so much a point may lie outside the picture: tools let people draw over its edge. Further out it is no share."""


def _recognise(files: Files) -> str | None:
    config = _config(files)
    named = config is not None or any(path.rpartition("/")[2] in NAMES for path in files.paths)
    labelled = [picture for picture in files.pictures if _label(picture) in files.known]
    if not named or not labelled:
        return None
    return f"a YOLO data set{splits_told({path: split_of_path(path) for path in labelled})}"


def _read(files: Files, report: Report) -> Export:
    config = _config(files) or {}
    names = _names(files, config)
    if not files.pictures:
        raise DataError(f"{files.root}: there are no pictures in it. Export with images, and give the whole folder.")
    listed = _listed(files, config)
    photos, used = [], set()
    for picture in files.pictures:
        label = _label(picture)
        split = listed.get(picture) or split_of_path(picture)
        if label not in files.known:
            told = "it has no text file, which YOLO takes for a picture without objects, and so do we"
            report(warning("picture without labels", picture, "the picture", told, "Nothing, if that is so"))
        used.add(label)
        draw = _drawn(files, label if label in files.known else None, names, has_points="kpt_shape" in config)
        photos.append(Photo(files[picture], split, draw, label))
    for path in files.ending(".txt"):
        name = path.rpartition("/")[2]
        if "labels/" in f"/{path}" and path not in used and name not in (*NAMES, *LISTS):
            report(warning("labels without a picture", path, "the file", "there is no picture of this name",
                           "Put it below images/"))  # fmt: skip
    return Export(photos, list(names.values()))


def _config(files: Files) -> dict[str, Any] | None:
    """data.yaml, or any other YAML that lists names."""
    for path in sorted(files.ending(".yaml", ".yml"), key=lambda path: (path.count("/"), path)):
        try:
            found = yaml.safe_load(files[path].read_text(encoding="utf-8"))
        except (yaml.YAMLError, ValueError, OSError):
            continue
        if isinstance(found, dict) and isinstance(found.get("names"), (list, dict)) and found["names"]:
            return found
    return None


def _names(files: Files, config: Mapping[str, Any]) -> dict[int, str]:
    names = config.get("names")
    if isinstance(names, list):
        return {number: str(name) for number, name in enumerate(names)}
    if isinstance(names, dict):
        try:
            return {int(number): str(name) for number, name in names.items()}
        except (TypeError, ValueError) as error:
            raise DataError(f"{files.root}: the names of its YAML are not numbered ({error}). Correct them.") from error
    for path in files.paths:
        if path.rpartition("/")[2] in NAMES:
            lines = files[path].read_text(encoding="utf-8", errors="replace").splitlines()
            return {number: line.strip() for number, line in enumerate(lines) if line.strip()}
    raise DataError(
        f"{files.root}: nothing names the classes. Put a data.yaml into it, with names: [cat, dog], in the order of "
        "their numbers."
    )


def _label(picture: str) -> str:
    """The text file of a picture: the last folder `images` of its path becomes `labels`; or beside it."""
    parts = picture.split("/")
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return "/".join((*parts[:-1], f"{stem(picture)}.txt"))


def _listed(files: Files, config: Mapping[str, Any]) -> dict[str, str]:
    """Picture -> split, by lists of pictures, or by folders that the YAML gives to a split."""
    found: dict[str, str] = {}
    for path in files.paths:
        name = path.rpartition("/")[2]
        split = split_named(name.removesuffix(".txt")) if name in LISTS and "labels/" not in path else None
        if split:
            lines = [line.strip() for line in files[path].read_text(encoding="utf-8", errors="replace").splitlines()]
            found |= dict.fromkeys(files.find([line for line in lines if line]).values(), split)
    for key in ("train", "val", "test"):
        value = config.get(key)
        for folder in value if isinstance(value, list) else [value]:
            place = f"{plain_path(folder)}/" if isinstance(folder, str) and not folder.endswith(".txt") else "/"
            found |= {name: key for name in files.pictures if place != "/" and name.startswith(place)}
    return found


def _drawn(files: Files, label: str | None, names: Mapping[int, str], *, has_points: bool) -> Draw:
    def draw(size: tuple[int, int], report: Report) -> Sequence[Drawn]:
        if label is None:
            return []
        found = []
        rows = files[label].read_text(encoding="utf-8", errors="replace").splitlines()
        for number, row in enumerate(rows, start=1):
            if not row.strip():
                continue
            try:
                found.append(_object(row.split(), size, names, f"row {number}", has_points=has_points))
            except ValueError as error:
                report(warning("broken row", label, f"row {number}", str(error), "Correct it, or export again"))
        return found

    return draw


def _object(
    words: Sequence[str], size: tuple[int, int], names: Mapping[int, str], item: str, *, has_points: bool
) -> Drawn:
    height, width = size
    try:
        number, values = int(float(words[0])), [float(word) for word in words[1:]]
    except (ValueError, OverflowError):
        raise ValueError("it holds something that is no number") from None
    if number not in names:
        raise ValueError(f"class {number} is not among the {len(names)} names")
    beyond = [value for value in values if not -BEYOND <= value <= 1 + BEYOND]
    if len(values) in (4, 5) or has_points:  # a fifth number is how sure a model was
        if len(values) < 4 or beyond:
            raise ValueError("its box is not within the picture, of which its numbers should be shares")
        x, y, w, h = values[:4]
        box = ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)
        return Drawn(names[number], None, item, box)
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"{len(values)} numbers are neither a box nor a polygon")
    if beyond:
        raise ValueError(f"a point is at {beyond[0]:g}; points are shares of the picture, 0 to 1")
    return Drawn(names[number], [[v * (height if k % 2 else width) for k, v in enumerate(values)]], item)


YOLO = Format("yolo", _recognise, _read)
