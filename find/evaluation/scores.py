"""Ranking scores of the protocols: structured late interaction for models that have a pair term and give boxes, the
published late interaction for all other systems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from find.evaluation.gallery import EmbeddedQueries, ImageGallery
from find.tasks.late_interaction import late_interaction
from find.tasks.structured_interaction import CHAINS, MOST_OBJECTS, QueryBatch, nearest_objects, terms

AT_ONCE = 64
"""Number of queries whose chains are solved at once."""


def own_scores(
    gallery: ImageGallery, rows: Sequence[int], queries: EmbeddedQueries, *, entity_weight: float
) -> Float[np.ndarray, " q"]:
    """Score of query k with the image in row `rows[k]` of the gallery. `entity_weight` is for the published score."""
    asked: dict[int, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        asked[row].append(number)
    scores = np.empty(len(rows), np.float32)
    for row, own in asked.items():
        score = _published if not has_chains(gallery, queries) else _chained
        scores[own] = score(gallery, row, queries, own, entity_weight).numpy()
    return scores


def sentence_terms(gallery: ImageGallery, rows: Sequence[int], queries: EmbeddedQueries) -> Float[np.ndarray, " q"]:
    """The sentence term of query k with the image in row `rows[k]` of the gallery."""
    return (queries.query * gallery.image[list(rows)]).sum(dim=1).numpy()


def all_scores(
    gallery: ImageGallery, queries: EmbeddedQueries, rows: Sequence[int], *, entity_weight: float
) -> Float[np.ndarray, "q i"]:
    """Scores of the queries `rows` with all images.

    Chains are solved for each query's best CHAINS images; the others rank below them, in their previous order.
    """
    images = gallery.image, gallery.objects
    query, entities, padding = queries.query[rows], queries.entities[rows], queries.padding[rows]
    if not has_chains(gallery, queries):
        return late_interaction(*images, query, entities, padding, entity_weight=entity_weight).numpy()
    with torch.inference_mode():
        weights = queries.connections.weights
        weight = float(weights.entity)
        first = late_interaction(*images, weights.sentence * query, entities, padding, entity_weight=weight)
        chosen = torch.zeros_like(first, dtype=torch.bool).scatter_(
            1, first.topk(min(CHAINS, first.shape[1])).indices, True
        )
        chained = torch.full_like(first, torch.inf)
        for row in range(len(gallery)):
            asked = chosen[:, row].nonzero()[:, 0]
            if len(asked):
                numbers = [rows[number] for number in asked.tolist()]
                chained[asked, row] = _chained(gallery, row, queries, numbers, entity_weight)
        gap = chained.amin(dim=1, keepdim=True) - first.masked_fill(chosen, -torch.inf).amax(dim=1, keepdim=True)
        return torch.where(chosen, chained, first + gap.clamp(max=0)).numpy()


def has_chains(gallery: ImageGallery, queries: EmbeddedQueries) -> bool:
    """Whether queries and gallery have what structured late interaction needs."""
    return queries.connections is not None and gallery.boxes is not None and queries.padding.shape[1] > 0


def _published(
    gallery: ImageGallery, row: int, queries: EmbeddedQueries, own: Sequence[int], entity_weight: float
) -> Float[Tensor, " q"]:
    return late_interaction(
        gallery.image[row : row + 1],
        gallery.objects[row : row + 1],
        queries.query[own],
        queries.entities[own],
        queries.padding[own],
        entity_weight=entity_weight,
    )[:, 0]


@torch.inference_mode()
def _chained(
    gallery: ImageGallery, row: int, queries: EmbeddedQueries, own: Sequence[int], entity_weight: float
) -> Float[Tensor, " q"]:
    """Scores of some queries with one image; the weights are the pair term's."""
    connections = queries.connections[list(own)]
    objects = gallery.objects[row : row + 1]
    there = torch.ones(objects.shape[:2], dtype=torch.bool)
    image = connections.images(gallery.image[row : row + 1], objects, gallery.boxes[row : row + 1], there).each()
    asked = QueryBatch(queries.query[own], queries.entities[own], queries.padding[own], connections.said)
    kept = nearest_objects(objects.expand(len(own), -1, -1), asked.entities, asked.padding, most=MOST_OBJECTS)
    scores = []
    for start in range(0, len(own), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        images = image.repeated(len(kept[rows])).of_objects(kept[rows])
        scores.append(terms(images, asked[rows].each(), connections.weights).score()[0][:, 0, 0])
    plain = asked.sentence @ gallery.image[row]
    return torch.where(asked.padding.all(dim=1), plain, torch.cat(scores))
