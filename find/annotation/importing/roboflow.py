"""Roboflow's COCO export: train/, valid/ and test/, each with its pictures and `_annotations.coco.json`.

Its first category is the project's group of classes, the supercategory of all others, and has no objects.
"""

from __future__ import annotations

from find.annotation.importing.coco import photos_of, read_documents, without_groups
from find.annotation.importing.export import Export, Format, split_of_path, splits_text
from find.annotation.importing.files import Files, folder_of
from find.data.dataset_issue import Report
from find.errors import DataError

FILE = "_annotations.coco.json"


def _paths(files: Files) -> list[str]:
    return [path for path in files.paths if path.rpartition("/")[2] == FILE]


def _recognise(files: Files) -> str | None:
    paths = _paths(files)
    splits = splits_text({path: split_of_path(path) for path in paths})
    return f"a Roboflow COCO export{splits}" if paths else None


def _read(files: Files, report: Report) -> Export:
    paths = _paths(files)
    if not paths:
        raise DataError(
            f'{files.root}: there is no {FILE} in it. Export from Roboflow as "COCO" or "COCO Segmentation".'
        )
    read = read_documents(files, paths, report)
    kept = without_groups(read, report)
    photos = []
    for path, document in read.items():
        within = f"{folder_of(path)}/" if folder_of(path) else ""
        photos += photos_of(
            files, path, document, kept[path], report, split=split_of_path(path), within=within,
            crowds=lambda one: bool(one.iscrowd),
        )  # fmt: skip
    return Export(photos, list(dict.fromkeys(one.name for own in kept.values() for one in own)))


ROBOFLOW = Format("roboflow", _recognise, _read)
