"""Ranks the rows of an album for a query, exactly or in two stages, and splits scores into their terms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from find.errors import InputError, shown
from find.query.operators import JoinedQuery
from find.retrieval.candidates import Sketch
from find.retrieval.chains import match_chain
from find.retrieval.connection import UnreadableAlbum, first_line, is_of_store
from find.retrieval.filters import FILE_COLUMNS, filter_sql, metadata_columns
from find.retrieval.hits import ConnectionFit, ScorePart, joined_score
from find.retrieval.table import Stamp, reading
from find.retrieval.vectors import QueryVectors, Vectors
from find.tasks.late_interaction import match_entities
from find.tasks.structured_interaction import CHAINS

if TYPE_CHECKING:
    from lancedb.table import Table

    from find.query.query import Query


class Ranking:
    """One version of an album's table, with the vectors or the sketch read from it.

    Args:
        name: the album's name, for messages.
        exact_rows: maximum rows of a table that is scored exactly; larger ones are searched in two stages.
    """

    def __init__(
        self, *, name: str, table: Table, stamp: Stamp, exact_rows: int, storage: Mapping[str, str] | None
    ) -> None:
        self.name, self.table, self.stamp, self.storage = name, table, stamp, storage
        self._rows = table.count_rows()
        self._is_exact = self._rows <= exact_rows
        self._read: dict[int, Vectors] = {}  # complete, and truncated to the last requested number of values

    def __len__(self) -> int:
        return self._rows

    def load(self) -> None:
        """Reads ahead what the first search would otherwise read."""
        if self._is_exact:
            self._vectors(self.stamp.dim)
        else:
            _ = self._sketch

    def image_vectors(self) -> tuple[Int64[np.ndarray, " i"], Float[Tensor, "i d"]]:
        """Numbers of all rows, in order, and their images' vectors."""
        if self._is_exact:
            vectors = self._vectors(self.stamp.dim)
            rows, images = vectors.rows, vectors.images
        else:
            rows, images = self._sketch.rows, self._sketch.images
        order = np.argsort(rows)
        return rows[order], images[torch.from_numpy(order)]

    def checked_dim(self, dim: int | None) -> int:
        """The checked number of values to compare; None means all."""
        if dim is not None and not 0 < dim <= self.stamp.dim:
            raise InputError(f"{self.name}: its vectors have {self.stamp.dim} values, {dim} cannot be taken")
        return dim or self.stamp.dim

    def allowed(self, where: str | None, values: Mapping[str, object] | None) -> Int64[np.ndarray, " r"] | None:
        """The rows that pass a filter, sorted; None means all."""
        if where is None:
            if values:
                raise InputError("there are values for a filter, but no filter (where=...)")
            return None
        sql = filter_sql(where, values)
        absent = sorted(metadata_columns(where) - set(self.table.schema.names))
        if absent:
            raise InputError(
                f"{self.name}: this album was made by an earlier version, which did not keep {absent[0]}; make a new "
                "one with: findvl index PHOTOS NEW_ALBUM"
            )
        try:
            found = self.table.search().where(sql).select(["frame"]).with_row_id(True).to_arrow()
        except BaseException as error:
            if not is_of_store(error):
                raise
            with reading(self.name):  # if the columns themselves cannot be read, the album is damaged
                for _ in self.table.search().select(list(FILE_COLUMNS)).to_batches():
                    pass
            raise InputError(f"filter {shown(where)}: {first_line(error)}") from error
        return np.sort(found["_rowid"].to_numpy().astype(np.int64))

    def best(
        self, query: JoinedQuery, asked: QueryVectors, k: int, allowed: Int64[np.ndarray, " r"] | None, dim: int
    ) -> tuple[Int64[np.ndarray, " k"], Float[np.ndarray, " k"]]:
        """Row numbers and scores of the best `k` allowed rows; equal scores keep the table's order.

        Chains are solved for the best CHAINS rows by their estimates.

        Args:
            asked: one row for each query of `query`, with all values; the first `dim` are compared.
        """
        if self._is_exact:
            vectors = self._vectors(dim)
        else:
            candidates = self._sketch.candidates(query, asked, k, allowed)
            vectors = Vectors.take(self.table, candidates, self.stamp.objects).cut(dim)
            allowed = None
        scores = torch.from_numpy(joined_score(query, vectors.scores(asked.cut(dim)).numpy()))
        if not scores.isfinite().all():
            raise UnreadableAlbum(f"{self.name}: vectors of this album are damaged (NaN); index the photos again")
        if allowed is not None:
            scores[torch.from_numpy(~np.isin(vectors.rows, allowed, assume_unique=True))] = -torch.inf
            k = min(k, len(allowed))
        order = scores.sort(descending=True, stable=True).indices
        if asked.is_chain.any():
            order = order[: max(CHAINS, 2 * k)].sort().values  # back in the album's order, which equal scores keep
            order = order[scores[order] > -torch.inf]
            exact = torch.from_numpy(joined_score(query, exact_scores(asked.cut(dim), vectors[order]).numpy()))
            best = exact.sort(descending=True, stable=True).indices[:k]
            return vectors.rows[order[best].numpy()], exact[best].numpy()
        first = order[:k].numpy()
        return vectors.rows[first], scores.numpy()[first]

    def _vectors(self, dim: int) -> Vectors:
        read = self._read
        if dim not in read:
            whole = read.get(self.stamp.dim) or Vectors.read(self.table, self.stamp.objects)
            self._read = read = {self.stamp.dim: whole, dim: whole.cut(dim)}
        return read[dim]

    @cached_property
    def _sketch(self) -> Sketch:
        return Sketch.read(self.name, self.table, self.stamp.objects, storage=self.storage)


def exact_scores(asked: QueryVectors, vectors: Vectors) -> Float[Tensor, "q i"]:
    """The score of every query with every image, including connections."""
    scores = vectors.scores(asked)
    for number in asked.is_chain.nonzero()[:, 0].tolist():
        scores[number] = match_chain(asked[number : number + 1], vectors).score
    return scores


def score_parts(query: JoinedQuery, asked: QueryVectors, vectors: Vectors) -> list[tuple[ScorePart, ...]]:
    """For each image, the contribution of each query to its score."""
    columns = []
    for number, one in enumerate(query.queries):
        mine = asked[number : number + 1]
        parts = _chain_parts if mine.is_chain else _published_parts
        columns.append(parts(one, number >= len(query.include), mine, vectors))
    return list(zip(*columns, strict=True))


def _published_parts(query: Query, is_excluded: bool, asked: QueryVectors, vectors: Vectors) -> list[ScorePart]:
    scores = vectors.scores(asked)[0].tolist()
    count = len(query.entities) or int((~asked.padding[0]).sum())
    matches = match_entities(vectors.objects.float(), asked.entities[:, :count])
    sentence = vectors.images.float() @ asked.query[0]
    has_sentence = bool(asked.query[0].any())
    return [
        ScorePart(
            query=query,
            is_excluded=is_excluded,
            score=scores[image],
            image_term=float(sentence[image]) if has_sentence else None,
            entity_terms=tuple(matches.similarity[0, :, image].tolist()),
            objects=tuple(matches.object_index[0, :, image].tolist()),
        )
        for image in range(len(vectors))
    ]


def _chain_parts(query: Query, is_excluded: bool, asked: QueryVectors, vectors: Vectors) -> list[ScorePart]:
    found = match_chain(asked, vectors)
    sentence = vectors.images.float() @ asked.query[0]
    assert asked.connections is not None
    weights = asked.connections.weights
    link, place = weights.link.item(), weights.place.item()
    texts = query.connections
    parts = []
    for image in range(len(vectors)):
        fits = []
        links, reaches, after, before = (
            x[image].tolist() for x in (found.links, found.reaches, found.after, found.before)
        )
        for k, text in enumerate(texts):
            if text and 0 < k < len(after):
                fits.append(ConnectionFit(text, (k - 1 - reaches[k - 1], k), links[k - 1], link))
            if text and k > 0:
                fits.append(ConnectionFit(text, (k - 1,), before[k - 1], place))
            if text and k < len(after):
                fits.append(ConnectionFit(text, (k,), after[k], place))
        parts.append(
            ScorePart(
                query=query,
                is_excluded=is_excluded,
                score=found.score[image].item(),
                image_term=float(sentence[image]),
                entity_terms=tuple(found.similarity[image].tolist()),
                objects=tuple(found.objects[image].tolist()),
                fits=tuple(fits),
                sentence_weight=weights.sentence.item(),
                entity_weight=weights.entity.item(),
            )
        )
    return parts
