"""Structured late interaction of one query with images of an album, and the terms of each score."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from find.retrieval.vectors import QueryVectors, Vectors
from find.tasks.connections import Connections
from find.tasks.structured_interaction import MOST_OBJECTS, QueryBatch, nearest_objects, terms

AT_ONCE = 64
"""Number of images whose object pairs are scored at once."""


@dataclass(frozen=True)
class ChainMatches:
    """One query's chain in some images.

    Attributes:
        score: the structured late interaction score.
        objects: the object assigned to each entity.
        similarity: the cosines of the entities with these objects.
        links: how well the text between two entities fits their objects, -1..1; where the text skips the entity
            before it, the objects of the entity before that one and of the entity after the text.
        reaches: whether it skips one.
        after, before: how well the text before an entity, and the text after it, fit its object's place, -1..1.
    """

    score: Float[Tensor, " i"]
    objects: Int64[Tensor, "i e"]
    similarity: Float[Tensor, "i e"]
    links: Float[Tensor, "i _"]
    reaches: Bool[Tensor, "i _"]
    after: Float[Tensor, "i e"]
    before: Float[Tensor, "i e"]


@torch.inference_mode()
def match_chain(query: QueryVectors, images: Vectors) -> ChainMatches:
    """The best joint assignment of entities to objects in each image. `query`: one row, which must be `is_chain`."""
    count = int((~query.padding[0]).sum())
    assert query.connections is not None
    asked = QueryBatch(
        query.query, query.entities[:, :count], query.padding[:, :count], query.connections.said[:, : count + 1]
    )
    places = torch.arange(len(images)).split(AT_ONCE) or (torch.arange(0),)
    parts = [_match(asked, query.connections, images[part]) for part in places]
    return ChainMatches(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def _match(asked: QueryBatch, connections: Connections, images: Vectors) -> tuple[Tensor, ...]:
    asked = asked.repeated(len(images))
    objects = images.objects.float()
    kept = nearest_objects(objects, asked.entities, asked.padding, most=MOST_OBJECTS)
    rows = torch.arange(len(images))[:, None]
    objects, boxes, there = objects[rows, kept], images.boxes[rows, kept], images.there[rows, kept]
    known = connections.images(images.images.float(), objects, boxes, there).each()
    found = terms(known, asked.each(), connections.weights)
    score, paths = found.score()
    score, paths = score[:, 0, 0], paths[:, 0, 0]

    def at(fits: Float[Tensor, "i 1 1 e n"]) -> Float[Tensor, "i e"]:
        return fits[:, 0, 0].gather(-1, paths[..., None])[..., 0]

    reaches = found.reach[:, 0] > 0.5
    links = _links(found.link_fits[:, 0, 0], paths, reaches)
    taken = kept.gather(1, paths)
    return score, taken, at(found.cosines), links, reaches, at(found.after_fits), at(found.before_fits)


def _links(
    fits: Float[Tensor, "i c n n"], objects: Int64[Tensor, "i e"], reaches: Bool[Tensor, "i c"]
) -> Float[Tensor, "i c"]:
    first = torch.where(reaches, objects[:, :-1].roll(1, dims=1), objects[:, :-1])
    place = first * fits.shape[-1] + objects[:, 1:]
    return fits.flatten(-2).gather(-1, place[..., None])[..., 0]
