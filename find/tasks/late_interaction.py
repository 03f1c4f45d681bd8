"""Late interaction: how well a query, its sentence and its entities, fits an image.

Training, evaluation and search all score with this one function.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

CACHE_ELEMENTS = 1 << 20
"""Similarities of a block on a CPU: 4 MB in float32, which stay in the cache until their maximum is taken."""

CONVERTED_ELEMENTS = 1 << 20
"""Values of object vectors that are brought to the queries' precision at once on a CPU: to write all of them into fresh
memory takes several times as long as to score them."""

GPU_ELEMENTS = 1 << 26
"""Similarities of a block on a GPU: 256 MB in float32."""

ROWS_AT_ONCE = 1024
"""Entities of a block, where there are so many."""

ONEDNN_ROWS = 64
"""Both factors have so many rows before a product is worth handing to oneDNN."""


@dataclass(frozen=True)
class EntityMatches:
    """The best proposal of each entity in each image: its cosine and its index."""

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
    max_elements: int | None = None,
) -> Float[Tensor, "q i"]:
    """Score of every query with every image (FIND, interleaved retrieval).

    ``cos(image, query) + entity_weight * mean over entities of max over objects of cos(object, entity)``

    All vectors have unit length. A query without entities has the sentence term only. `entity_padding` is
    True where a row of `entities` is padding. Works in the precision of `queries`; images may be stored in
    less. Differentiable. The similarities of objects with entities are made in blocks of at most `max_elements`
    (one image with one entity at least) and reduced at once; by default as many as a processor's cache holds, or as
    keep a GPU busy.
    """
    sentence = queries @ images.to(queries.dtype).T
    q, e = entity_padding.shape
    i, n = objects.shape[:2]
    if entity_weight == 0 or 0 in (q, e, i, n):
        return sentence

    kept = (~entity_padding).to(queries.dtype)
    share = kept / kept.sum(dim=1, keepdim=True).clamp(min=1)
    rows = entities.masked_fill(entity_padding[..., None], 0).flatten(0, 1)
    places = None
    if rows.device.type == "cpu":  # checking for padding on a GPU would synchronise, for little gain
        places = kept.flatten().nonzero()[:, 0]
        rows = rows[places]
        if len(rows) == 0:
            return sentence
    if max_elements is None:
        max_elements = CACHE_ELEMENTS if rows.device.type == "cpu" else GPU_ELEMENTS
    row_block = max(1, min(ROWS_AT_ONCE, len(rows), max_elements // n))
    image_block = max(1, max_elements // (n * row_block))
    if rows.device.type == "cpu" and objects.dtype != rows.dtype:
        image_block = min(image_block, max(1, CONVERTED_ELEMENTS // objects[0].numel()))
    terms = []
    for chunk in objects.split(image_block):
        vectors = chunk.to(rows.dtype).flatten(0, 1)
        best = torch.cat([_best_objects(vectors, block, n) for block in rows.split(row_block)], dim=1)
        if places is not None:
            best = best.new_zeros(len(chunk), q * e).index_copy(1, places, best)
        terms.append((best.view(len(chunk), q, e) * share).sum(dim=2).T)
    return sentence + entity_weight * torch.cat(terms, dim=1)


def _best_objects(objects: Float[Tensor, "m d"], entities: Float[Tensor, "r d"], n: int) -> Float[Tensor, "i r"]:
    """The largest cosine of each entity with the objects of each image, of which there are `n`, one after another."""
    if torch.is_grad_enabled() and (objects.requires_grad or entities.requires_grad):
        similarity = objects @ entities.T
        return similarity.view(-1, n, len(entities)).max(dim=1).values  # keeps indices for the gradient, no similarity
    return _products(objects, entities).view(-1, n, len(entities)).amax(dim=1)


def _products(left: Float[Tensor, "m d"], right: Float[Tensor, "r d"]) -> Float[Tensor, "m r"]:
    """left @ right.T. Large float32 products on a CPU go through oneDNN: PyTorch's own choice, MKL, leaves AVX-512
    unused on AMD's processors, where that takes half the time. Both work in full float32.
    """
    large = min(len(left), len(right)) >= ONEDNN_ROWS
    if large and left.device.type == "cpu" and left.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        return F.linear(left.to_mkldnn(), right.to_mkldnn()).to_dense()
    return left @ right.T
