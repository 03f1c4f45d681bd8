"""The best rows of an album for a query: all of them scored exactly, or in two stages; and what made their scores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int64

from find.errors import FindError
from find.query.operators import JoinedQuery
from find.retrieval.candidates import Sketch
from find.retrieval.filters import COLUMNS, filter_sql
from find.retrieval.hits import ScorePart, joined_score
from find.retrieval.table import Stamp, first_line, reading
from find.retrieval.vectors import QueryVectors, Vectors
from find.tasks.late_interaction import match_entities

if TYPE_CHECKING:
    from lancedb.table import Table


class Ranking:
    """One version of an album's table, with the vectors or the sketch that were read of it.

    Args:
        name: of the album, for messages.
        exact_rows: of a table that is scored as a whole; larger ones are searched in two stages.
    """

    def __init__(
        self, *, name: str, table: Table, stamp: Stamp, exact_rows: int, storage: Mapping[str, str] | None
    ) -> None:
        self.name, self.table, self.stamp, self.storage = name, table, stamp, storage
        self._rows = table.count_rows()
        self._is_exact = self._rows <= exact_rows
        self._read: dict[int, Vectors] = {}  # whole, and cut to the number of values that was last asked for

    def __len__(self) -> int:
        return self._rows

    def load(self) -> None:
        """Reads what the first search would read."""
        if self._is_exact:
            self._vectors(self.stamp.dim)
        else:
            _ = self._sketch

    def checked_dim(self, dim: int | None) -> int:
        """How many values are compared; None for all."""
        if dim is not None and not 0 < dim <= self.stamp.dim:
            raise FindError(f"{self.name}: its vectors have {self.stamp.dim} values, {dim} cannot be taken")
        return dim or self.stamp.dim

    def allowed(self, where: str | None, values: Mapping[str, object] | None) -> Int64[np.ndarray, " r"] | None:
        """The rows that a filter lets through, sorted; None for all."""
        if where is None:
            if values:
                raise FindError("there are values for a filter, but no filter (where=...)")
            return None
        sql = filter_sql(where, values)
        try:
            found = self.table.search().where(sql).select(["frame"]).with_row_id(True).to_arrow()
        except (ValueError, RuntimeError, OSError) as error:
            with reading(self.name):  # what the filter speaks of: if that cannot be read, the filter is not to blame
                for _ in self.table.search().select(list(COLUMNS)).to_batches():
                    pass
            raise FindError(f"filter {where!r}: {first_line(error)}") from error
        return np.sort(found["_rowid"].to_numpy().astype(np.int64))

    def best(
        self, query: JoinedQuery, asked: QueryVectors, k: int, allowed: Int64[np.ndarray, " r"] | None, dim: int
    ) -> tuple[Int64[np.ndarray, " k"], Float[np.ndarray, " k"]]:
        """Numbers and scores of the best `k` rows among the allowed ones; ties keep the table's order.

        Args:
            asked: a row for each query of `query`, with all values; the first `dim` are compared.
        """
        if self._is_exact:
            vectors = self._vectors(dim)
        else:
            candidates = self._sketch.candidates(query, asked, k, allowed)
            vectors = Vectors.take(self.table, candidates, self.stamp.objects).cut(dim)
            allowed = None
        scores = torch.from_numpy(joined_score(query, vectors.scores(asked.cut(dim)).numpy()))
        if allowed is not None:
            scores[torch.from_numpy(~np.isin(vectors.rows, allowed, assume_unique=True))] = -torch.inf
            k = min(k, len(allowed))
        best = scores.sort(descending=True, stable=True).indices[:k].numpy()
        return vectors.rows[best], scores.numpy()[best]

    def _vectors(self, dim: int) -> Vectors:
        read = self._read
        if dim not in read:
            whole = read.get(self.stamp.dim) or Vectors.read(self.table, self.stamp.objects)
            self._read = read = {self.stamp.dim: whole, dim: whole.cut(dim)}
        return read[dim]

    @cached_property
    def _sketch(self) -> Sketch:
        return Sketch.read(self.name, self.table, self.stamp.objects, storage=self.storage)


def score_parts(query: JoinedQuery, asked: QueryVectors, vectors: Vectors) -> list[tuple[ScorePart, ...]]:
    """For each image, what each query gives to its score."""
    scores = vectors.scores(asked)
    columns = []
    for number, one in enumerate(query.queries):
        count = len(one.entities) or int((~asked.padding[number]).sum())
        matches = match_entities(vectors.objects.float(), asked.entities[number : number + 1, :count])
        sentence = vectors.images.float() @ asked.query[number]
        has_sentence = bool(asked.query[number].any())
        columns.append(
            [
                ScorePart(
                    query=one,
                    is_excluded=number >= len(query.include),
                    score=float(scores[number, image]),
                    image_term=float(sentence[image]) if has_sentence else None,
                    entity_terms=tuple(matches.similarity[0, :, image].tolist()),
                    objects=tuple(matches.object_index[0, :, image].tolist()),
                )
                for image in range(len(vectors))
            ]
        )
    return list(zip(*columns, strict=True))
