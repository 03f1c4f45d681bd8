"""Late interaction: how well a query, its sentence and its entities, fits an image.

Training, evaluation and search all score with this one function.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

MAX_ELEMENTS = 1 << 24
"""Largest intermediate similarity tensor, in elements (64 MB in float32)."""


@dataclass(frozen=True)
class EntityMatches:
    """What each entity found in each image: the best proposal's cosine and its index."""

    similarity: Float[Tensor, "q e i"]
    object_index: Int64[Tensor, "q e i"]


def match_entities(objects: Float[Tensor, "i n d"], entities: Float[Tensor, "q e d"]) -> EntityMatches:
    """The object proposal of every image that is nearest to every entity (vectors of unit length)."""
    similarity = torch.einsum("qed,ind->qein", entities, objects.to(entities.dtype))
    best = similarity.max(dim=-1)
    return EntityMatches(similarity=best.values, object_index=best.indices)


def late_interaction(
    images: Float[Tensor, "i d"],
    objects: Float[Tensor, "i n d"],
    queries: Float[Tensor, "q d"],
    entities: Float[Tensor, "q e d"],
    entity_padding: Bool[Tensor, "q e"],
    *,
    entity_weight: float = 0.5,
    max_elements: int = MAX_ELEMENTS,
) -> Float[Tensor, "q i"]:
    """Score of every query with every image (FIND, interleaved retrieval).

    ``cos(image, query) + entity_weight * mean over entities of max over objects of cos(object, entity)``

    All vectors have unit length. A query without entities has the sentence term only. `entity_padding` is
    True where a row of `entities` is padding. Works in the precision of `queries`; images may be stored in
    less. Differentiable. The similarities of entities with objects are made in chunks of at most
    `max_elements` elements (one query with one image at least).
    """
    sentence = queries @ images.to(queries.dtype).T
    q, e = entity_padding.shape
    i, n = objects.shape[:2]
    if entity_weight == 0 or 0 in (q, e, i, n):
        return sentence

    entities = entities.masked_fill(entity_padding[..., None], 0)
    kept = (~entity_padding).to(queries.dtype)
    share = kept / kept.sum(dim=1, keepdim=True).clamp(min=1)
    image_chunk = max(1, min(i, max_elements // (e * n)))
    query_chunk = max(1, min(q, max_elements // (e * n * image_chunk)))
    rows = []
    for entity_rows, share_rows in zip(entities.split(query_chunk), share.split(query_chunk), strict=True):
        row = [
            torch.einsum("qei,qe->qi", match_entities(chunk, entity_rows).similarity, share_rows)
            for chunk in objects.split(image_chunk)
        ]
        rows.append(torch.cat(row, dim=1))
    return sentence + entity_weight * torch.cat(rows)
