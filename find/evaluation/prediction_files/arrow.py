"""Vectors in an Arrow table, for systems whose tools write Arrow, Feather or Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import feather, ipc, parquet

from find.data.dataset_issue import Report
from find.data.records import whole_number
from find.errors import DataError
from find.evaluation.prediction_files.vectors import Vectors, error

COLUMNS = ("kind", "key", "vector", "parts")


def read_table(path: Path, report: Report) -> Vectors:
    """Reads the columns kind, key, vector and parts (see docs/bench-formats.md).

    Raises:
        FindError: the file cannot be read, or it has no such columns.
    """
    readers = {
        ".parquet": parquet.read_table,
        ".feather": feather.read_table,
        ".arrow": lambda file: ipc.open_file(pyarrow.memory_map(str(file))).read_all(),
    }
    try:
        table = readers[path.suffix](path)
        table.validate(full=True)  # places beyond the buffers of a damaged file would be read otherwise
    except (OSError, ValueError, MemoryError, pyarrow.ArrowException) as problem:
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise DataError(f"{path}: the Arrow table cannot be read ({reason}). Write the file again.") from problem
    missing = set(COLUMNS) - set(table.column_names)
    if missing:
        raise DataError(f"{path}: the table has no column {sorted(missing)[0]!r}. It needs {', '.join(COLUMNS)}.")
    vectors = Vectors()
    for row in table.select(COLUMNS).to_batches():
        for record in row.to_pylist():
            _add(record, vectors, path, report)
    return vectors


def _add(record: dict, vectors: Vectors, path: Path, report: Report) -> None:
    kind, key = record["kind"], record["key"]
    item = f"{kind} {key}"
    try:
        rows = {"image": vectors.images, "text": vectors.texts, "query": vectors.queries}.get(str(kind))
        if rows is None:
            raise ValueError("kind must be image, text or query")
        key = whole_number(key) if kind == "image" else _text(key)
        vector = np.array(record["vector"], np.float32)
        if vector.ndim != 1 or not vector.size:
            raise ValueError("the vector must be a list of numbers")
        parts = np.array(record["parts"] or [], np.float32)
        if parts.size and parts.shape[1:] != vector.shape:
            raise ValueError(f"its parts must be vectors of {len(vector)} numbers, as its own")
        parts = parts.reshape(-1, len(vector))
    except (TypeError, ValueError, OverflowError) as problem:
        report(error("malformed record", path.name, item, str(problem), "Write the row again"))
        return
    if key in rows:
        report(error("duplicate", path.name, item, "it is given twice", "Keep one of them"))
        return
    if kind == "image":
        rows[key] = vector, parts if len(parts) else vector[None]
    elif kind == "query":
        rows[key] = vector, parts
    else:
        rows[key] = vector


def _text(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError("the key must be text")
    return key
