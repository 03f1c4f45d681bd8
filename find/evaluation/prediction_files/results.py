"""COCO's instance and stuff result formats: JSON lists of masks as run-length codes, each with image and category."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Int

from find.data.coco import CocoFolder
from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.records import Record, brief, read_list
from find.data.schema import Id
from find.images.rle import checked_runs, decode

error = partial(DatasetIssue, Severity.ERROR)
warning = partial(DatasetIssue, Severity.WARNING)


class Result(Record):
    """A mask with a category, in the format of COCO's stuff challenge."""

    fix: ClassVar[str] = "Write the record again, as docs/bench-formats.md says"

    image_id: Id
    category_id: Id
    segmentation: Any

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"result {number} of image {brief(raw.get('image_id'))}"


class ScoredResult(Result):
    """An instance."""

    unchecked: ClassVar[tuple[str, ...]] = ("score",)

    score: float


@dataclass(frozen=True)
class ResultFile:
    """Masks with categories, by image id and in the order of the file; decoded on demand."""

    path: Path
    folder: CocoFolder
    records: Mapping[int, list[dict[str, Any]]]

    @classmethod
    def read(cls, path: Path, folder: CocoFolder, report: Report, *, scored: bool) -> ResultFile:
        """Reads the list; records that cannot be used are reported and omitted. `scored`: each needs a score.

        Raises:
            FindError: the file is missing, or not a JSON list of objects.
        """
        records: dict[int, list[dict[str, Any]]] = defaultdict(list)
        is_thing = {category.id: category.is_thing for category in folder.categories}
        kind = ScoredResult if scored else Result
        for number, record in read_list(path, kind, report, "COCO's result format"):
            image_id, category = record.image_id, record.category_id
            score = record.score if isinstance(record, ScoredResult) else 1.0
            item = f"result {number} of image {image_id}"
            if image_id not in folder.table.rows:
                report(error("unknown image id", path.name, item, f"the image is not in {folder.table.source}",
                             "Remove the result, or give the right split"))  # fmt: skip
            elif category not in is_thing:
                report(error("unknown category", path.name, item, f"category {category} is not in "
                             f"{folder.table.source}", "Give the data set's own category ids"))  # fmt: skip
            elif scored and not is_thing[category]:
                report(error("stuff among instances", path.name, item, f"category {category} is stuff, which has no "
                             "instances", "Leave stuff out of this file"))  # fmt: skip
            elif not math.isfinite(score):
                report(error("score is not a number", path.name, item, f"the score is {score}",
                             "Give a finite score; higher is more confident"))  # fmt: skip
            else:
                records[image_id].append(
                    {"category_id": category, "score": score, "segmentation": record.segmentation, "item": item}
                )
        return cls(path, folder, records)

    def check(self, image_ids: Iterable[int], report: Report, *, exclusive: bool) -> None:
        """Reports images without results, masks that cannot be decoded, and exact duplicates.

        `exclusive`: the masks of an image may not overlap (a semantic map).
        """
        for image_id in image_ids:
            results = self.records.get(image_id, [])
            if not results:
                report(warning("image without results", self.path.name, f"image {image_id}",
                               "nothing was found in it", "Nothing, if the model found nothing"))  # fmt: skip
            size = self.folder.image_size(image_id)
            taken = np.zeros(size, bool)
            seen: dict[str, str] = {}
            for result in results:
                try:
                    checked_runs(result["segmentation"], size)
                except ValueError as problem:
                    report(bad_mask(self.path, result["item"], problem))
                    continue
                code = json.dumps([result["category_id"], result["segmentation"]["counts"]])
                if code in seen:  # two proposals may have the same mask: the second counts as a false positive
                    report((error if exclusive else warning)("duplicate", self.path.name, result["item"],
                           f"category and mask are those of {seen[code]}", "Keep one of them"))  # fmt: skip
                elif exclusive:
                    mask = decode(result["segmentation"], size)
                    if (taken & mask).any():
                        report(error("overlapping masks", self.path.name, result["item"],
                                     f"{int((taken & mask).sum())} pixels have a class already",
                                     "Give each pixel to one class"))  # fmt: skip
                    taken |= mask
                seen.setdefault(code, result["item"])

    def results(self, image_id: int) -> list[dict[str, Any]]:
        """One image's results in COCO's format, in the order of the file; masks were checked by `check`."""
        return [
            {"image_id": image_id, **{name: value for name, value in result.items() if name != "item"}}
            for result in self.records.get(image_id, [])
        ]

    def semantic(self, image_id: int) -> Int[np.ndarray, "h w"]:
        """One image's class indices, -1 where there is no mask. Raises `FindError`."""
        size = self.folder.image_size(image_id)
        labels = np.full(size, -1, np.int64)
        index_of = {category.id: category.index for category in self.folder.categories}
        for result in self.records.get(image_id, []):
            labels[self._mask(result, size)] = index_of[result["category_id"]]
        return labels

    def _mask(self, result: Mapping[str, Any], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
        try:
            return decode(result["segmentation"], size)
        except ValueError as problem:
            raise bad_mask(self.path, result["item"], problem).error() from problem


def bad_mask(path: Path, item: str, problem: Exception) -> DatasetIssue:
    kind = "wrong size" if "'s size is" in str(problem) else "broken mask"
    return error(kind, path.name, item, str(problem), "Encode masks at the image's own size")
