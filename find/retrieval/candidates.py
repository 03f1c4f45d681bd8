"""Two-stage search of large albums: every image is scored by a sketch, and the best candidates are scored exactly.

The sketch of an image is its vector and, for each object, the 2-byte index of the nearest of some thousand centroids
(centroid interaction as in PLAID, Santhanam et al. 2022). The cosines of an entity with all centroids are computed once
and looked up for all objects, so candidates are ranked by the sum of all terms, which separate nearest-neighbour
searches for each term cannot do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int64, UInt16, UInt64
from torch import Tensor
from torch.nn.functional import normalize

from find.query.operators import JoinedQuery
from find.retrieval.connection import TABLE, connect
from find.retrieval.hits import joined_score
from find.retrieval.vector_types import decoded, fixed_lists
from find.retrieval.vectors import QueryVectors, Vectors, vector_rows

if TYPE_CHECKING:
    from lancedb.db import DBConnection
    from lancedb.table import Table

SKETCH, CODEBOOK = "sketch", "codebook"
_CODEBOOK = b"find.codebook"
BRANCHES = 128
"""Branching factor of the tree of centroids, at both of its levels."""
SAMPLE = 16_384
"""Number of images whose objects the centroids are learned from."""
CANDIDATES = 1_000
GROWTH = 4
"""Factor of growth after which an album gets new centroids."""


@dataclass(frozen=True)
class Codebook:
    """A two-level tree of unit vectors: centroids, each with finer centroids below it."""

    coarse: Float[Tensor, "b d"]
    fine: Float[Tensor, "b b d"]

    @classmethod
    def learn(cls, vectors: Float[Tensor, "n d"]) -> Codebook:
        """Spherical k-means, at both levels."""
        coarse = _kmeans(vectors, BRANCHES)
        nearest = (vectors @ coarse.T).argmax(1)
        fine = [_kmeans(vectors[nearest == k], BRANCHES, fallback=coarse[k]) for k in range(BRANCHES)]
        return cls(coarse, torch.stack(fine))

    @classmethod
    def of_rows(cls, rows: Float[Tensor, "r d"]) -> Codebook:
        """Inverse of `rows`."""
        return cls(rows[:BRANCHES], rows[BRANCHES:].view(BRANCHES, BRANCHES, -1))

    @property
    def rows(self) -> Float[Tensor, "r d"]:
        """All vectors, in the order in which they are stored."""
        return torch.cat([self.coarse, self.leaves])

    @property
    def leaves(self) -> Float[Tensor, "l d"]:
        return self.fine.flatten(0, 1)

    @property
    def fingerprint(self) -> bytes:
        """A hash of the stored vectors: codes are valid only with the codebook that made them."""
        return hashlib.blake2b(self.rows.half().numpy().tobytes(), digest_size=16).hexdigest().encode()

    def encode(self, objects: Float[Tensor, "i n d"]) -> UInt16[np.ndarray, "i n"]:
        """The index of the leaf that each vector is assigned to."""
        flat = objects.flatten(0, 1).float()
        branch = (flat @ self.coarse.T).argmax(1)
        codes = torch.empty(len(flat), dtype=torch.int64)
        order = branch.argsort()
        for mine in order.split(torch.bincount(branch, minlength=BRANCHES).tolist()):
            if len(mine):
                at = branch[mine[0]]
                codes[mine] = at * BRANCHES + (flat[mine] @ self.fine[at].T).argmax(1)
        return codes.view(objects.shape[:2]).numpy().astype(np.uint16)


@dataclass(frozen=True)
class Sketch:
    """A compact form of all images of an album: 2 bytes per object, and the image vectors in half precision."""

    codebook: Codebook
    rows: Int64[np.ndarray, " i"]
    images: Float[Tensor, "i d"]
    codes: UInt16[np.ndarray, "n i"]  # object-major, so that a look-up runs over all images

    @classmethod
    def read(cls, album: str, table: Table, objects: int, *, storage: Mapping[str, str] | None = None) -> Sketch:
        """The sketch stored beside the table; rows that it lacks are added in memory only."""
        kept = _kept(album, objects, storage)
        codebook = kept.codebook if kept else learn(table, objects)
        keys, codes = (kept.keys, kept.codes) if kept else (np.zeros(0, np.uint64), np.zeros((0, objects), np.uint16))
        facts = decoded(table.search().select(["digest", "frame", "image"]).with_row_id(True).to_arrow())
        rows = facts["_rowid"].to_numpy().astype(np.int64)
        mine = row_keys(facts)
        found = np.zeros((len(rows), objects), np.uint16)
        place = np.searchsorted(keys, mine).clip(max=max(len(keys) - 1, 0))
        known = keys[place] == mine if len(keys) else np.zeros(len(rows), bool)
        found[known] = codes[place[known]]
        missing = np.flatnonzero(~known)
        for part in np.array_split(missing, -(-len(missing) // 4096)) if len(missing) else ():
            found[part] = codebook.encode(Vectors.take(table, rows[part], objects).objects)
        return cls(codebook, rows, vector_rows(facts["image"]), np.ascontiguousarray(found.T))

    def candidates(
        self, query: JoinedQuery, vectors: QueryVectors, k: int, allowed: Int64[np.ndarray, " r"] | None = None
    ) -> Int64[np.ndarray, " c"]:
        """Rows that should contain the best `k`: at least CANDIDATES, and twenty for each of the `k`.

        Args:
            allowed: rows that pass the filter, sorted.
        """
        scores = joined_score(query, self.scores(vectors))
        rows = self.rows
        if allowed is not None:
            let = np.isin(rows, allowed, assume_unique=True)
            scores, rows = scores[let], rows[let]
        count = max(CANDIDATES, 20 * k)
        if count >= len(rows):
            return rows
        return rows[np.sort(np.argpartition(-scores, count)[:count])]  # in the album's order, which equal scores keep

    def scores(self, vectors: QueryVectors) -> Float[np.ndarray, "q i"]:
        """Approximate scores of all images for each query."""
        kept = (~vectors.padding).float()
        share = vectors.entity_weight[:, None] * kept / kept.sum(1, keepdim=True).clamp(min=1)
        tables = (vectors.entities @ self.codebook.leaves.T).numpy()
        queries = (vectors.query * vectors.sentence_weight[:, None]).to(self.images.dtype).T

        def part(span: slice) -> np.ndarray:
            scores = (self.images[span] @ queries).float().T.numpy()
            for number, entity in (~vectors.padding).nonzero().tolist():
                scores[number] += float(share[number, entity]) * _best_leaf(tables[number, entity], self.codes[:, span])
            return scores

        step = 65_536
        spans = [slice(start, start + step) for start in range(0, len(self.rows), step)]
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return np.concatenate(list(pool.map(part, spans)), axis=1)


def learn(table: Table, objects: int) -> Codebook:
    """Centroids from a random sample of an album's images."""
    rows = table.search().select(["frame"]).with_row_id(True).to_arrow()["_rowid"].to_numpy().astype(np.int64)
    chosen = np.random.default_rng(0).permutation(rows)[:SAMPLE]
    vectors = Vectors.take(table, np.sort(chosen), objects).objects.flatten(0, 1).float()
    return Codebook.learn(vectors)


def update_sketch(album: str, table: Table, objects: int, *, storage: Mapping[str, str] | None = None) -> None:
    """Creates or updates the sketch that is stored beside the table."""
    kept = _kept(album, objects, storage)
    facts = table.search().select(["digest", "frame"]).with_row_id(True).to_arrow()
    keys, first = np.unique(row_keys(facts), return_index=True)
    database = connect(album, storage)
    if kept is None or len(keys) > GROWTH * len(kept.keys):
        codebook, known = learn(table, objects), np.zeros(0, np.uint64)
        _replace(database, CODEBOOK, pa.table({"vector": fixed_lists(codebook.rows.half().numpy())}))
    else:
        codebook, known = kept.codebook, kept.keys
    new = ~np.isin(keys, known)
    if not new.any():
        return
    keys, numbers = keys[new], facts["_rowid"].to_numpy().astype(np.int64)[first[new]]
    order = numbers.argsort()  # in the order of the rows on disk
    codes_of = {_CODEBOOK: codebook.fingerprint}
    schema = pa.schema([("key", pa.uint64()), ("codes", pa.list_(pa.uint16(), objects))], metadata=codes_of)

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(order), 4096):
            mine = order[start : start + 4096]
            codes = codebook.encode(Vectors.take(table, numbers[mine], objects).objects)
            yield pa.RecordBatch.from_arrays([pa.array(keys[mine]), fixed_lists(codes)], schema=schema)

    rows = pa.RecordBatchReader.from_batches(schema, batches())
    if kept is not None and len(known):
        kept.table.add(rows)  # fails if another writer has replaced it since it was read
    else:
        _replace(database, SKETCH, rows)


def row_keys(rows: pa.Table) -> UInt64[np.ndarray, " i"]:
    """A key for the content of each image, from the file's digest and the frame number."""
    digests = rows["digest"].combine_chunks()
    words = np.frombuffer(digests.buffers()[1], np.uint64)[2 * digests.offset :][: 2 * len(digests) : 2]
    return words ^ (rows["frame"].to_numpy().astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))


@dataclass(frozen=True)
class _Kept:
    """The stored sketch of an album: sorted keys, and their codes."""

    codebook: Codebook
    table: Table
    keys: UInt64[np.ndarray, " i"]
    codes: UInt16[np.ndarray, "i n"]


def _kept(album: str, objects: int, storage: Mapping[str, str] | None) -> _Kept | None:
    """The stored sketch, or None if its codes belong to another codebook, as after a run that was killed between
    writing the codebook and the codes."""
    database = connect(album, storage)
    if not {SKETCH, CODEBOOK, TABLE} <= set(database.list_tables().tables):
        return None
    codebook = Codebook.of_rows(vector_rows(database.open_table(CODEBOOK).to_arrow()["vector"]).float())
    sketch = database.open_table(SKETCH)
    of_codebook = (sketch.schema.metadata or {}).get(_CODEBOOK)
    if of_codebook != codebook.fingerprint or sketch.schema.field("codes").type.list_size != objects:
        return None
    rows = sketch.to_arrow()
    keys = rows["key"].to_numpy()
    order = keys.argsort()
    return _Kept(codebook, sketch, keys[order], vector_rows(rows["codes"]).numpy()[order])


def _replace(database: DBConnection, name: str, rows: pa.Table | pa.RecordBatchReader) -> None:
    is_there = name in database.list_tables().tables  # LanceDB warns when a missing table is overwritten
    database.create_table(name, rows, mode="overwrite" if is_there else "create")


def _best_leaf(cosines: Float[np.ndarray, " l"], codes: UInt16[np.ndarray, "n i"]) -> Float[np.ndarray, " i"]:
    best = np.take(cosines, codes[0], mode="clip")
    for row in codes[1:]:
        np.maximum(best, np.take(cosines, row, mode="clip"), out=best)
    return best


def _kmeans(
    vectors: Float[Tensor, "n d"], count: int, *, rounds: int = 10, fallback: Tensor | None = None
) -> Float[Tensor, "k d"]:
    """Unit centroids; empty clusters get `fallback`, or one of the vectors."""
    generator = torch.Generator().manual_seed(0)
    if len(vectors) == 0:
        assert fallback is not None
        return fallback.expand(count, -1)
    start = torch.randperm(len(vectors), generator=generator)[:count]
    centroids = vectors[start.repeat(-(-count // len(start)))[:count]]
    for _ in range(rounds):
        nearest = torch.cat([(part @ centroids.T).argmax(1) for part in vectors.split(65_536)])
        sums = torch.zeros_like(centroids).index_add_(0, nearest, vectors)
        seen = torch.bincount(nearest, minlength=count) > 0
        centroids = torch.where(seen[:, None], normalize(sums, dim=-1), centroids)
    return centroids
