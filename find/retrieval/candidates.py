"""The first stage of searching a large album: images that may be among the best, found by approximate indexes.

Image vectors and object vectors have an index each (IVF with RaBitQ codes: one bit a dimension). A query's sentence is
looked up among the images and each of its entities among the objects; whatever one of these finds is a candidate, to be
scored exactly. benchmark/search.py measures what this misses.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int64

if TYPE_CHECKING:
    from lancedb.table import Table

INDEXED_FROM = 20_000
"""Images from which on an album has indexes; smaller ones are searched exactly, which is as fast."""

CANDIDATES = 1000
"""Images that the sentence and each entity propose."""

PROBES = 20
"""Partitions of an index that a look-up reads."""

_COLUMNS = ("image", "objects")
_STALE = 0.2  # share of rows that an index may lack: they are searched exactly, so nothing is missed, but slowly


def is_indexed(table: Table) -> bool:
    """Whether `find_candidates` is fast on this table."""
    columns = {column for index in table.list_indices() for column in index.columns}
    return columns.issuperset(_COLUMNS)


def update_indexes(table: Table) -> None:
    """Makes the indexes of an album that has grown large, and takes new rows into those that are there."""
    rows = table.count_rows()
    if rows < INDEXED_FROM:
        return
    if not is_indexed(table):
        build_indexes(table)
        return
    names = [index.name for index in table.list_indices() if set(index.columns) <= set(_COLUMNS)]
    lacking = max(table.index_stats(name).num_unindexed_rows for name in names)
    if lacking > _STALE * rows:
        table.optimize(cleanup_older_than=timedelta(hours=1))


def build_indexes(table: Table) -> None:
    """Trains and writes both indexes, instead of those that are there."""
    from lancedb.index import IvfRq

    for column in _COLUMNS:
        # A tenth of the usual training: its float16 kernels are slow, and the recall is the same.
        config = IvfRq(distance_type="cosine", sample_rate=64, max_iterations=10)
        table.create_index(column, config=config, replace=True)


def find_candidates(
    table: Table,
    sentence: Float[np.ndarray, " d"] | None,
    entities: Sequence[Float[np.ndarray, " d"]],
    *,
    where: str | None = None,
    count: int = CANDIDATES,
    probes: int = PROBES,
) -> Int64[np.ndarray, " c"]:
    """Row ids of images that may be among a query's best, for `Table.take_row_ids`; ascending, each once.

    Args:
        sentence: the query's vector, or None for a search by entities alone.
        entities: one vector each; those that a query excludes have no place here.
        where: an SQL condition on the table's columns that every candidate fulfils.
        count: candidates that each vector proposes, so at most `count * (1 + len(entities))` come back.
        probes: partitions that are read for each vector.
    """
    looked_up = [("image", sentence)] if sentence is not None else []
    # Each entity by itself: LanceDB adds up the matches of several vectors, but one entity's nearest image may lack
    # the other one.
    looked_up += [("objects", entity) for entity in entities]
    found = []
    for column, vector in looked_up:
        look_up = table.search(np.asarray(vector, np.float32), vector_column_name=column)
        look_up = look_up.distance_type("cosine").nprobes(probes).limit(count).with_row_id(True)
        if where is not None:
            look_up = look_up.where(where, prefilter=True)
        found.append(_row_ids(look_up.select(["_distance"]).to_arrow()))
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def _row_ids(rows: pa.Table) -> Int64[np.ndarray, " c"]:
    return rows["_rowid"].to_numpy().astype(np.int64)
