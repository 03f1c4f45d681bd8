"""An album in Qdrant: image vectors and object multivectors as points of a collection, and our score as its query."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException
from torch import Tensor

from find.errors import FindError, InputError
from find.retrieval.chains import match_chain
from find.retrieval.vector_types import decoded
from find.retrieval.vectors import QueryVectors, Vectors
from find.tasks.structured_interaction import CHAINS

if TYPE_CHECKING:
    from find.retrieval.album import Album

BATCH = 256
_POINTS = uuid.UUID("6d1f3a52-5f0b-4f3e-9a37-7d0f9d1b8a11")  # names of points are made below this one
_FACTS = ("path", "frame", "seconds", "time", "width", "height", "bytes", "modified", "scores", "boxes", "masks")


def export(album: Album, client: QdrantClient, collection: str, *, replace: bool = False) -> int:
    """Writes an album into a new collection; returns the number of points.

    A point has the vectors `image` (cosine) and `objects` (a multivector: cosine, sum of best matches), both in half
    precision, and as payload the image's columns of the album's table, its masks in base64 and the model's
    fingerprint. An image has the same point whenever and wherever its album is exported.

    Args:
        replace: delete a collection of that name first.

    Raises:
        FindError: the collection exists, or Qdrant cannot be reached or reports an error.
    """
    try:
        if client.collection_exists(collection):
            if not replace:
                raise InputError(f"Qdrant has a collection {collection!r} already; give another name, or --replace it")
            client.delete_collection(collection)
        dim, half = album.stamp.dim, models.Datatype.FLOAT16
        many = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
        client.create_collection(
            collection,
            vectors_config={
                "image": models.VectorParams(size=dim, distance=models.Distance.COSINE, datatype=half),
                "objects": models.VectorParams(
                    size=dim, distance=models.Distance.COSINE, datatype=half, multivector_config=many
                ),
            },
        )
        count = 0
        for points in _points(album):
            client.upsert(collection, points, wait=True)
            count += len(points)
        return count
    except (ApiException, OSError) as error:
        raise FindError(f"Qdrant: {' '.join(str(error).split())[:300]}") from error


def search(
    client: QdrantClient, collection: str, vectors: QueryVectors, k: int = 10, *, candidates: int = 1000
) -> list[models.ScoredPoint]:
    """The best `k` points for one embedded query, by the album's score, with their payload.

    Qdrant's multivector score is the sum of the entities' terms, which half of their mean is made of. Exact where
    `candidates`, which the sentence and the entities propose each, are as many as there are points; a point that only
    one of the two proposes scores 0 for the other. Chains are solved here, for the best CHAINS points.
    """
    if not vectors.is_chain[0]:
        return _search(client, collection, vectors, k, candidates, with_vectors=False)
    points = _search(client, collection, vectors, max(CHAINS, 2 * k), max(candidates, CHAINS), with_vectors=True)
    if not points:
        return []
    scores = match_chain(vectors, _vectors(points)).score
    best = scores.sort(descending=True, stable=True).indices[:k].tolist()
    return [points[number].model_copy(update={"score": scores[number].item(), "vector": None}) for number in best]


def _search(
    client: QdrantClient, collection: str, vectors: QueryVectors, k: int, candidates: int, *, with_vectors: bool
) -> list[models.ScoredPoint]:
    """The best points by each entity's best object."""
    entities = vectors.entities[0][~vectors.padding[0]].tolist()
    prefetch = [models.Prefetch(query=vectors.query[0].tolist(), using="image", limit=candidates)]
    if not entities:
        return client.query_points(collection, query=prefetch[0].query, using="image", limit=k).points
    if not vectors.query.any():
        return client.query_points(collection, query=entities, using="objects", limit=k).points
    prefetch.append(models.Prefetch(query=entities, using="objects", limit=candidates))
    sentence = models.MultExpression(mult=[vectors.sentence_weight.item(), "$score[0]"])
    share = models.MultExpression(mult=[vectors.entity_weight.item() / len(entities), "$score[1]"])
    score = models.FormulaQuery(
        formula=models.SumExpression(sum=[sentence, share]), defaults={"$score[0]": 0.0, "$score[1]": 0.0}
    )
    return client.query_points(collection, prefetch=prefetch, query=score, limit=k, with_vectors=with_vectors).points


def _vectors(points: Sequence[models.ScoredPoint]) -> Vectors:
    """These points' vectors as the album's table would give them."""
    counts = torch.tensor([len(point.vector["objects"]) for point in points])
    there = torch.arange(int(counts.max())) < counts[:, None]

    def padded(rows: Sequence[Sequence[float]]) -> Tensor:
        rows = torch.tensor(rows)
        return torch.cat([rows, rows[:1].expand(there.shape[1] - len(rows), -1)])

    sides = torch.tensor([[point.payload[name] for name in ("width", "height") * 2] for point in points])
    return Vectors(
        rows=np.arange(len(points)),
        images=torch.tensor([point.vector["image"] for point in points]),
        objects=torch.stack([padded(point.vector["objects"]) for point in points]),
        boxes=torch.stack([padded(point.payload["boxes"]) for point in points]) / sides[:, None],
        there=there,
    )


def _points(album: Album) -> Iterator[list[models.PointStruct]]:
    columns = ["image", "objects", *_FACTS]
    for batch in album.table.search().select(columns).to_batches(BATCH):
        if batch.num_rows:
            rows = decoded(pa.Table.from_batches([batch])).to_pylist()
            yield [_point(row, album.stamp.fingerprint) for row in rows]


def _point(row: dict[str, object], fingerprint: str) -> models.PointStruct:
    payload = {name: _plain(row[name]) for name in _FACTS} | {"fingerprint": fingerprint}
    return models.PointStruct(
        id=str(uuid.uuid5(_POINTS, f"{row['path']}#{row['frame']}")),
        vector={"image": _floats(row["image"]), "objects": [_floats(vector) for vector in row["objects"]]},
        payload=payload,
    )


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    return _floats(value) if isinstance(value, list) and value and isinstance(value[0], np.floating) else value


def _floats(values: object) -> list[float]:
    return [float(value) for value in values]
