"""Other ways to search the same vectors: FAISS, and LanceDB's own indexes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int64
from lancedb.index import IvfRq
from lancedb.table import Table
from synthetic_album import Queries, Vectors

from find.retrieval.vectors import Vectors as RowVectors
from find.tasks.late_interaction import late_interaction

MOST = 16  # object vectors of an image

ABOUT = {
    "FAISS flat, image vectors": "FAISS flat compares image vectors with the sentence alone, exactly.",
    "LanceDB multivector index": "LanceDB's multivector index (IVF with RaBitQ codes) sums each entity's best match "
    "and knows no sentence.",
    "LanceDB indexes, union": "LanceDB's indexes of both columns give 1,000 candidates for the sentence and for each "
    "entity; their union is scored exactly.",
}
"""What peers do, by their names in the results."""


def build_index(table: Table, column: str) -> None:
    table.create_index(column, config=IvfRq(distance_type="cosine", sample_rate=64, max_iterations=10))


def faiss_search(
    images: Float[torch.Tensor, "i d"], queries: Queries, k: int
) -> Callable[[int], Int64[np.ndarray, " k"]]:
    import faiss  # for the rest of the benchmarks it need not be there

    index = faiss.IndexFlatIP(images.shape[1])
    for chunk in images.split(100_000):
        index.add(chunk.float().numpy())
    return lambda number: index.search(queries.sentences[number : number + 1].numpy(), k)[1][0]


def lance_search(table: Table, queries: Queries, k: int) -> Callable[[int], Int64[np.ndarray, " k"]]:
    """LanceDB's sum of best matches over its index of object vectors; it knows no sentence beside the entities."""

    def search(number: int) -> Int64[np.ndarray, " k"]:
        entities = queries.entities[number][~queries.padding[number]].numpy()
        found = table.search(entities, vector_column_name="objects").distance_type("cosine").nprobes(20)
        found = found.refine_factor(10).limit(k).select(["path", "_distance"]).to_arrow()
        return np.array([int(path) for path in found["path"].to_pylist()])

    return search


def union_search(table: Table, queries: Queries, k: int) -> Callable[[int], Int64[np.ndarray, " k"]]:
    """The nearest 1,000 of the sentence and of each entity by LanceDB's indexes, their union scored exactly."""

    def rows(column: str, vector: Float[torch.Tensor, " d"]) -> Int64[np.ndarray, " r"]:
        found = table.search(vector.numpy(), vector_column_name=column).distance_type("cosine").nprobes(20)
        return found.limit(1000).with_row_id(True).select(["_distance"]).to_arrow()["_rowid"].to_numpy()

    def search(number: int) -> Int64[np.ndarray, " k"]:
        entities = queries.entities[number][~queries.padding[number]]
        found = [rows("image", queries.sentences[number]), *(rows("objects", entity) for entity in entities)]
        stored = table.take_row_ids(np.unique(np.concatenate(found)).tolist())
        stored = stored.select(["path", "image", "objects"]).to_arrow()
        vectors = stored_vectors(stored)
        one = slice(number, number + 1)
        scores = late_interaction(
            vectors.images, vectors.objects, queries.sentences[one], queries.entities[one], queries.padding[one]
        )
        best = scores[0].topk(k).indices
        return np.array([int(path) for path in stored["path"].take(pa.array(best.numpy())).to_pylist()])

    return search


def stored_vectors(rows: pa.Table) -> Vectors:
    """Columns `image` and `objects` as tensors; fewer objects are filled up with the first one."""
    stored = RowVectors.of(rows.append_column("_rowid", pa.array(np.arange(len(rows)))), MOST)
    return Vectors(stored.images, stored.objects)
