"""Labels as a YOLO segmentation folder: data.yaml, links to the pictures, and a polygon a row."""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from find.annotation.labelling.labels import LabelledPhoto, Labels
from find.annotation.labelling.polygons import single_polygon
from find.data.yolo_files import label_file
from find.errors import InputError
from find.images.rle import decode
from find.utils.files import write_atomically

TRAIN, VAL = "train", "val"


@dataclass(frozen=True)
class YoloFiles:
    """The folder, and the number of pictures of each split."""

    folder: Path
    pictures: Counter[str]


def write_yolo(labels: Labels, folder: Path, *, val_fraction: float, seed: int) -> YoloFiles:
    check_val_fraction(val_fraction)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: this already exists and is not an empty folder. Remove it, or give another one.")
    numbers = {name: number for number, name in enumerate(labels.categories)}
    splits = _splits([photo.path for photo in labels.photos], val_fraction, seed)
    names = _names([photo.path for photo in labels.photos])
    for photo in labels.photos:
        picture = folder / "images" / splits[photo.path] / names[photo.path]
        rows = label_file(picture)
        for place in (picture, rows):
            place.parent.mkdir(parents=True, exist_ok=True)
        picture.symlink_to(os.path.abspath(labels.root / photo.path))
        write_atomically(rows, "".join(_rows(photo, numbers)).encode())
    pictures = Counter(splits.values())
    config = {"train": f"images/{TRAIN}", "val": f"images/{VAL if pictures[VAL] else TRAIN}"}
    classes = {number: name for name, number in numbers.items()}
    text = yaml.safe_dump(config | {"names": classes}, sort_keys=False, allow_unicode=True)
    write_atomically(folder / "data.yaml", text.encode())
    return YoloFiles(folder, pictures)


def check_val_fraction(fraction: float) -> None:
    if not 0 <= fraction < 1:
        raise InputError(f"the share of val must lie between 0 and 1, not {fraction:g}")


def _names(paths: list[str]) -> dict[str, str]:
    """Path -> that of its link. Pictures whose names differ in the suffix only would share a file of labels: a.jpg and
    a.png become a_jpg.jpg and a_png.png.
    """
    stems = Counter(PurePosixPath(path).with_suffix("") for path in paths)
    taken = {path for path in stems if stems[path] == 1}
    names: dict[str, str] = {}
    for path in map(PurePosixPath, paths):
        link = path
        if stems[path.with_suffix("")] > 1:
            link = path.with_name(path.name.replace(".", "_") + path.suffix)
            while link.with_suffix("") in taken:
                link = link.with_name(f"{link.stem}_{link.suffix}")
            taken.add(link.with_suffix(""))
        names[str(path)] = str(link)
    return names


def _splits(paths: list[str], fraction: float, seed: int) -> dict[str, str]:
    """At least one picture trains, and one is held out where there are two and a share of them is asked for."""
    shuffled = sorted(paths)
    random.Random(seed).shuffle(shuffled)
    wanted = min(len(paths) - 1, max(1, round(fraction * len(paths)))) if fraction else 0
    return {path: VAL if number < wanted else TRAIN for number, path in enumerate(shuffled)}


def _rows(photo: LabelledPhoto, numbers: dict[str, int]) -> list[str]:
    height, width = photo.size
    rows = []
    for label in photo.labels:
        corners = single_polygon(decode(label.segmentation, photo.size)) / (width, height)
        rows.append(" ".join([str(numbers[label.category]), *(f"{share:.7g}" for share in corners.ravel())]) + "\n")
    return rows
