"""COCO instance files as annotation tools write them: shared by Roboflow, CVAT, Label Studio and others."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, ClassVar

import msgspec

from find.annotation.importing.export import Draw, Drawn, Export, Format, Photo, split_named, splits_text, warning
from find.annotation.importing.files import Files, folder_of
from find.data.dataset_issue import Report
from find.data.records import read_document
from find.data.schema import CategoryRecord, ImageRecord, InstanceRecord
from find.errors import DataError

LISTS = {"images", "annotations", "categories"}


class ExportedCategory(CategoryRecord):
    supercategory: Any = None


class ExportedObject(InstanceRecord):
    unchecked: ClassVar[tuple[str, ...]] = ("id", "area", "bbox")
    stops: ClassVar[bool] = False
    fix: ClassVar[str] = "Correct it in the tool, and export again"

    bbox: Any = None


class ExportedImage(ImageRecord):
    stops: ClassVar[bool] = False
    fix: ClassVar[str] = "Make sure that the tool can access the picture, and export again"


class ExportedDocument(msgspec.Struct):
    images: list[ExportedImage]
    annotations: list[ExportedObject]
    categories: list[ExportedCategory]


Documents = Mapping[str, ExportedDocument]
"""By the file's path in the export."""


def documents(files: Files) -> list[str]:
    """The JSON files with COCO instances; files of keypoints, captions and panoptic annotations are excluded."""
    others = ("person_keypoints_", "captions_", "panoptic_")
    candidates = [path for path in files.ending(".json") if not _stem(path).startswith(others)]
    return [path for path in candidates if files.json_fields(path) >= LISTS]


def read_documents(files: Files, paths: Sequence[str], report: Report) -> dict[str, ExportedDocument]:
    return {path: read_document(files[path], ExportedDocument, report) for path in paths}


def without_groups(read: Documents, report: Report) -> dict[str, list[ExportedCategory]]:
    """The categories of each file, except names of groups that have no object in any file."""
    used = {
        category.name
        for document in read.values()
        for category in document.categories
        if category.id in {one.category_id for one in document.annotations}
    }
    named = (category.supercategory for document in read.values() for category in document.categories)
    groups = {name for name in named if isinstance(name, str)}
    kept, reported = {}, set()
    for path, document in read.items():
        kept[path] = [one for one in document.categories if one.name in used or one.name not in groups]
        for one in document.categories:
            if one.name in groups - used and one.name not in reported:
                reported.add(one.name)
                report(
                    warning("class that is a group's name", path, f'"{one.name}"',
                            "other classes have it as supercategory, and no object has it, so it is left out",
                            "If it is a class of its own, rename it in the tool")
                )  # fmt: skip
    return kept


def photos_of(
    files: Files,
    path: str,
    document: ExportedDocument,
    categories: Sequence[ExportedCategory],
    report: Report,
    *,
    split: str | None,
    within: str,
    crowds: Callable[[ExportedObject], bool],
) -> list[Photo]:
    """The pictures of one file.

    Args:
        split: the split of the pictures.
        within: the folder of the export that holds them.
        crowds: whether an object is a crowd, according to the tool's use of `iscrowd`.
    """
    names = {category.id: category.name for category in categories}
    objects = _by_image(path, document, names, report)
    place = files.find([image.file_name for image in document.images], within)
    photos: list[Photo] = []
    seen: dict[str, int] = {}
    for image in document.images:
        own = objects.get(image.id, [])
        item = f"image {image.id} ({image.file_name})"
        if image.file_name not in place:
            report(
                warning("picture is missing", path, item,
                        f"the export has no such picture, so its {len(own)} objects are lost",
                        "Export with pictures, or add it to the folder")
            )  # fmt: skip
        elif place[image.file_name] in seen:
            report(
                warning("picture listed twice", path, item,
                        f"it is the picture of image {seen[place[image.file_name]]}, too, so that these {len(own)} "
                        "objects are left out: several people may have annotated it",
                        "Choose one annotation per picture in the tool")
            )  # fmt: skip
        else:
            seen[place[image.file_name]] = image.id
            drawn = _drawn(own, names, crowds)
            photos.append(Photo(files[place[image.file_name]], split, drawn, path, (image.height, image.width)))
    return photos


def _by_image(
    path: str, document: ExportedDocument, names: Mapping[int, str], report: Report
) -> dict[int, list[ExportedObject]]:
    known = {image.id for image in document.images}
    found: dict[int, list[ExportedObject]] = defaultdict(list)
    for number, one in enumerate(document.annotations):
        item = _item(one, number)
        if one.image_id not in known:
            report(warning("object of unknown image", path, item, f'image {one.image_id} is not among its "images"',
                           "Export again"))  # fmt: skip
        elif one.category_id not in names:
            report(warning("object of unknown class", path, item,
                           f"category {one.category_id} is not among its categories", "Export again"))  # fmt: skip
        else:
            found[one.image_id].append(one)
    return found


def _drawn(own: Sequence[ExportedObject], names: Mapping[int, str], crowds: Callable[[ExportedObject], bool]) -> Draw:
    def draw(size: tuple[int, int], report: Report) -> list[Drawn]:
        return [
            Drawn(names[one.category_id], one.segmentation, _item(one, number), _box(one.bbox), crowds(one))
            for number, one in enumerate(own)
        ]

    return draw


def _box(value: Any) -> tuple[float, float, float, float] | None:
    if isinstance(value, list) and len(value) == 4 and all(type(one) in (int, float) for one in value):
        return tuple(map(float, value)) if all(map(math.isfinite, value)) else None
    return None


def _item(one: ExportedObject, number: int) -> str:
    return InstanceRecord.item({"id": one.id, "image_id": one.image_id}, number)


def _stem(path: str) -> str:
    return PurePosixPath(path).stem


def _split_of_file(path: str) -> str | None:
    """The split of files such as instances_val2017.json, valid/labels.json, train.json."""
    words = _stem(path).replace("-", "_").replace(".", "_").split("_")
    named = [split for word in (*words, *folder_of(path).split("/")) if (split := split_named(word))]
    return named[0] if named else None


def _recognise(files: Files) -> str | None:
    found = documents(files)
    if not found:
        return None
    return f"COCO instances{splits_text({path: _split_of_file(path) for path in found})} of {', '.join(found[:3])}"


def _read(files: Files, report: Report) -> Export:
    paths = documents(files)
    if not paths:
        raise DataError(f"{files.root}: there is no JSON file with images, annotations and categories.")
    read = read_documents(files, paths, report)
    kept = without_groups(read, report)
    objects = [one for document in read.values() for one in document.annotations]
    only_crowds = all(one.iscrowd for one in objects)  # tools that write masks in this way mean single objects
    photos = []
    for path, document in read.items():
        split = _split_of_file(path)
        photos += photos_of(
            files, path, document, kept[path], report, split=split, within=_folder_for(files, path, split),
            crowds=lambda one: bool(one.iscrowd) and not only_crowds,
        )  # fmt: skip
    stuff = frozenset(one.name for own in kept.values() for one in own if not one.isthing)
    note = f"all {len(objects)} objects have iscrowd 1, and are taken as single objects"
    categories = list(dict.fromkeys(one.name for own in kept.values() for one in own))
    return Export(photos, categories, stuff=stuff, notes=(note,) if objects and only_crowds else ())


def _folder_for(files: Files, path: str, split: str | None) -> str:
    """The folder of a file's pictures: that of its split if there is one, otherwise the file's own folder."""
    word = next((word for word in _stem(path).split("_") if split and split_named(word) == split), None)
    for folder in (word, f"images/{word}", folder_of(path)):
        if folder and any(picture.startswith(f"{folder}/") for picture in files.pictures):
            return f"{folder}/"
    return ""


COCO = Format("coco", _recognise, _read)
