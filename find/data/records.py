"""Reads annotation JSON files by their schemas (`find.data.schema`), and reports every error and conversion.

A valid file is decoded by msgspec directly into records. A file with an error is read again, record by record, so that
each error is reported with file, item and field, and the valid records are used. msgspec instead of pydantic: a
panoptic JSON of COCO's train size (118,287 images, 1.1 million segments) takes 3.0 s and 0.6 GB to become a table;
pydantic's decoding alone takes 12 s and 2.4 GB, plain json without any validation 10 s and 0.8 GB.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import inspect

from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.errors import SURROGATE, DataError, FindError

VISIBLE = r"[^\s\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"
"""A character that can be seen; spaces and signs without width alone are no text."""

BOM = b"\xef\xbb\xbf"
WHOLE = re.compile(r"-?[0-9]{1,18}")
AT = re.compile(r" - at `\$\.?(.*)`$")
WORDS = {"int": "a whole number", "float": "a number", "str": "text", "array": "a list", "object": "an object",
         "bool": "true or false", "null": "null"}  # fmt: skip


class Record(msgspec.Struct):
    """One entry of a list in an annotation file. Undeclared fields are ignored."""

    fix: ClassVar[str] = "Write the record again"
    stops: ClassVar[bool] = True
    """Whether one invalid entry makes the reader reject the file; otherwise the entry is skipped."""
    unchecked: ClassVar[tuple[str, ...]] = ()
    """Fields whose values are validated by their users instead of the schema."""
    parts: ClassVar[str | None] = None
    """A field with a list of records, each of which is read and reported separately."""

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        """The entry's name in messages; any part of the entry may be invalid."""
        return f"entry {number + 1}"


D = TypeVar("D", bound=msgspec.Struct)
R = TypeVar("R", bound=Record)
T = TypeVar("T")


def read_document(path: Path, document: type[D], report: Report) -> D:
    """Reads a file as `document`, a struct of lists of records; invalid entries are reported and skipped.

    Whole numbers may be written as 1.0; written as text ("1") they are accepted, but reported.

    Raises:
        FindError: the file is missing (similar files are named), is not JSON, or lacks one of the lists.
    """
    data = _bytes(path)
    try:
        return _decoder(document).decode(data)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        raw = _loads(data, path)
    lists = {field.name: field.type.item_type.cls for field in inspect.type_info(document).fields}
    _check_lists(raw, tuple(lists), path)
    reader = _RecordReader(path.name, report)
    found = document(**{name: reader.records(raw[name], record) for name, record in lists.items()})
    reader.finish()
    return found


def read_list(path: Path, record: type[R], report: Report, what: str) -> list[tuple[int, R]]:
    """The same for a file with one list, named `what` in messages; returns each entry with its index."""
    data = _bytes(path)
    try:
        return list(enumerate(_decoder(list[record]).decode(data)))
    except (ValueError, RecursionError):
        raw = _loads(data, path)
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        raise DataError(f"{path}: {what} is a JSON list of objects, and this is none. Write such a list.")
    reader = _RecordReader(path.name, report)
    found = list(reader.numbered(raw, record))
    reader.finish()
    return found


def read_json(path: Path, *lists: str) -> Any:
    """The JSON in `path`, an object with a list of objects under each of the names `lists`.

    Raises:
        FindError: the file is missing (similar files are named), is not JSON, or lacks one of the lists.
    """
    data = _loads(_bytes(path), path)
    _check_lists(data, lists, path)
    return data


def read_whole(path: Path, kind: type[T], expected: str) -> T:
    """The JSON in `path` as `kind`, described as `expected` in messages.

    Raises:
        FindError: the file is missing (similar files are named), is not JSON, or has other content.
    """
    data = _bytes(path)
    try:
        return _decoder(kind).decode(data)
    except (ValueError, RecursionError):
        raw = _loads(data, path)
    try:
        return msgspec.convert(raw, kind)
    except ValueError as problem:
        place = AT.search(str(problem))
        where = f"at {place.group(1)}: " if place and place.group(1) else ""
        raise DataError(f"{path}: expected {expected} ({where}{AT.sub('', str(problem))}).") from problem


class _RecordReader:
    """Reads entry by entry, and counts numbers that are written as text."""

    def __init__(self, file: str, report: Report) -> None:
        self.file = file
        self.report = report
        self.as_text = 0
        self.example = ""

    def records(self, entries: list[Any], record: type[R], of: str = "") -> list[R]:
        return [found for _, found in self.numbered(entries, record, of)]

    def numbered(self, entries: list[Any], record: type[R], of: str = "") -> Iterator[tuple[int, R]]:
        """The valid entries, each with its index."""
        for number, raw in enumerate(entries):
            if not isinstance(raw, dict):
                self._broken(record, f"{of}entry {number + 1}", f"it is {brief(raw)}, not an object")
                continue
            item = of + record.item(raw, number)
            try:
                yield number, self._record(raw, record, item)
            except FindError:  # raised for a nested record, by a report that raises
                raise
            except ValueError as problem:
                self._broken(record, item, _explained(str(problem), raw))

    def finish(self) -> None:
        if self.as_text:
            self.report(
                DatasetIssue(Severity.WARNING, "numbers as text", self.file, f"{self.as_text} fields",
                        f"whole numbers are written as text, such as {self.example}, and are read as numbers",
                        "Write them without quotes")
            )  # fmt: skip

    def _record(self, raw: dict[str, Any], record: type[R], item: str) -> R:
        raw = self._with_numbers(raw, record, item)
        parts = raw.get(record.parts) if record.parts else None
        if not isinstance(parts, list):
            return _sound(msgspec.convert(raw, record))
        found = _sound(msgspec.convert({**raw, record.parts: []}, record))
        setattr(found, record.parts, self.records(parts, _part_type(record), of=f"{item}, "))
        return found

    def _with_numbers(self, raw: dict[str, Any], record: type[R], item: str) -> dict[str, Any]:
        changed = {}
        for name in _whole_fields(record):
            value = raw.get(name)
            if isinstance(value, float) and value.is_integer():
                changed[name] = int(value)
            elif isinstance(value, str) and WHOLE.fullmatch(value):
                changed[name] = int(value)
                self.example = self.example or f"'{name}' of {item}"
                self.as_text += 1
        return {**raw, **changed} if changed else raw

    def _broken(self, record: type[Record], item: str, reason: str) -> None:
        self.report(
            DatasetIssue(Severity.ERROR, "malformed record", self.file, item, reason, record.fix, stops=record.stops)
        )


def whole_number(value: Any) -> int:
    """An id as an int; FIND-Bench writes some as strings of digits. Raises ValueError for anything else."""
    if isinstance(value, str):
        if not WHOLE.fullmatch(value):
            raise ValueError(f"invalid literal for a whole number: {brief(value)}")
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{brief(value)} is not a whole number of an id's size")
    return value


def brief(value: Any) -> str:
    """A value as JSON, truncated to fit on a line."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 40 else f"{text[:36]} ..."


def _bytes(path: Path) -> bytes | memoryview:
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # a ValueError: a name with a null byte
        raise DataError(f"{path}: the annotation file cannot be read{_instead(path, error)}.") from error
    return memoryview(data)[len(BOM) :] if data.startswith(BOM) else data


def _loads(data: bytes | memoryview, path: Path) -> Any:
    try:
        return json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: this is not valid JSON ({error}). Download the file again, or write it again as UTF-8."
        ) from error


def _check_lists(data: Any, lists: tuple[str, ...], path: Path) -> None:
    for name in lists:
        records = data.get(name) if isinstance(data, dict) else None
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise DataError(
                f'{path}: the file has no list of objects "{name}". Give a file in COCO\'s layout, '
                f"with {', '.join(lists)}."
            )


def _instead(path: Path, error: Exception) -> str:
    """A hint for a missing file: its folder is missing, or there are files with similar names."""
    if path.exists():
        return f" ({getattr(error, 'strerror', None) or error}). Give a file that you may read"
    if not path.parent.is_dir():
        return f": there is no folder {path.parent}. Give the folder that holds annotations/"
    instances = path.name.replace("panoptic_", "instances_", 1)
    if instances != path.name and (path.parent / instances).is_file():
        return f": it is not there. `findvl bench build {path.parent.parent}` makes it of {instances}"
    names = sorted(file.name for file in path.parent.glob("*.json"))
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return f": it is not there. The folder holds {', '.join(near or names[:8]) or 'no JSON files'}"


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder:
    return msgspec.json.Decoder(kind)


@cache
def _whole_fields(record: type[Record]) -> tuple[str, ...]:
    """The names of fields that hold a whole number, never text."""
    return tuple(
        field.encode_name
        for field in inspect.type_info(record).fields
        if (kinds := getattr(field.type, "types", (field.type,)))
        and any(isinstance(kind, inspect.IntType) for kind in kinds)
        and not any(isinstance(kind, inspect.StrType) for kind in kinds)
    )


@cache
def _part_type(record: type[Record]) -> type[Record]:
    return next(f for f in inspect.type_info(record).fields if f.name == record.parts).type.item_type.cls


def _sound(record: R) -> R:
    """Rejects what Python's JSON parser accepts but msgspec does not: NaN, infinities and lone surrogates."""
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name in record.unchecked:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"the field '{name}' holds {value}, not a number")
        if isinstance(value, str) and SURROGATE.search(value):
            shown = ascii(value)[:40]
            raise ValueError(f"the field '{name}' holds {shown}, which is not valid Unicode: a lone surrogate")
    return record


def _explained(problem: str, raw: Mapping[str, Any]) -> str:
    """Rephrases msgspec's message, with the actual value."""
    place = AT.search(problem)
    text, field = AT.sub("", problem), place.group(1) if place else ""
    missing = re.fullmatch(r"Object missing required field `(.*)`", text)
    if missing:
        inside = f" of '{field}'" if field else ""
        return f"the field '{missing.group(1)}'{inside} is missing"
    expected = re.fullmatch(r"Expected `([^`]*)`(?: (of length \d+|[<>]=? [-+.e\d]+))?(?:, got .*)?", text)
    if not field:
        return text
    if expected is None:
        value = brief(raw.get(re.split(r"[.[]", field)[0]))
        why = "which is empty, or of another form" if "matching regex" in text else f"which is no such value ({text})"
        return f"the field '{field}' holds {value}, {why}"
    names = [name.strip() for name in expected.group(1).split("|")]
    words = " or ".join(dict.fromkeys(WORDS.get(name, name) for name in names))
    limit = f" {expected.group(2)}" if expected.group(2) else ""
    return f"the field '{field}' holds {brief(raw.get(re.split(r'[.[]', field)[0]))}, not {words}{limit}"


def has_words(text: str) -> bool:
    """Whether anything of a text can be seen."""
    return re.search(VISIBLE, text) is not None
