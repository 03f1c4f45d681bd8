"""The supported kinds of exports, and detection of a folder's kind."""

from __future__ import annotations

import shlex
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
"""All formats; the more specific to a tool, the earlier it is tried."""
AUTO = "auto"


def recognised(files: Files, name: str = AUTO) -> tuple[Format, str, Files]:
    """The format, its description, and the files: those of a single top-level folder if that is the export.

    Raises:
        FindError: the format is unknown; the message says what the folder holds.
    """
    asked = files
    while (inner := files.only_folder) is not None and split_named(inner.name) is None:  # as in zips of folders
        files = Files(inner, files.scratch)
    for one in FORMATS:
        taken_for = one.recognise(files) if name in (AUTO, one.name) else None
        if taken_for or name == one.name:
            return one, taken_for or f"an export of {name}", files
    if asked.paths and len(asked.pictures) == len(asked.paths):
        photos = shlex.quote(str(asked.root))
        raise DataError(
            f"{asked.root}: there are only pictures in it ({suffix_words(asked.paths)}), and no annotations. Give the "
            f'export of an annotation tool; or have a model label them: findvl label {photos} --query "{{a dog}}" '
            f"--out {shlex.quote(str(asked.root / 'labels.json'))}"
        )
    raise DataError(
        f"{asked.root}: this is not an export that FIND knows ({suffix_words(asked.paths)}). It knows COCO JSON of "
        "Roboflow, CVAT, Label Studio and others, CVAT for images, Label Studio's JSON, labelme, YOLO segmentation, "
        "and pictures with masks (docs/annotation-tools.md); --format selects one of them."
    )


def unimported(root: Path) -> tuple[Format, str] | None:
    """The format and description of a folder that needs to be imported first; None for any other folder."""
    annotations = root / "annotations"
    if not root.is_dir() or any(annotations.glob("panoptic_*.json")):
        return None
    try:
        form, taken_for, _ = recognised(Files(root, root))
    except FindError:
        return None
    splits = [path.stem.removeprefix("instances_") for path in annotations.glob("instances_*.json")]
    if form is COCO and any((root / split).is_dir() or (root / f"{split}.zip").exists() for split in splits):
        return None  # `findvl bench build` creates the rest
    return form, taken_for
