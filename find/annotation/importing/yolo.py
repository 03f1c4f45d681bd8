"""YOLO segmentation folders: pictures below images/, one text file each below labels/, classes in data.yaml.

A row is the class number and a polygon of alternating x and y, relative to the picture's size; four numbers are a box.
Splits are folders, above or below images/, or lists such as train.txt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from find.annotation.importing.export import (
    Draw,
    Drawn,
    Export,
    Format,
    Photo,
    split_named,
    split_of_path,
    splits_text,
    warning,
)
from find.annotation.importing.files import Files, stem
from find.data.dataset_issue import Report
from find.data.names import plain_path
from find.data.yolo_files import BoxRow, PolygonRow, label_file, read_config, read_rows
from find.errors import DataError

NAMES = ("classes.txt", "obj.names")
"""Class lists of folders without data.yaml: Label Studio's and Darknet's."""
LISTS = ("train.txt", "val.txt", "valid.txt", "validation.txt", "test.txt")


def _recognise(files: Files) -> str | None:
    labelled = [picture for picture in files.pictures if _label(picture) in files.known]
    if not labelled:
        return None
    if _config(files) is None and not any(path.rpartition("/")[2] in NAMES for path in files.paths):
        return None
    return f"a YOLO data set{splits_text({path: split_of_path(path) for path in labelled})}"


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
            message = "it has no text file, which means a picture without objects in YOLO's format"
            report(warning("picture without labels", picture, "the picture", message, "Nothing, if this is right"))
        used.add(label)
        draw = _drawn(files, label, names, has_keypoints="kpt_shape" in config)
        photos.append(Photo(files[picture], split, draw, label))
    for path in files.ending(".txt"):
        name = path.rpartition("/")[2]
        if "labels/" in f"/{path}" and path not in used and name not in (*NAMES, *LISTS):
            report(warning("labels without a picture", path, "the file", "there is no picture of this name",
                           "Put it below images/"))  # fmt: skip
    return Export(photos, list(names.values()))


def _config(files: Files) -> dict[str, Any] | None:
    """Reads data.yaml, or any other YAML that lists names. Raises DataError if data.yaml cannot be used."""
    for path in sorted(files.ending(".yaml", ".yml"), key=lambda path: (path.count("/"), path)):
        try:
            config = read_config(files[path])
        except DataError:
            if stem(path) == "data":
                raise
            continue  # a file of another program
        if config is not None:
            return config
    return None


def _names(files: Files, config: Mapping[str, Any]) -> dict[int, str]:
    if "names" in config:
        return config["names"]
    for path in files.paths:
        if path.rpartition("/")[2] in NAMES:
            lines = files[path].read_text(encoding="utf-8", errors="replace").splitlines()
            return {number: line.strip() for number, line in enumerate(lines) if line.strip()}
    raise DataError(
        f"{files.root}: there are no class names. Add a data.yaml with names: [cat, dog], in the order of "
        "their numbers."
    )


def _label(picture: str) -> str:
    return label_file(PurePosixPath(picture)).as_posix()


def _listed(files: Files, config: Mapping[str, Any]) -> dict[str, str]:
    """Picture -> split, from lists of pictures, or from the folders of splits in the YAML."""
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


def _drawn(files: Files, label: str, names: Mapping[int, str], *, has_keypoints: bool) -> Draw:
    def draw(size: tuple[int, int], report: Report) -> Sequence[Drawn]:
        rows = read_rows(files[label], label, names, report, has_keypoints=has_keypoints)
        return [_object(row, size, names) for row in rows]

    return draw


def _object(row: PolygonRow | BoxRow, size: tuple[int, int], names: Mapping[int, str]) -> Drawn:
    height, width = size
    if isinstance(row, BoxRow):
        x, y, w, h = row.box
        box = ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)
        return Drawn(names[row.number], None, row.item, box)
    return Drawn(names[row.number], [(row.outline * (width, height)).ravel().tolist()], row.item)


YOLO = Format("yolo", _recognise, _read)
