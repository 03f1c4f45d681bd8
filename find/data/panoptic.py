"""COCO's panoptic annotations: the JSON as compact arrays, and the PNG whose colours are segment ids."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from find.data.dataset_issue import Anomaly, Report, Severity
from find.data.records import malformed, read_json, whole_number
from find.data.sample import Category, Segment
from find.errors import FindError

ID_RANGE = 1 << 24
Box = tuple[int, int, int, int]
"""x, y, width, height in pixels; all zero for what has no pixel."""

doubtful = partial(Anomaly, Severity.WARNING, mend='Let "images" and "annotations" list the same images, each once')


@dataclass(frozen=True)
class PanopticTable:
    """The images and segments of one split.

    Segments of all images lie one after another; those of image `row` at `offsets[row]` to `offsets[row + 1]`.
    Arrays and not objects, so that 1.2 million segments are small and stay shared between forked workers.
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
            FindError: the file is missing, is no JSON, or lacks a list.
        """
        data = read_json(path, "images", "annotations", "categories")
        categories = read_categories(data["categories"], path.name, report)
        index_of = {category.id: category.index for category in categories}
        annotations: dict[int, dict] = {}
        for annotation in data["annotations"]:
            if annotations.setdefault(annotation.get("image_id"), annotation) is not annotation:
                item = f"image {annotation.get('image_id')}"
                report(doubtful("image annotated twice", path.name, item, "a second panoptic annotation is not read"))
        image_ids, files, maps, sizes, offsets = [], [], [], [], [0]
        columns: tuple[list, ...] = ([], [], [], [], [])
        seen: set[int] = set()
        for image in data["images"]:
            item = f"image {image.get('id')}"
            annotation = annotations.pop(image.get("id"), None)
            if annotation is None:
                problem = "is listed twice" if image.get("id") in seen else "has no panoptic annotation"
                report(doubtful(f"image {problem}", path.name, item, f"the image {problem}"))
                continue
            try:
                segments = _segments(annotation["segments_info"], index_of, path.name, item, report)
                row = (
                    int(image["id"]),
                    str(image["file_name"]),
                    str(annotation["file_name"]),
                    (int(image["height"]), int(image["width"])),
                )
            except (KeyError, TypeError, ValueError) as error:
                report(malformed(path.name, item, error))
                continue
            for values, value in zip((image_ids, files, maps, sizes), row, strict=True):
                values.append(value)
            for column, values in zip(columns, segments, strict=True):
                column.extend(values)
            seen.add(row[0])
            offsets.append(len(columns[0]))
        for image_id in annotations:
            message = 'there is a panoptic annotation but no entry in "images"'
            report(doubtful("annotation without image", path.name, f"image {image_id}", message))
        if not image_ids:
            raise FindError(f"{path}: no image has a panoptic annotation. Give another file or split.")
        return cls(
            source=path.name,
            categories=categories,
            image_ids=tuple(image_ids),
            rows={image_id: row for row, image_id in enumerate(image_ids)},
            file_names=tuple(Path(name).name for name in files),
            map_names=tuple(Path(name).with_suffix(".png").name for name in maps),
            sizes=np.array(sizes, np.int32),
            offsets=np.array(offsets, np.int64),
            segment_ids=np.array(columns[0], np.int32),
            category_index=np.array(columns[1], np.int32),
            areas=np.array(columns[2], np.int64),
            boxes=np.array(columns[3], np.int32).reshape(-1, 4),
            crowd=np.array(columns[4], bool),
        )

    def span(self, row: int) -> slice:
        """Where the segments of image `row` lie in the arrays."""
        return slice(self.offsets[row], self.offsets[row + 1])

    def crowd_by_id(self, image_id: int) -> dict[int, bool] | None:
        """Segment id -> is it a crowd region, for one image; None for an image that is not in this split."""
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
        """The segments of image `row`, crowd regions too, in the order of the JSON."""
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


def read_categories(records: list[dict], file: str, report: Report) -> tuple[Category, ...]:
    """Categories in the order of the JSON, which numbers them; ones without a colour get a fixed one of their own."""
    categories: dict[int, Category] = {}
    for record in records:
        item = f"category {record.get('id')}"
        try:
            index = len(categories)
            color = record.get("color") or [(index * step + 64) % 256 for step in (67, 131, 197)]
            category = Category(int(record["id"]), str(record["name"]), bool(record.get("isthing", 1)),
                                tuple(int(channel) for channel in color), index)  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            report(malformed(file, item, error))
            continue
        if category.id in categories:
            report(
                Anomaly(Severity.ERROR, "category listed twice", file, item, "two categories have this id",
                        "Give each its own", stops=True)
            )  # fmt: skip
            continue
        categories[category.id] = category
    return tuple(categories.values())


def _segments(
    records: list[dict], index_of: dict[int, int], file: str, item: str, report: Report
) -> tuple[list, list, list, list, list]:
    """The usable segments of one image, as columns: id, category index, area, box, crowd."""
    columns: tuple[list, list, list, list, list] = ([], [], [], [], [])
    seen: set[int] = set()
    for record in records:
        id, category_id = whole_number(record["id"]), record["category_id"]
        problem = None
        if category_id not in index_of:
            problem = ("unknown category", f"category {category_id} is not among the file's categories")
        elif id in seen:
            problem = ("segment listed twice", "two segments of the image have this id")
        elif not 0 < id < ID_RANGE:
            problem = ("segment id out of range", "no colour of a PNG stands for this id (1 to 16777215)")
        if problem is not None:
            kind, message = problem
            where = f"{item}, segment {id}"
            report(Anomaly(Severity.ERROR, kind, file, where, message, "Correct segments_info", stops=True))
            continue
        seen.add(id)
        box = record["bbox"]
        values = (id, index_of[category_id], record["area"], [round(side) for side in box], record.get("iscrowd", 0))
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    return columns


@dataclass(frozen=True)
class Located:
    """Where the segments of a map are."""

    index: np.ndarray  # int16 [H, W]: position in the list of segments, -1 for ids that are not in it
    areas: list[int]
    boxes: list[Box]


def locate(segment_map: np.ndarray, segment_ids: np.ndarray) -> Located:
    """Looks up runs of equal pixels, not pixels: some thousands instead of hundreds of thousands in a photograph."""
    height, width = segment_map.shape
    starts, lengths = _runs(segment_map, width)
    found = _positions(segment_map.ravel()[starts], segment_ids)
    index = np.repeat(found, lengths).reshape(height, width)
    areas, boxes = [0] * len(segment_ids), [(0, 0, 0, 0)] * len(segment_ids)
    order = np.argsort(found, kind="stable")  # reading order within each segment
    order = order[found[order] >= 0]
    if len(order):
        numbers, firsts = np.unique(found[order], return_index=True)
        rows, left = np.divmod(starts[order], width)
        x0 = np.minimum.reduceat(left, firsts).tolist()
        x1 = np.maximum.reduceat(left + lengths[order], firsts).tolist()
        y0 = rows[firsts].tolist()
        y1 = rows[np.append(firsts[1:], len(order)) - 1].tolist()
        pixels = np.add.reduceat(lengths[order], firsts).tolist()
        for place, number in enumerate(numbers.tolist()):
            areas[number] = pixels[place]
            boxes[number] = (x0[place], y0[place], x1[place] - x0[place], y1[place] + 1 - y0[place])
    return Located(index, areas, boxes)


def segment_index(segment_map: np.ndarray, segment_ids: np.ndarray) -> np.ndarray:
    """Position of each pixel's id in `segment_ids`: int16 [H, W], -1 for ids that are not in it."""
    starts, lengths = _runs(segment_map)
    found = _positions(segment_map.ravel()[starts], segment_ids)
    return np.repeat(found, lengths).reshape(segment_map.shape)


def unlisted_ids(segment_map: np.ndarray, segment_ids: np.ndarray) -> np.ndarray:
    """The ids in a segment map (void apart) that are not among `segment_ids`, sorted."""
    values = segment_map.ravel()[_runs(segment_map)[0]]
    return np.unique(values[(values != 0) & (_positions(values, segment_ids) < 0)])


def _positions(values: np.ndarray, segment_ids: np.ndarray) -> np.ndarray:
    """Of each value in `segment_ids`: int16, -1 where it is not there."""
    order = np.argsort(segment_ids)
    ordered = np.append(segment_ids[order], np.int32(ID_RANGE))
    place = np.searchsorted(ordered, values)
    return np.where(ordered[place] == values, np.append(order, -1)[place], -1).astype(np.int16)


def _runs(values: np.ndarray, width: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Where runs of equal numbers begin in reading order, and their lengths; they end after each `width`, if given."""
    flat = values.ravel()
    changes = flat[1:] != flat[:-1]
    if width is not None:
        changes[width - 1 :: width] = True
    starts = np.append(0, np.flatnonzero(changes) + 1)
    return starts, np.diff(starts, append=flat.size)
