"""Folders of pictures and masks: maps of class numbers or colours, or one black and white mask per object.

Also Pascal VOC's and CVAT's "Segmentation mask" folders, whose SegmentationObject separates the objects of a class.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from find.annotation.importing.classes import BACKGROUND, COLOUR, VOID, Classes, read_classes
from find.annotation.importing.export import Draw, Drawn, Export, Format, Photo, split_of_path, splits_text, warning
from find.annotation.importing.files import Files, folder_of, stem
from find.annotation.importing.shapes import run_lengths
from find.data.dataset_issue import Report
from find.errors import DataError, FindError

MASKS = {"mask", "masks", "seg", "segmentation", "segmentations", "segmentationclass", "segmentationclasspng", "label",
         "labels", "labelids", "annotation", "annotations", "annot", "gt", "groundtruth", "ground_truth"}  # fmt: skip
OBJECTS = {"segmentationobject", "segmentationobjectpng", "instance", "instances", "instanceids"}
LOSSLESS = ("png", "tif", "tiff", "bmp", "gif")


@dataclass(frozen=True)
class Mask:
    path: str
    words: str  # a class, or "" for a map of classes


def _recognise(files: Files) -> str | None:
    of, _ = _masks(files)
    if not of:
        return None
    several = any(len(masks) > 1 or masks[0].words for masks in of.values())
    kind = "one mask per object" if several else "one class map per picture"
    return f"a folder of pictures and masks, {kind}{splits_text({path: split_of_path(path) for path in of})}"


def _read(files: Files, report: Report) -> Export:
    of, lost = _masks(files)
    if not of:
        raise DataError(
            f"{files.root}: no mask belongs to a picture. Put pictures into images/ and masks into masks/, with the "
            "same names: images/a.jpg, masks/a.png."
        )
    for path in lost:
        report(
            warning("mask without a picture", path, "the mask", "no picture has its name", "Name it after its picture")
        )
    classes = read_classes(files)
    objects = {stem(path): files[path] for path in files.pictures if _has_folder(path, OBJECTS)}
    masks = {mask.path for own in of.values() for mask in own}
    photos, separate = [], False
    for picture in files.pictures:
        if picture in masks or _is_mask(picture) or _has_folder(picture, OBJECTS):
            continue
        if picture not in of:
            message, fix = "it may not be annotated, so it is left out", "Add a mask, all black if nothing is on it"
            report(warning("picture without a mask", picture, "the picture", message, fix))
            continue
        numbers = objects.get(stem(picture))
        separate |= numbers is not None or any(mask.words for mask in of[picture])
        draw = _drawn(files, of[picture], classes, numbers)
        photos.append(Photo(files[picture], split_of_path(picture), draw, of[picture][0].path))
    notes = [classes.note] if any(not mask.words for own in of.values() for mask in own) else []
    if not separate:
        notes.append("the maps do not separate objects of a class, so each class is one region per picture (stuff)")
    categories = [name for name in classes.names.values() if name.lower() not in BACKGROUND]
    return Export(photos, categories, tells_apart=separate, notes=tuple(notes))


def _is_mask(path: str) -> bool:
    """Whether a picture is a mask, by a folder's name, or by the end of its own, as in `a_mask.png`."""
    end = re.split(r"[_\-. ]", stem(path).lower())[-1].rstrip("0123456789")
    return path.rpartition(".")[2].lower() in LOSSLESS and (
        _has_folder(path, MASKS) or (end in MASKS and end != stem(path).lower())
    )


def _has_folder(path: str, names: set[str]) -> bool:
    return any(part.lower() in names for part in path.split("/")[:-1])


def _masks(files: Files) -> tuple[dict[str, list[Mask]], list[str]]:
    """The masks of each picture, and masks without a picture."""
    own = [path for path in files.pictures if not _is_mask(path) and not _has_folder(path, OBJECTS)]
    by_stem: dict[str, list[str]] = defaultdict(list)
    for path in own:
        by_stem[stem(path)].append(path)
    of: dict[str, list[Mask]] = defaultdict(list)
    lost = []
    for path in files.pictures:
        if not _is_mask(path) or _has_folder(path, OBJECTS):
            continue
        match = _match(path, by_stem)
        if match is None:
            lost.append(path)
        else:
            picture, words = match
            of[picture].append(Mask(path, words))
    return dict(of), lost


def _match(path: str, by_stem: Mapping[str, list[str]]) -> tuple[str, str] | None:
    """The picture of a mask, and the class in its path: masks/a.png, masks/dog/a.png, masks/a/dog_1.png,
    masks/a_dog_1.png, a_mask.png."""
    name, folders = stem(path), path.split("/")[:-1]
    within = next((number for number, part in enumerate(folders) if part.lower() in MASKS), len(folders) - 1)
    inner = [part for part in folders[within + 1 :] if split_of_path(f"{part}/x") is None]
    if name in by_stem:
        return _nearest(path, by_stem[name]), _class_words(" ".join(inner))
    for part in inner[::-1]:
        if part in by_stem:
            return _nearest(path, by_stem[part]), _class_words(name) or "object"
    parts = re.split(r"([_\-. ])", name)
    for count in range(len(parts) - 2, 0, -2):
        start = "".join(parts[:count])
        if start in by_stem:
            words = _class_words("".join(parts[count + 1 :]))
            numbered = bool(re.search(r"\d", "".join(parts[count + 1 :])))
            return _nearest(path, by_stem[start]), words or _class_words(" ".join(inner)) or (
                "object" if numbered else ""
            )
    return None


def _nearest(path: str, pictures: list[str]) -> str:
    """Among pictures with the same name, the one of the mask's split, otherwise the one with the most similar path."""
    split = split_of_path(path)
    shared = [set(folder_of(path).split("/")) & set(folder_of(picture).split("/")) for picture in pictures]
    order = [(split_of_path(picture) == split, len(common)) for picture, common in zip(pictures, shared, strict=True)]
    return pictures[max(range(len(pictures)), key=lambda number: order[number])]


def _class_words(text: str) -> str:
    """A name without numbers and words for masks."""
    words = [word for word in re.split(r"[_\-. ]+", text) if word and not word.isdigit() and word.lower() not in MASKS]
    return " ".join(words)


def _drawn(files: Files, masks: list[Mask], classes: Classes, numbers: Path | None) -> Draw:
    def draw(size: tuple[int, int], report: Report) -> list[Drawn]:
        found: list[Drawn] = []
        for mask in masks:
            try:
                values = _values(files[mask.path])
                separate = None if numbers is None else _values(numbers)
            except FindError as error:
                report(warning("broken mask", mask.path, "the mask", str(error), "Write it again"))
                continue
            if values.shape != size or (separate is not None and separate.shape != size):
                message = f"it has {values.shape[1]} x {values.shape[0]} pixels, but its picture {size[1]} x {size[0]}"
                report(
                    warning("mask of another size", mask.path, "the mask", message, "Write it in the picture's size")
                )
                continue
            if mask.words:
                if values.any():
                    found.append(Drawn(mask.words, run_lengths(values > 0), mask.path))
                else:
                    report(warning("empty mask", mask.path, "the mask", "it is all black", "Take it away"))
                continue
            found += _of_map(values, separate, classes, mask.path)
        return found

    return draw


def _of_map(values: np.ndarray, separate: np.ndarray | None, classes: Classes, path: str) -> list[Drawn]:
    present = np.unique(values).tolist()
    if set(present) <= {0, VOID} and not classes.names and not classes.is_colour:  # black and white
        return [Drawn("object", run_lengths(values > 0), path)] if VOID in present else []
    found = []
    for value in present:
        name = classes.name(value)
        if name is None:
            continue
        of_class = values == value
        parts = (
            [of_class] if separate is None else [of_class & (separate == one) for one in np.unique(separate[of_class])]
        )
        found += [Drawn(name, run_lengths(part), f"{name} {k}") for k, part in enumerate(parts, start=1)]
    return found


def _values(path: Path) -> np.ndarray:
    """The class numbers of a mask, int64 [H, W]; for colours, R + 256 G + 65536 B + COLOUR, and 0 for black."""
    try:
        with Image.open(path) as picture:
            if picture.mode in ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "I;16N"):
                values = np.asarray(picture).astype(np.int64)
                return values * VOID if picture.mode == "1" else values
            rgb = np.asarray(picture.convert("RGB")).astype(np.int64)
    except Exception as error:  # Pillow's decoders raise many exception types for broken files
        raise DataError(f"{path}: the mask cannot be read ({error})") from error
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all():
        return rgb[..., 0]
    values = rgb @ np.array([1, 1 << 8, 1 << 16])
    return np.where(values == 0, 0, values + COLOUR)


MASK_FOLDERS = Format("masks", _recognise, _read)
