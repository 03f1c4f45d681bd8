"""COCO's panoptic result format: a JSON of segments, and beside it a folder of PNGs whose colours are segment ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int
from msgspec import Struct

from find.data.coco import CocoFolder
from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.decode import decode_segment_map
from find.data.records import Record, brief, read_document
from find.data.schema import Id
from find.data.segment_map import ID_RANGE
from find.errors import DataError, FindError
from find.model.predictions import PanopticPrediction

error = partial(DatasetIssue, Severity.ERROR)
warning = partial(DatasetIssue, Severity.WARNING)


FIX = 'Give "image_id", "file_name" and "segments_info"'


class PredictedSegment(Record, gc=False):
    fix: ClassVar[str] = FIX

    id: Id
    category_id: Id

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"segment {brief(raw.get('id'))}"


class PredictedImage(Record):
    fix: ClassVar[str] = FIX
    unchecked: ClassVar[tuple[str, ...]] = ("file_name",)
    parts: ClassVar[str] = "segments_info"

    image_id: Id
    file_name: str
    segments_info: list[PredictedSegment]

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"image {brief(raw.get('image_id'))}"


class PredictedDocument(Struct):
    annotations: list[PredictedImage]


@dataclass(frozen=True)
class PanopticFile:
    """Panoptic predictions on disk; PNGs are read on demand."""

    path: Path
    folder: CocoFolder
    records: Mapping[int, dict[str, Any]]  # by image id

    @classmethod
    def read(cls, path: Path, folder: CocoFolder, report: Report) -> PanopticFile:
        """Reads the JSON; records that cannot be used are reported and left out.

        Raises:
            FindError: the file is missing, is not JSON, or has no list "annotations".
        """
        known = {category.id for category in folder.categories}
        records: dict[int, dict[str, Any]] = {}
        for record in read_document(path, PredictedDocument, report).annotations:
            image_id, name = record.image_id, record.file_name
            item = f"image {image_id}"
            segments = [(segment.id, segment.category_id) for segment in record.segments_info]
            if image_id not in folder.table.rows:
                report(error("unknown image id", path.name, item, f"the image is not in {folder.table.source}",
                             "Remove the record, or give the right split"))  # fmt: skip
                continue
            if image_id in records:
                report(error("image predicted twice", path.name, item, "there are two records of this image",
                             "Keep one of them"))  # fmt: skip
                continue
            good = not _faulty_segments(segments, known, path.name, item, folder.table.source, report)
            records[image_id] = {"file_name": name, "segments": dict(segments) if good else None}
        return cls(path, folder, records)

    @property
    def pictures(self) -> Path:
        """The folder of PNGs, which has the JSON's name without its suffix."""
        return self.path.with_suffix("")

    def check(self, image_ids: Iterable[int], report: Report) -> None:
        """Reports images without a record, and problems of the others' PNGs."""
        for image_id in image_ids:
            if image_id not in self.records:
                report(_missing(self.path, image_id))
                continue
            record = self.records[image_id]
            item = f"image {image_id}"
            file = f"{self.pictures.name}/{record['file_name']}"
            try:
                segment_map = self._map(record["file_name"])
            except FindError as problem:
                message, _, fix = str(problem).removeprefix(f"{file}: ").rstrip(".").partition(". ")
                report(error("unreadable PNG", file, item, message, fix or "Write it again"))
                continue
            height, width = self.folder.image_size(image_id)
            if segment_map.shape != (height, width):
                given = f"{segment_map.shape[1]} x {segment_map.shape[0]}"
                report(error("wrong size", file, item, f"the PNG is {given}, the image {width} x {height}",
                             "Write predictions at the image's own size"))  # fmt: skip
            if record["segments"] is None:
                continue
            there = set(np.unique(segment_map).tolist()) - {0}
            for segment in sorted(there - set(record["segments"])):
                report(error("unlisted segment id", file, f"{item}, segment {segment}",
                             "the PNG holds this id, segments_info does not list it",
                             "List it with its category, or paint those pixels 0 (black)"))  # fmt: skip
            for segment in sorted(set(record["segments"]) - there):
                report(warning("segment without pixels", self.path.name, f"{item}, segment {segment}",
                             f"no pixel of {file} has its id (a later segment with overlapping pixels may have "
                             "painted over it)", "Take it out of segments_info"))  # fmt: skip

    def segment_map(self, image_id: int) -> Int[np.ndarray, "h w"]:
        """One image's segment ids, 0 = none. Raises `FindError` if it has no record, or its PNG cannot be read."""
        return self._map(self._record(image_id)["file_name"])

    def categories(self, image_id: int) -> dict[int, int]:
        """Category id of each segment of an image. Raises `FindError` if it has no record."""
        return self._record(image_id)["segments"] or {}

    def _record(self, image_id: int) -> dict[str, Any]:
        if image_id not in self.records:
            raise _missing(self.path, image_id).error()
        return self.records[image_id]

    def _map(self, name: str) -> Int[np.ndarray, "h w"]:
        file = self.pictures / name
        where = f"{self.pictures.name}/{name}"
        if Path(name).name != name or "\0" in name:
            raise DataError(f"{where}: file_name must be a plain name. Put the PNGs into {self.pictures}/.")
        try:
            if file.exists() and not file.is_file():  # a pipe would block until something writes to it
                raise DataError(f"{where}: this is not a file. Put the PNG into {self.pictures}/.")
            data = file.read_bytes()
        except FindError:
            raise
        except (OSError, UnicodeError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            raise DataError(f"{where}: the PNG cannot be read ({reason}). Put it into {self.pictures}/.") from problem
        return decode_segment_map(data, where)


def record_of(image_id: int, prediction: PanopticPrediction, category_ids: Sequence[int]) -> dict[str, Any]:
    """The JSON record of a prediction; `category_ids[label]` is COCO's id of a class."""
    segments = [{"id": s.id, "category_id": category_ids[s.label], "score": s.score} for s in prediction.segments]
    return {"image_id": image_id, "file_name": f"{image_id:012d}.png", "segments_info": segments}


def _faulty_segments(
    segments: list[tuple[int, int]], known: set[int], file: str, item: str, source: str, report: Report
) -> bool:
    faulty = False
    seen: set[int] = set()
    for segment, category in segments:
        where = f"{item}, segment {segment}"
        if category not in known:
            report(error("unknown category", file, where, f"category {category} is not in {source}",
                         "Give the data set's own category ids (not positions in a list)"))  # fmt: skip
        elif segment in seen:
            report(error("segment listed twice", file, where, "two segments of the image have this id",
                         "Give each its own id and colour"))  # fmt: skip
        elif not 0 < segment < ID_RANGE:
            report(error("segment id out of range", file, where, "this id cannot be written as a PNG colour",
                         "Number segments 1 to 16777215; 0 is void"))  # fmt: skip
        else:
            seen.add(segment)
            continue
        faulty = True
    return faulty


def _missing(path: Path, image_id: int) -> DatasetIssue:
    return error("missing image", path.name, f"image {image_id}", "there is no prediction of this image",
                 "Add one (a black PNG and no segments if nothing was found)")  # fmt: skip
