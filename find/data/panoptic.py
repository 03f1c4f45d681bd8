"""COCO's panoptic annotations as compact arrays."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.names import map_path, plain_path
from find.data.records import read_document
from find.data.sample import Category, Segment
from find.data.schema import CategoryRecord, ImageRecord, PanopticDocument, PanopticRecord, SegmentRecord
from find.data.segment_map import ID_RANGE
from find.errors import DataError
from find.images.images import LARGEST_IMAGE

doubtful = partial(DatasetIssue, Severity.WARNING, fix='Let "images" and "annotations" list the same images, each once')
HEX = re.compile(r"#[0-9a-fA-F]{6}")
NAME_MENDS = ("Give each image its own file, with its folder if need be", "Give each image a PNG of its own")


@dataclass(frozen=True)
class PanopticTable:
    """The images and segments of one split.

    Segments of all images are concatenated; those of image `row` are at `offsets[row]` to `offsets[row + 1]`. Arrays
    instead of objects keep 1.2 million segments small and shared between forked workers.
    """

    source: str  # the file's name, for messages
    categories: tuple[Category, ...]
    image_ids: tuple[int, ...]
    rows: dict[int, int]
    file_names: tuple[str, ...]
    map_names: tuple[str, ...]
    sizes: np.ndarray  # int32 [images, 2]: height, width
    offsets: np.ndarray  # int64 [images + 1]
    segment_ids: np.ndarray  # int32 [segments]
    category_index: np.ndarray  # int32 [segments]
    areas: np.ndarray  # int64 [segments]
    boxes: np.ndarray  # int32 [segments, 4]: x, y, width, height
    crowd: np.ndarray  # bool [segments]

    @classmethod
    def read(cls, path: Path, report: Report) -> PanopticTable:
        """Reads panoptic_{split}.json.

        Raises:
            FindError: the file is missing, is not JSON, or lacks a list.
        """
        file = path.name
        document = read_document(path, PanopticDocument, report)
        categories = checked_categories(document.categories, file, report)
        columns = _Columns(file, {category.id: category.index for category in categories}, report)
        annotations: dict[int, PanopticRecord] = {}
        for annotation in document.annotations:
            if annotations.setdefault(annotation.image_id, annotation) is not annotation:
                item = f"image {annotation.image_id}"
                report(doubtful("image annotated twice", file, item, "a second panoptic annotation is not read"))
        document.annotations.clear()
        for image in document.images:
            annotation = annotations.pop(image.id, None)
            if annotation is not None:
                columns.add(image, annotation)
                continue
            problem = "is listed twice" if image.id in columns.rows else "has no panoptic annotation"
            report(doubtful(f"image {problem}", file, f"image {image.id}", f"the image {problem}"))
        for image_id in annotations:
            message = 'there is a panoptic annotation but no entry in "images"'
            report(doubtful("annotation without image", file, f"image {image_id}", message))
        if not columns.rows:
            raise DataError(f"{path}: no image has a panoptic annotation. Give another file or split.")
        return columns.table(categories)

    @classmethod
    def of_images(cls, images: Iterable[ImageRecord], file: str, report: Report) -> PanopticTable:
        """Images of another annotation file, without segments."""
        columns = _Columns(file, {}, report)
        for image in images:
            columns.add(image, PanopticRecord(image.id, f"{image.id}.png", []))
        return columns.table(())

    def span(self, row: int) -> slice:
        """The range of image `row`'s segments in the arrays."""
        return slice(self.offsets[row], self.offsets[row + 1])

    def crowd_by_id(self, image_id: int) -> dict[int, bool] | None:
        """Segment id -> whether it is a crowd region, for one image; None for an image that is not in this split."""
        row = self.rows.get(image_id)
        if row is None:
            return None
        span = self.span(row)
        return dict(zip(self.segment_ids[span].tolist(), self.crowd[span].tolist(), strict=True))

    def category_of(self, image_id: int, segment_id: int) -> int | None:
        """Category index of a segment, None if the split has no such image or segment."""
        row = self.rows.get(image_id)
        if row is None:
            return None
        span = self.span(row)
        found = np.flatnonzero(self.segment_ids[span] == segment_id)
        return int(self.category_index[span][found[0]]) if len(found) else None

    def segments(self, row: int) -> tuple[Segment, ...]:
        """The segments of image `row`, including crowd regions, in the order of the JSON."""
        span = self.span(row)
        category_ids = [self.categories[index].id for index in self.category_index[span].tolist()]
        return tuple(
            Segment(id, category_id, area, tuple(box), crowd)
            for id, category_id, area, box, crowd in zip(
                self.segment_ids[span].tolist(),
                category_ids,
                self.areas[span].tolist(),
                self.boxes[span].tolist(),
                self.crowd[span].tolist(),
                strict=True,
            )
        )


class _Columns:
    """Collects the usable images and segments as columns of numbers."""

    def __init__(self, file: str, index_of: dict[int, int], report: Report) -> None:
        self.file = file
        self.index_of = index_of
        self.report = report
        self.rows: dict[int, int] = {}  # image id -> row
        self.file_names: list[str] = []
        self.map_names: list[str] = []
        self.image_of: tuple[dict[str, int], dict[str, int]] = ({}, {})  # file or map -> the image that has it
        self.sizes = array("q")
        self.offsets = array("q", [0])
        self.ids, self.categories, self.crowd = array("i"), array("i"), array("b")
        self.areas, self.boxes = array("d"), array("d")

    def add(self, image: ImageRecord, annotation: PanopticRecord) -> None:
        item = f"image {image.id}"
        names = plain_path(image.file_name), map_path(annotation.file_name)
        for what, name, of, fix in zip(("image", "map"), names, self.image_of, NAME_MENDS, strict=True):
            if not name:
                self._report_issue(item, "malformed record", f"the file name of the {what} names no file", fix)
                return
            other = of.setdefault(name, image.id)
            if other != image.id:
                self._report_issue(
                    item, "one file of two images", f"its {what} is {name}, as that of image {other}", fix
                )
                return
        if image.height * image.width > LARGEST_IMAGE:
            message = f"it is said to have {image.width} x {image.height} pixels, more than any that is read"
            self._report_issue(item, "malformed record", message, "Correct width and height")
            return
        seen: set[int] = set()
        for segment in annotation.segments_info:
            problem = self._problem(segment, seen)
            if problem is not None:
                self._report_issue(f"{item}, segment {segment.id}", *problem, "Correct segments_info")
                continue
            seen.add(segment.id)
            self.ids.append(segment.id)
            self.categories.append(self.index_of[segment.category_id])
            self.areas.append(segment.area)
            self.boxes.extend(segment.bbox)
            self.crowd.append(segment.iscrowd)
        self.rows[image.id] = len(self.rows)
        self.file_names.append(names[0])
        self.map_names.append(names[1])
        self.sizes.extend((image.height, image.width))
        self.offsets.append(len(self.ids))

    def _problem(self, segment: SegmentRecord, seen: set[int]) -> tuple[str, str] | None:
        if segment.category_id not in self.index_of:
            return "unknown category", f"category {segment.category_id} is not among the file's categories"
        if segment.id in seen:
            return "segment listed twice", "two segments of the image have this id"
        if not 0 < segment.id < ID_RANGE:
            return "segment id out of range", "no colour of a PNG stands for this id (1 to 16777215)"
        return None

    def _report_issue(self, item: str, kind: str, message: str, fix: str) -> None:
        self.report(DatasetIssue(Severity.ERROR, kind, self.file, item, message, fix, stops=True))

    def table(self, categories: tuple[Category, ...]) -> PanopticTable:
        crowd = np.array(self.crowd, bool)
        if len(crowd) and crowd.all():
            message = f"all {len(crowd)} segments are crowd regions (iscrowd 1), which are never searched nor scored"
            fix = "Write iscrowd 0 for single objects; CVAT's masks and Label Studio's brushes come as crowds"
            self.report(
                DatasetIssue(Severity.WARNING, "every object is a crowd", self.file, "segments_info", message, fix)
            )
        return PanopticTable(
            source=self.file,
            categories=categories,
            image_ids=tuple(self.rows),
            rows=self.rows,
            file_names=tuple(self.file_names),
            map_names=tuple(self.map_names),
            sizes=np.array(self.sizes, np.int32).reshape(-1, 2),
            offsets=np.array(self.offsets, np.int64),
            segment_ids=np.array(self.ids, np.int32),
            category_index=np.array(self.categories, np.int32),
            areas=np.rint(self.areas).astype(np.int64),
            boxes=np.rint(self.boxes).astype(np.int32).reshape(-1, 4),
            crowd=crowd,
        )


def checked_categories(records: list[CategoryRecord], file: str, report: Report) -> tuple[Category, ...]:
    """Categories in the order of the JSON, which defines their indices; those without a colour get a fixed one."""
    categories: dict[int, Category] = {}
    for record in records:
        if record.id in categories:
            report(
                DatasetIssue(Severity.ERROR, "category listed twice", file, f"category {record.id}",
                        "two categories have this id", "Give each its own", stops=True)
            )  # fmt: skip
            continue
        index = len(categories)
        categories[record.id] = Category(
            record.id, record.name, bool(record.isthing), category_color(record.color, index), index
        )
    return tuple(categories.values())


def category_color(color: object, index: int) -> tuple[int, int, int]:
    """Three numbers or "#rrggbb"; a fixed colour for a category that has neither."""
    if isinstance(color, str) and HEX.fullmatch(color):
        red, green, blue = bytes.fromhex(color[1:])
        return red, green, blue
    if isinstance(color, list) and len(color) == 3 and all(type(part) is int and 0 <= part < 256 for part in color):
        return color[0], color[1], color[2]
    return (index * 67 + 64) % 256, (index * 131 + 64) % 256, (index * 197 + 64) % 256
