"""An album's vectors as tensors: read from the table, cut to fewer values, scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.functional import normalize

from find.errors import FindError
from find.model.predictions import QueryEmbeddings
from find.tasks.late_interaction import late_interaction

if TYPE_CHECKING:
    from lancedb.table import Table

    from find.query.query import Query
    from find.retrieval.table import Embedder

ENTITY_WEIGHT = 0.5
"""Of the mean of the entities' terms beside the sentence's (FIND, interleaved retrieval)."""


@dataclass(frozen=True)
class Vectors:
    """Images of an album: their row numbers in the table, their vectors, their objects' vectors.

    Images with fewer objects have their first one again, which changes no maximum.
    """

    rows: Int64[np.ndarray, " i"]
    images: Float[Tensor, "i d"]
    objects: Float[Tensor, "i n d"]

    @classmethod
    def of(cls, table: pa.Table, most: int) -> Vectors:
        """From columns `_rowid`, `image` and `objects`; `most` objects an image."""
        images = vector_rows(table["image"])
        objects = table["objects"].combine_chunks()
        starts = objects.offsets.to_numpy()
        counts = np.diff(starts)
        if len(counts) and (counts.min() < 1 or counts.max() > most):
            raise FindError(
                f"an image of the album has {counts.min()} to {counts.max()} objects instead of 1 to {most}"
            )
        number = np.arange(most)
        index = starts[:-1, None] + np.where(number < counts[:, None], number, 0)
        values = objects.values  # with what lies before this slice, as the offsets count it
        flat = values.flatten().to_numpy(zero_copy_only=False).reshape(-1, values.type.list_size)
        return cls(table["_rowid"].to_numpy().astype(np.int64), images, torch.from_numpy(flat[index]))

    @classmethod
    def read(cls, table: Table, most: int) -> Vectors:
        """Of every row of the table."""
        batches = table.search().select(["image", "objects"]).with_row_id(True).to_batches(4096)
        parts = [cls.of(pa.Table.from_batches([batch]), most) for batch in batches if batch.num_rows]
        if not parts:
            dim = table.schema.field("image").type.list_size
            return cls(np.zeros(0, np.int64), torch.zeros(0, dim), torch.zeros(0, most, dim))
        return cls(
            np.concatenate([part.rows for part in parts]),
            torch.cat([part.images for part in parts]),
            torch.cat([part.objects for part in parts]),
        )

    @classmethod
    def take(cls, table: Table, rows: Int64[np.ndarray, " r"], most: int) -> Vectors:
        """Of these rows, in this order."""
        found = take_rows(table, rows, ["image", "objects"])
        return cls.of(found, most)

    def __len__(self) -> int:
        return len(self.rows)

    def cut(self, dim: int) -> Vectors:
        """The first `dim` values of each vector, made unit vectors again (Matryoshka)."""
        if dim == self.images.shape[1]:
            return self
        return Vectors(self.rows, cut(self.images, dim), cut(self.objects, dim))

    def scores(self, queries: QueryVectors) -> Float[Tensor, "q i"]:
        scores = late_interaction(
            self.images,
            self.objects,
            queries.query,
            queries.entities,
            queries.padding,
            entity_weight=ENTITY_WEIGHT,
        )
        return scores * (queries.entity_weight / ENTITY_WEIGHT)[:, None]


@dataclass(frozen=True)
class QueryVectors:
    """Embedded queries on the CPU, with as many values as the album's vectors.

    Where a query's own vector is zero, its entities alone are compared, with their full weight.
    """

    query: Float[Tensor, "q d"]
    entities: Float[Tensor, "q e d"]
    padding: Bool[Tensor, "q e"]

    @classmethod
    def embed(cls, model: Embedder, queries: Sequence[Query], dim: int) -> QueryVectors:
        """Queries as an album of `dim` values compares them: one that is an entity by itself as a thing, not as a
        sentence, since an image that holds a dog is about more than `a dog`. Over the 29 categories of things in 2,000
        images of a synthetic world, that ranks with a mean average precision of 0.95 instead of 0.79.
        """
        found = cls.of(model.embed_queries(queries), dim)
        has_sentence = torch.tensor([not query.is_entity for query in queries])
        return replace(found, query=found.query * has_sentence[:, None])

    @classmethod
    def of(cls, embedded: QueryEmbeddings, dim: int) -> QueryVectors:
        query, entities = (cut(x.float().cpu(), dim) for x in (embedded.query, embedded.entities))
        return cls(query, entities, embedded.padding.cpu())

    @property
    def entity_weight(self) -> Float[Tensor, " q"]:
        """Of the mean of the entities' terms."""
        return torch.where(self.query.any(dim=1), ENTITY_WEIGHT, 1.0)

    def cut(self, dim: int) -> QueryVectors:
        """The first `dim` values of each vector, made unit vectors again."""
        return QueryVectors(cut(self.query, dim), cut(self.entities, dim), self.padding)

    def __getitem__(self, rows: slice) -> QueryVectors:
        return QueryVectors(self.query[rows], self.entities[rows], self.padding[rows])


def cut(vectors: Float[Tensor, "... d"], dim: int) -> Float[Tensor, "... c"]:
    """The first `dim` values, as unit vectors; padding of zeros stays what it is."""
    if dim == vectors.shape[-1]:
        return vectors
    if dim > vectors.shape[-1]:
        raise FindError(f"the vectors have {vectors.shape[-1]} values, {dim} cannot be taken")
    return normalize(vectors[..., :dim].float(), dim=-1).to(vectors.dtype)


def vector_rows(column: pa.ChunkedArray | pa.Array) -> Float[Tensor, "n d"]:
    """A column of fixed-size lists as a tensor of its own."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values = array.flatten().to_numpy(zero_copy_only=False)
    return torch.from_numpy(values.reshape(len(array), array.type.list_size).copy())


def take_rows(table: Table, rows: Int64[np.ndarray, " r"], columns: Sequence[str]) -> pa.Table:
    """Columns of rows by their numbers, in this order; the numbers as `_rowid`."""
    found = table.take_row_ids(rows.tolist()).with_row_id().select(list(columns)).to_arrow()
    numbers = found["_rowid"].to_numpy().astype(np.int64)
    order = numbers.argsort()
    place = order[np.searchsorted(numbers, rows, sorter=order)]
    return found.take(place)
