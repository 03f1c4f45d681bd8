"""COCO's instances: possibly overlapping objects, each with a class and a mask, which are validated before use."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.outlines import NoMask, Outline, draw
from find.data.panoptic import checked_categories
from find.data.records import read_document
from find.data.sample import Category
from find.data.schema import ImageRecord, InstanceDocument, InstanceRecord

error = partial(DatasetIssue, Severity.ERROR)
warning = partial(DatasetIssue, Severity.WARNING)

LARGEST_AREA = 1e15
ENCLOSED, BEYOND = 0.25, 256
"""An area below this share of the mask's pixels, or so many pixels larger than the box around it, is not its own."""


@dataclass(frozen=True)
class Instance:
    """An object with a class. `item` is its name in messages; its mask is in the file's form."""

    image_id: int
    category_id: int
    is_crowd: bool
    area: float | None
    segmentation: Any
    item: str

    def outline(self, size: tuple[int, int], file: str, report: Report) -> Outline | None:
        """The mask; None, and a report, if it has none in an image of `size` or cannot be drawn."""
        try:
            outline = draw(self.segmentation, size)
        except NoMask as problem:
            report(
                warning("object without a mask", file, self.item, str(problem),
                        "Draw it, or take it out; boxes alone are not used")
            )  # fmt: skip
            return None
        except ValueError as problem:
            report(
                error("broken mask", file, self.item, str(problem),
                      "Write polygons of x, y, x, y, ... or a run-length code of the image's own size", stops=True)
            )  # fmt: skip
            return None
        if outline.lines:
            report(
                warning("part without area", file, self.item, f"{outline.lines} parts of its polygon have fewer than "
                        "three points and are left out", "Take them out")
            )  # fmt: skip
        return outline

    def own_area(self, outline: Outline) -> float:
        """The file's area, which COCO uses to sort objects by size; the mask's area if that cannot be right."""
        if self.area is not None and ENCLOSED * outline.pixels <= self.area <= outline.largest + BEYOND:
            return self.area
        return float(outline.pixels)


@dataclass(frozen=True)
class Instances:
    """The objects of one file, in its order."""

    source: str  # the file's name, for messages
    images: Mapping[int, ImageRecord]
    objects: tuple[Instance, ...]
    categories: tuple[Category, ...]


def read_instances(path: Path, report: Report) -> Instances:
    """Reads instances_{split}.json. Object ids are ignored, so repeated ids and 0 are harmless.

    Raises:
        FindError: the file is missing, is not JSON, or lacks a list.
    """
    file = path.name
    document = read_document(path, InstanceDocument, report)
    categories = checked_categories(document.categories, file, report)
    images: dict[int, ImageRecord] = {}
    for image in document.images:
        if images.setdefault(image.id, image) is not image:
            report(warning("image is listed twice", file, f"image {image.id}", "the image is listed twice",
                           'Let "images" list each image once'))  # fmt: skip
    objects = tuple(_objects(document.annotations, images, {category.id for category in categories}, file, report))
    if objects and all(one.is_crowd for one in objects):
        report(
            warning("every object is a crowd", file, f"{len(objects)} objects",
                    "all are crowd regions (iscrowd 1), which are never searched nor scored",
                    "Write iscrowd 0 for single objects; CVAT's masks and Label Studio's brushes come as crowds")
        )  # fmt: skip
    return Instances(file, images, objects, categories)


def _objects(
    records: Iterable[InstanceRecord], images: Mapping[int, ImageRecord], known: set[int], file: str, report: Report
) -> Iterable[Instance]:
    numbers = Counter(record.id for record in records if isinstance(record.id, (int, str)))
    seen: set[tuple[object, ...]] = set()
    for number, record in enumerate(records):
        item = InstanceRecord.item({"id": record.id, "image_id": record.image_id}, number)
        if record.image_id not in images:
            report(warning("instance of unknown image", file, item,
                           f'image {record.image_id} is not among its "images"',
                           "Take the instance out, or list the image"))  # fmt: skip
            continue
        if known and record.category_id not in known:
            report(error("unknown category", file, item,
                         f"category {record.category_id} is not among the file's categories", "Correct the category",
                         stops=True))  # fmt: skip
            continue
        if isinstance(record.id, (int, str)) and numbers[record.id] > 1:
            same = (record.id, record.image_id, record.category_id, json.dumps(record.segmentation))
            if same in seen:
                report(warning("object listed twice", file, item, "id, class and mask are those of another one",
                               "Keep one of them"))  # fmt: skip
                continue
            seen.add(same)
        area = record.area if type(record.area) in (int, float) and abs(record.area) < LARGEST_AREA else None
        yield Instance(record.image_id, record.category_id, bool(record.iscrowd), area, record.segmentation, item)
