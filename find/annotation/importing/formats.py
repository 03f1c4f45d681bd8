"""The kinds of exports that can be imported, and which one a folder is."""

from __future__ import annotations

from pathlib import Path

from find.annotation.importing.coco import COCO
from find.annotation.importing.cvat import CVAT
from find.annotation.importing.export import Format, split_named
from find.annotation.importing.files import Files, suffix_words
from find.annotation.importing.label_studio import LABEL_STUDIO
from find.annotation.importing.labelme import LABELME
from find.annotation.importing.masks import MASK_FOLDERS
from find.annotation.importing.roboflow import ROBOFLOW
from find.annotation.importing.yolo import YOLO
from find.errors import DataError, FindError

FORMATS = (ROBOFLOW, CVAT, LABEL_STUDIO, COCO, LABELME, YOLO, MASK_FOLDERS)
"""The more a format says of its tool, the earlier it is asked."""
AUTO = "auto"


def recognised(files: Files, name: str = AUTO) -> tuple[Format, str, Files]:
    """The format, what the folder is taken for, and the files: those of the one folder in it, where that is the export.

    Raises:
        FindError: it is none of them; tells what is there.
    """
    asked = files
    while (inner := files.only_folder) is not None and split_named(inner.name) is None:  # as in zips of folders
        files = Files(inner, files.scratch)
    for one in FORMATS:
        taken_for = one.recognise(files) if name in (AUTO, one.name) else None
        if taken_for or name == one.name:
            return one, taken_for or f"an export of {name}", files
    raise DataError(
        f"{asked.root}: this is no export that FIND knows ({suffix_words(asked.paths)}). It knows COCO JSON of "
        "Roboflow, CVAT, Label Studio and others, CVAT for images, Label Studio's JSON, labelme, YOLO segmentation, "
        "and pictures with masks (docs/annotation-tools.md); --format takes it for one of them."
    )


def unimported(root: Path) -> tuple[Format, str] | None:
    """The format of a folder that is to be imported first, and what it is taken for; None for any other folder."""
    annotations = root / "annotations"
    if not root.is_dir() or any(annotations.glob("panoptic_*.json")):
        return None
    try:
        form, taken_for, _ = recognised(Files(root, root))
    except FindError:
        return None
    splits = [path.stem.removeprefix("instances_") for path in annotations.glob("instances_*.json")]
    if form is COCO and any((root / split).is_dir() or (root / f"{split}.zip").exists() for split in splits):
        return None  # `findvl bench build` makes the rest
    return form, taken_for
