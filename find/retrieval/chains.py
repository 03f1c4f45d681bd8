"""Chains of an album's images: structured late interaction of one query with some images, and what made the scores."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from find.retrieval.vectors import QueryVectors, Vectors
from find.tasks.structured_interaction import Asked, Terms, terms

CHAINS = 200
"""Images of a search, the best ones without the chain, for which a query's chain is solved."""
AT_ONCE = 64
"""Images whose pairs of objects are compared at a time."""


@dataclass(frozen=True)
class ChainMatches:
    """One query's chain in some images.

    Attributes:
        score: of structured late interaction.
        objects: the object that each entity takes.
        similarity: the cosines of entities with these.
        links: how the text between two entities fits the objects of both, -1..1; where it reaches over the entity
            before it, those of the entity before that and of the one after it.
        reaches: whether it does.
        after, before: how the text before an entity, and the one after it, fit where its object lies, -1..1.
    """

    score: Float[Tensor, " i"]
    objects: Int64[Tensor, "i e"]
    similarity: Float[Tensor, "i e"]
    links: Float[Tensor, "i e-1"]
    reaches: Bool[Tensor, "i e-1"]
    after: Float[Tensor, "i e"]
    before: Float[Tensor, "i e"]


@torch.inference_mode()
def match_chain(query: QueryVectors, images: Vectors) -> ChainMatches:
    """The best joint choice of objects in each image. `query`: one row, which `is_chain`."""
    count = int((~query.padding[0]).sum())
    asked = Asked(
        query.query[None],
        query.entities[None, :, :count],
        query.padding[None, :, :count],
        query.connections.said[None, :, : count + 1],
    )
    places = torch.arange(len(images)).split(AT_ONCE) or (torch.arange(0),)
    parts = [_match(asked, query, images[part]) for part in places]
    return ChainMatches(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def _match(asked: Asked, query: QueryVectors, images: Vectors) -> tuple[Tensor, ...]:
    known = query.connections.images(
        images.images.float()[None], images.objects.float()[None], images.boxes[None], images.there[None]
    )
    found = terms(known, asked, query.connections.weights)
    score, objects = found.score()
    score, objects = score[0, 0], objects[0, 0]

    def at(fits: Float[Tensor, "g q i e n"]) -> Float[Tensor, "i e"]:
        return fits[0, 0].gather(-1, objects[..., None])[..., 0]

    reaches = (found.reach[0, 0] > 0.5).expand(len(objects), -1)
    links = _links(found, objects, reaches)
    return score, objects, at(found.cosines), links, reaches, at(found.after_fits), at(found.before_fits)


def _links(found: Terms, objects: Int64[Tensor, "i e"], reaches: Bool[Tensor, "i e-1"]) -> Float[Tensor, "i e-1"]:
    first = torch.where(reaches, objects[:, :-1].roll(1, dims=1), objects[:, :-1])
    fits = found.link_fits[0, 0].flatten(-2)
    place = first * found.link_fits.shape[-1] + objects[:, 1:]
    return fits.gather(-1, place[..., None])[..., 0]
