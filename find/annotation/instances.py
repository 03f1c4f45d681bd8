"""Creates panoptic maps from instances: each pixel belongs to the smallest object that covers it."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.decode import segment_png
from find.data.instances import Instance, read_instances
from find.data.outlines import Outline
from find.data.panoptic import PanopticTable
from find.data.segment_map import locate
from find.errors import DataError
from find.images.rle import decode
from find.utils.progress import track

Drawn = list[tuple[Instance, Outline]]


def write_panoptic(root: Path, split: str, out: Path, report: Report, *, progress: bool = False) -> dict[str, int]:
    """Writes out/annotations/panoptic_{split}.json and out/panoptic_{split}/*.png from root's instances.

    Crowd regions are at the bottom, then objects in order of decreasing mask area. Pixels without an object are void.
    Objects that cannot be drawn, have no pixels or are completely hidden by others are omitted and reported. The JSON
    is written last, so that the files of an interrupted run are not mistaken for a data set.

    Returns:
        The numbers of images, of segments, and of objects hidden by others.

    Raises:
        FindError: the file is missing, no object can be used, two images would share one map, or the folder exists.
    """
    path = root / "annotations" / f"instances_{split}.json"
    target, pictures = out / "annotations" / f"panoptic_{split}.json", out / f"panoptic_{split}"
    if pictures.exists():
        raise DataError(f"{pictures}: the folder exists, but {target.name} does not. Remove it, or add the JSON.")
    instances = read_instances(path, report)
    table = PanopticTable.of_images(instances.images.values(), path.name, report)
    if not table.rows:
        raise DataError(
            f'{path}: none of its "images" can be used. List each image with id, file_name, height and width.'
        )
    if instances.objects and not instances.categories:
        raise DataError(f'{path}: its "categories" name no class. List each class with id and name.')
    by_image: dict[int, list[Instance]] = defaultdict(list)
    for one in instances.objects:
        by_image[one.image_id].append(one)
    records: list[dict[str, Any]] = []
    made: set[str] = set()
    hidden = 0
    with ExitStack() as undo:
        unfinished = pictures.with_name(pictures.name + ".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        undo.callback(shutil.rmtree, unfinished, ignore_errors=True)
        for image_id, row in track(list(table.rows.items()), "writing panoptic maps", shown=progress):
            name = f"{table.file_names[row].rpartition('.')[0] or table.file_names[row]}.png"
            if name in made:
                raise DataError(
                    f"{path}: two images would share the panoptic map {name}; give their files different names"
                )
            made.add(name)
            height, width = table.sizes[row].tolist()
            drawn = [
                (one, outline)
                for one in by_image[image_id]
                if (outline := one.outline((height, width), path.name, report)) is not None
            ]
            segment_map, segments, under = _painted(drawn, (height, width), path.name, report)
            hidden += under
            try:
                (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
                segment_png(segment_map).save(unfinished / name)
            except OSError as error:  # a name that is too long or not valid on this file system, or a full disk
                raise DataError(f"{path}, image {image_id}: its map cannot be written: {error}") from error
            records.append({"image_id": image_id, "file_name": name, "segments_info": segments})
        if instances.objects and not any(record["segments_info"] for record in records):
            raise DataError(f"{path}: none of its {len(instances.objects)} objects has a mask that can be drawn")
        unfinished.rename(pictures)
        undo.callback(shutil.rmtree, pictures, ignore_errors=True)
        images = [
            {"id": id, "file_name": table.file_names[row], "height": int(height), "width": int(width)}
            for (id, row), (height, width) in zip(table.rows.items(), table.sizes.tolist(), strict=True)
        ]
        categories = [
            {"id": c.id, "name": c.name, "isthing": int(c.is_thing), "color": list(c.color)}
            for c in instances.categories
        ]
        content = {"images": images, "annotations": records, "categories": categories}
        part = target.with_name(target.name + ".part")
        undo.callback(part.unlink, missing_ok=True)
        part.write_text(json.dumps(content) + "\n", encoding="utf-8")
        part.replace(target)
        undo.pop_all()
    return {"images": len(records), "segments": sum(len(r["segments_info"]) for r in records), "hidden": hidden}


def _painted(
    objects: Drawn, size: tuple[int, int], file: str, report: Report
) -> tuple[np.ndarray, list[dict[str, Any]], int]:
    """The map of an image, its segments, and the number of objects that are completely hidden."""
    warning = partial(DatasetIssue, Severity.WARNING, file=file)
    for one, outline in objects:
        if not outline.pixels:
            report(warning("object without a pixel", item=one.item, message="its polygon is thinner than any pixel",
                           fix="Draw it larger, or remove it"))  # fmt: skip
    objects = sorted(
        (pair for pair in objects if pair[1].pixels), key=lambda pair: (not pair[0].is_crowd, -pair[1].pixels)
    )
    segment_map = np.zeros(size, np.int32)
    for number, (_, outline) in enumerate(objects, start=1):
        segment_map[decode(outline.code, size)] = number
    located = locate(segment_map, np.arange(1, len(objects) + 1, dtype=np.int32))
    segments, hidden = [], 0
    for number, ((one, _), area, box) in enumerate(zip(objects, located.areas, located.boxes, strict=True), start=1):
        if not area:
            hidden += 1
            report(warning("object hidden", item=one.item, message="smaller objects cover all of its pixels",
                           fix="Nothing, if this is right; a panoptic map has one object per pixel"))  # fmt: skip
            continue
        segments.append(
            {"id": number, "category_id": one.category_id, "area": area, "bbox": box, "iscrowd": int(one.is_crowd)}
        )
    return segment_map, segments, hidden
