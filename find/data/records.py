"""Reading annotation JSON: a missing, broken or misshapen file gets one clear error."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from find.data.dataset_issue import Anomaly, Severity
from find.errors import FindError


def read_json(path: Path, *lists: str) -> dict[str, Any]:
    """The JSON object in `path`, which holds a list of objects under each of the names `lists`.

    Raises:
        FindError: the file is missing (similar files are named), is no JSON, or lacks one of the lists.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise FindError(f"{path}: the annotation file cannot be read{_instead(path)}.") from error
    try:
        data = json.loads(text)
    except ValueError as error:
        raise FindError(f"{path}: this is not valid JSON ({error}). Download or write the file again.") from error
    for name in lists:
        records = data.get(name) if isinstance(data, dict) else None
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise FindError(
                f'{path}: the file has no list of objects "{name}". Give a file in COCO\'s layout, '
                f"with {', '.join(lists)}."
            )
    return data


def _instead(path: Path) -> str:
    """What the reader may have meant: the folder above is missing, or files of a similar name lie there."""
    if not path.parent.is_dir():
        return f": there is no folder {path.parent}. Give the folder that holds annotations/"
    names = sorted(file.name for file in path.parent.glob("*.json"))
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return f". The folder holds {', '.join(near or names[:8]) or 'no JSON files'}"


def whole_number(value: Any) -> int:
    """An id as int; FIND-Bench writes some as digits in a string. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(f"{value!r} is not a whole number")
    return int(value)


def malformed(file: str, item: str, error: Exception) -> Anomaly:
    """A record that lacks a field, or holds something of another type there."""
    reason = f"the field {error} is missing" if isinstance(error, KeyError) else f"a field is wrong ({error})"
    return Anomaly(Severity.ERROR, "malformed record", file, item, reason, "Write the record again", stops=True)
