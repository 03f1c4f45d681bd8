"""Writes the pictures and instances of an export, and counts what is lost."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pycocotools import mask as rle

from find.annotation.build import issue_lines
from find.annotation.importing.export import SPLITS, TRAIN, Drawn, Export, Photo, warning
from find.annotation.importing.names import Names
from find.annotation.importing.shapes import rectangle
from find.data.dataset_issue import DatasetIssue, Report
from find.data.instances import Instance
from find.errors import DataError, printable

Boxes = Literal["leave-out", "fill"]
Pictures = Literal["link", "copy"]


@dataclass
class Imported:
    """The result of an import.

    Attributes:
        taken_for: description of the kind of export.
        pictures, objects: their numbers by split.
        categories: the classes, in the order of the files.
        issues: everything omitted or doubtful.
        covered: pixels of objects that are hidden under another one, and pixels of all objects together.
        lines: further lines of the summary.
    """

    export: Path
    out: Path
    taken_for: str
    pictures: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    categories: list[str] = field(default_factory=list)
    issues: list[DatasetIssue] = field(default_factory=list)
    covered: int = 0
    drawn: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """Issues by kind."""
        return Counter(issue.kind for issue in self.issues)

    def to_text(self) -> str:
        splits = [split for split in SPLITS if self.pictures[split]]
        sizes = ", ".join(
            f"{split} {counted(self.pictures[split], 'picture')} with {counted(self.objects[split], 'object')}"
            for split in splits
        )
        names = ", ".join(self.categories[:12]) + (", ..." if len(self.categories) > 12 else "")
        summary = [
            f"{self.export}: taken for {self.taken_for}",
            f"{self.out}: {sizes}; {counted(len(self.categories), 'class', 'classes')}: {names}",
            *self.lines,
            *issue_lines(self.issues),
        ]
        if self.covered:
            share = self.covered / self.drawn
            summary.append(
                f"overlaps: {share:.1%} of the objects' pixels lie under another object; there panoptic maps have the "
                "smaller one, instances have both"
            )
        return "\n".join(map(printable, summary))


class Writer:
    """Collects pictures and objects; writes pictures immediately and COCO's instances at the end."""

    def __init__(
        self, out: Path, export: Export, boxes: Boxes, pictures: Pictures, scratch: Path, result: Imported
    ) -> None:
        self.out = out
        self.boxes = boxes
        self.pictures = pictures
        self.scratch = scratch
        self.result = result
        self.report: Report = result.issues.append
        self.export = export
        names = dict.fromkeys(name for one in export.categories if (name := _class_name(one)))
        self.ids = {name: number for number, name in enumerate(names, start=1)}
        self.names = {split: Names() for split in SPLITS}
        self.images: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
        self.objects: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
        self.of_class: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        self.filled = 0

    def add(self, photo: Photo, size: tuple[int, int]) -> None:
        image_id = 1 + sum(map(len, self.images.values()))
        records, codes = [], []
        for drawn in photo.draw(size, self.report):
            record = self._object(drawn, image_id, size, photo.file)
            if record is not None:
                records.append(record | {"id": 1 + len(records) + sum(map(len, self.objects.values()))})
                codes.append(record["segmentation"])
                self.of_class[photo.split][_class_name(drawn.category)] += 1
        name, renamed = self.names[photo.split].own(photo.path)
        if renamed:
            self.report(warning("picture renamed", photo.file, photo.path.name, f"it is now {name}: another one "
                                "has its name, or it cannot be written", "Nothing"))  # fmt: skip
        self._place(photo.path, self.out / photo.split / name)
        self.images[photo.split].append({"id": image_id, "file_name": name, "height": size[0], "width": size[1]})
        self.objects[photo.split] += records
        if codes:
            areas = sum(record["area"] for record in records)
            self.result.drawn += areas
            self.result.covered += areas - int(rle.area(rle.merge(codes)))

    def write(self) -> None:
        """Writes the JSON files; classes without objects are reported.

        Raises:
            FindError: there is no object.
        """
        self._note_classes()
        if not any(self.objects.values()):
            said = f"{self.result.export}, {self.result.taken_for}: no object can be used"
            raise DataError("; ".join([said, *issue_lines(self.result.issues)]))
        if self.filled:
            self.result.lines.append(f"{self.filled} boxes without a mask were filled as rectangles")
        (self.out / "annotations").mkdir()
        things = self.ids.keys() - set(map(_class_name, self.export.stuff)) if self.export.tells_apart else set()
        categories = [{"id": id, "name": name, "isthing": int(name in things)} for name, id in self.ids.items()]
        for split in SPLITS:
            self.result.pictures[split] = len(self.images[split])
            self.result.objects[split] = len(self.objects[split])
            if self.images[split]:
                content = {"images": self.images[split], "annotations": self.objects[split], "categories": categories}
                path = self.out / "annotations" / f"instances_{split}.json"
                path.write_text(json.dumps(content) + "\n", encoding="utf-8")
        self.result.categories = list(self.ids)

    def _object(self, drawn: Drawn, image_id: int, size: tuple[int, int], file: str) -> dict[str, Any] | None:
        segmentation, name = drawn.segmentation, _class_name(drawn.category)
        if not name:
            self.report(warning("object without a class", file, drawn.item, "its class has no name", "Give it one"))
            return None
        if not segmentation and drawn.box is not None:
            if self.boxes == "leave-out":
                self.report(
                    warning("box without a mask", file, drawn.item, "it has only a box and is left out",
                            "Draw a polygon or a mask, or import with --boxes fill")
                )  # fmt: skip
                return None
            x, y, width, height = drawn.box
            segmentation = [rectangle(x, y, x + width, y + height)]
            self.filled += 1
        instance = Instance(image_id, 0, drawn.is_crowd, None, segmentation, drawn.item)
        outline = instance.outline(size, file, self.report)
        if outline is None:
            return None
        if not outline.pixels:
            self.report(
                warning("object without a pixel", file, drawn.item, "it is thinner than any pixel", "Draw it larger")
            )
            return None
        category = self.ids.setdefault(name, len(self.ids) + 1)
        return {
            "image_id": image_id,
            "category_id": category,
            "segmentation": outline.code,
            "area": outline.pixels,
            "bbox": rle.toBbox(outline.code).tolist(),
            "iscrowd": int(drawn.is_crowd),
        }

    def _place(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_relative_to(self.scratch):  # it was extracted from a zip or an annotation file
            os.replace(source, target)
        elif self.pictures == "link":
            target.symlink_to(source.resolve())
        else:
            shutil.copyfile(source, target)

    def _note_classes(self) -> None:
        tell = partial(warning, file="classes")
        for name in self.ids:
            if not any(self.of_class[split][name] for split in SPLITS):
                self.report(tell("class without objects", item=f'"{name}"', message="no object has it",
                                 fix="A model cannot learn it; annotate some, or leave it"))  # fmt: skip
            elif not self.of_class[TRAIN][name]:
                self.report(tell("class that train lacks", item=f'"{name}"', message="it is in other splits only",
                                 fix="Another --seed, or more pictures of it"))  # fmt: skip


def _class_name(name: str) -> str:
    """A class's name on one line with valid characters; "" if it has none."""
    return " ".join(name.encode("utf-8", "replace").decode().split())


def counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
