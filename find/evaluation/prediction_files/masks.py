"""Masks for the entities of queries (grounding, interleaved segmentation): a JSON of queries and COCO RLE masks."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from msgspec import Struct

from find.data.coco import CocoFolder
from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.records import Record, brief, read_document
from find.data.schema import Id
from find.evaluation.mask_ap import encode
from find.evaluation.prediction_files.query_parts import Parts, entities_in, key_of
from find.evaluation.prediction_files.results import bad_mask
from find.images.rle import checked_runs, decode
from find.model.predictions import EntityMask

error = partial(DatasetIssue, Severity.ERROR)


@dataclass
class QueryRecords:
    """Queries in the order in which a protocol asks them; repeated queries of an image are listed repeatedly."""

    records: list[dict[str, Any]] = field(default_factory=list)

    def add(self, image_id: int, parts: Parts) -> int:
        """Adds a query; returns its id in the file."""
        self.records.append({"id": len(self.records), "image_id": image_id, "parts": parts})
        return len(self.records) - 1


@dataclass
class MaskWriter:
    """Collects queries and their masks, and writes them to a file."""

    queries: QueryRecords = field(default_factory=QueryRecords)
    masks: list[dict[str, Any]] = field(default_factory=list)

    def add(self, image_id: int, parts: Parts, answers: Sequence[EntityMask]) -> None:
        query = self.queries.add(image_id, parts)
        for entity, answer in enumerate(answers):
            self.masks.append(
                {
                    "query_id": query,
                    "entity": entity,
                    "segmentation": encode(np.asarray(answer.mask, bool)),
                    "score": float(answer.score),
                }
            )

    def write(self, path: Path) -> None:
        write_records(path, queries=self.queries.records, masks=self.masks)


FIX = "Write the record again, as docs/bench-formats.md says"


class QueryRecord(Record):
    fix: ClassVar[str] = FIX

    id: Id
    image_id: Id
    parts: list[str | dict[str, Any]]

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"query {brief(raw.get('id'))}"


class MaskRecord(Record):
    fix: ClassVar[str] = FIX
    unchecked: ClassVar[tuple[str, ...]] = ("score",)

    query_id: Id
    entity: Id
    segmentation: Any
    score: float = 1.0

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"mask of query {brief(raw.get('query_id'))}, entity {brief(raw.get('entity'))}"


class MaskDocument(Struct):
    queries: list[QueryRecord]
    masks: list[MaskRecord]


@dataclass(frozen=True)
class MaskFile:
    """Queries with their masks; when a query is repeated for an image, its k-th use gets its k-th answer."""

    path: Path
    folder: CocoFolder
    queries: Mapping[int, dict[str, Any]]
    masks: Mapping[int, Mapping[int, dict[str, Any]]]  # query id -> index of the entity -> record
    asked: Mapping[tuple[int, str], tuple[int, ...]]  # image and key of a query -> its ids in the file

    @classmethod
    def read(cls, path: Path, folder: CocoFolder, report: Report) -> MaskFile:
        """Reads the JSON; records that cannot be used are reported and left out.

        Raises:
            FindError: the file is missing, is not JSON, or lacks one of its two lists.
        """
        document = read_document(path, MaskDocument, report)
        queries: dict[int, dict[str, Any]] = {}
        asked: dict[tuple[int, str], list[int]] = defaultdict(list)
        for record in document.queries:
            query, image_id, parts = record.id, record.image_id, record.parts
            item = f"query {query}"
            if image_id not in folder.table.rows:
                report(error("unknown image id", path.name, item, f"image {image_id} is not in {folder.table.source}",
                             "Remove the query, or give the right split"))  # fmt: skip
            elif query in queries:
                report(error("duplicate", path.name, item, "two queries have this id", "Give each its own id"))
            else:
                queries[query] = {"image_id": image_id, "parts": parts}
                asked[image_id, key_of(parts)].append(query)
        masks: dict[int, dict[int, dict[str, Any]]] = defaultdict(dict)
        for record in document.masks:
            query, entity, score = record.query_id, record.entity, record.score
            item = f"mask of query {query}, entity {entity}"
            if query not in queries:
                report(error("unknown query id", path.name, item, f"there is no query {query} in the file",
                             'Name one of "queries"'))  # fmt: skip
            elif not 0 <= entity < len(entities_in(queries[query]["parts"])):
                count = len(entities_in(queries[query]["parts"]))
                report(error("unknown entity", path.name, item, f"the query has {count} entities, numbered from 0",
                             "Number entities in reading order"))  # fmt: skip
            elif entity in masks[query]:
                report(error("duplicate", path.name, item, "this entity of the query has a mask already",
                             "Keep one of them"))  # fmt: skip
            elif not math.isfinite(score):
                report(error("score is not a number", path.name, item, f"the score is {score}", "Give a finite score"))
            else:
                masks[query][entity] = {"segmentation": record.segmentation, "score": score, "item": item}
        return cls(path, folder, queries, masks, {key: tuple(ids) for key, ids in asked.items()})

    def check(self, wanted: Sequence[tuple[int, Parts]], report: Report) -> None:
        """Reports queries of a protocol that the file does not answer, and masks that cannot be decoded."""
        unused = set(self.queries)
        for image_id, parts in wanted:
            ids = self.asked.get((image_id, key_of(parts)), ())
            unused -= set(ids)
            if not ids:
                report(_unanswered(self.path, image_id, parts))
        for query in sorted(unused):
            record = self.queries[query]
            report(DatasetIssue(Severity.WARNING, "query that is not asked", self.path.name, f"query {query}",
                           f"no protocol asks {_text(record['parts'])} of image {record['image_id']}",
                           "Write the queries with `findvl bench queries`"))  # fmt: skip
        for query, record in self.queries.items():
            size = self.folder.image_size(record["image_id"])
            for entity in range(len(entities_in(record["parts"]))):
                answer = self.masks.get(query, {}).get(entity)
                if answer is None:
                    report(_no_mask(self.path, query, entity))
                    continue
                try:
                    checked_runs(answer["segmentation"], size)
                except ValueError as problem:
                    report(bad_mask(self.path, answer["item"], problem))

    def answer(self, image_id: int, parts: Parts, time: int = 0) -> list[EntityMask]:
        """The masks of a query's entities, for its `time`-th use (from 0).

        Raises:
            FindError: the query has no answer, an entity has no mask, or a mask cannot be decoded.
        """
        ids = self.asked.get((image_id, key_of(parts)), ())
        if not ids:
            raise _unanswered(self.path, image_id, parts).error()
        query = ids[min(time, len(ids) - 1)]
        answers = []
        for entity in range(len(entities_in(parts))):
            answer = self.masks.get(query, {}).get(entity)
            if answer is None:
                raise _no_mask(self.path, query, entity).error()
            try:
                mask = decode(answer["segmentation"], self.folder.image_size(image_id))
            except ValueError as problem:
                raise bad_mask(self.path, answer["item"], problem).error() from problem
            answers.append(EntityMask(mask, answer["score"]))
        return answers


def write_records(path: Path, **lists: Sequence[Mapping[str, Any]]) -> None:
    """A JSON object of lists, one record per line: compact but readable."""
    parts = []
    for name, records in lists.items():
        lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
        parts.append(f'"{name}": [\n{lines}\n]')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")


def _unanswered(path: Path, image_id: int, parts: Parts) -> DatasetIssue:
    return error("missing query", path.name, f"image {image_id}", f"there is no answer to {_text(parts)}",
                 "Answer every query that `findvl bench queries` lists")  # fmt: skip


def _no_mask(path: Path, query: int, entity: int) -> DatasetIssue:
    return error("missing mask", path.name, f"query {query}, entity {entity}", "this entity has no mask",
                 "Give one, if need be an empty one")  # fmt: skip


def _text(parts: Parts) -> str:
    """A query in readable form."""
    words = []
    for part in parts:
        if isinstance(part, str):
            words.append(part)
        elif "phrase" in part:
            words.append(f"{{{part['phrase']}}}")
        else:
            region = part.get("region")
            region = region if isinstance(region, dict) else {}
            words.append(f"[image {region.get('image_id')}, segments {region.get('segment_ids')}]")
    return f'"{"".join(words)}"'
