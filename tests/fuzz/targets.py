"""What is fuzzed: each target takes any bytes, and raises where a parser neither reads them nor tells what is wrong."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from find.data import schema
from find.data.records import read_document, read_list
from find.errors import FindError
from find.evaluation.mask_ap import encode
from find.evaluation.prediction_files.masks import MaskDocument
from find.evaluation.prediction_files.panoptic import PredictedDocument
from find.evaluation.prediction_files.results import ScoredResult
from find.images.rle import checked_runs, decode, runs_of
from find.query.query import Query
from find.retrieval.filters import filter_sql

DOCUMENTS = (
    schema.PanopticDocument, schema.InstanceDocument, schema.CaptionDocument, schema.SentenceDocument,
    schema.ExpressionDocument, schema.FalseSentenceDocument, MaskDocument, PredictedDocument,
)  # fmt: skip


def query_text(data: bytes) -> None:
    """What is typed: a query is written as it was read."""
    text = data.decode("utf-8", "surrogateescape")
    with contextlib.suppress(FindError):
        query = Query.parse(text)
        assert Query.parse(query.format()) == query
        assert Query.from_json(json.loads(json.dumps(query.to_json()))) == query
        assert [query.text[start:end] for start, end in query.spans()] == list(query.entity_names)


def query_json(data: bytes) -> None:
    document = _loaded(data)
    with contextlib.suppress(FindError):
        query = Query.from_json(document)
        assert Query.from_json(json.loads(json.dumps(query.to_json()))) == query
        assert query.text and len(query.connections) == len(query.entities) + 1


def album_filter(data: bytes) -> None:
    """A condition that is let through holds nothing but the columns, and as many brackets as it opens."""
    where, _, value = data.decode("utf-8", "surrogateescape").partition("\n")
    with contextlib.suppress(FindError):
        sql = filter_sql(where, {"a": value} if ":a" in where else None)
        assert not {";", "\0"} & set(_outside_of_quotes(sql)) and "--" not in _outside_of_quotes(sql)


def runs(data: bytes) -> None:
    """A code that is read is that of the mask which it becomes."""
    text = data[1:].decode("latin-1")
    height = 1 + (data[0] if data else 0) % 16
    with contextlib.suppress(ValueError):
        pixels = int(runs_of(text).clip(0).sum())
        if 0 < pixels <= 4096 and pixels % height == 0:
            size = height, pixels // height
            mask = decode({"size": list(size), "counts": text}, size)
            again = checked_runs(encode(mask), size)
            assert (np.repeat(np.arange(len(again)) % 2 == 1, again).reshape(size, order="F") == mask).all()


def annotations(data: bytes) -> None:
    """Each entry of each list is read, or told."""
    kind, content = DOCUMENTS[(data[0] if data else 0) % len(DOCUMENTS)], data[1:]
    expected: list[Any] = []
    with tempfile.NamedTemporaryFile(suffix=".json", dir=_memory()) as file:
        file.write(content)
        file.flush()
        with contextlib.suppress(FindError):
            found = read_document(Path(file.name), kind, expected.append)
            entries = json.loads(content.decode("utf-8-sig", "replace"))  # fields that nobody reads may hold any bytes
            for name in kind.__struct_fields__:
                assert expected or len(getattr(found, name)) == len(entries[name])
        with contextlib.suppress(FindError):
            read_list(Path(file.name), ScoredResult, expected.append, "a list")
    for one in expected:
        assert str(one).encode("utf-8", "surrogatepass") and "\n" not in str(one)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (query_text, query_json, album_filter, runs, annotations)
}
JSON_STARTS = {"query_json": 0, "annotations": 1}
"""Targets that read JSON, and the byte where it starts."""


def _loaded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _outside_of_quotes(sql: str) -> str:
    kept, quote = "", ""
    for character in sql:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"`":
            quote, kept = character, kept + "''"
        else:
            kept += character
    return kept


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
