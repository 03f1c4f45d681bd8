"""Structured late interaction: how well a query, its sentence, its entities and what connects them, fits an image.

A query is a chain: entity, connection, entity, connection, ... Each entity takes one object of the image, neighbours
take different ones, and the score is that of the best joint choice:

    score = w_s cos(sentence, image) + 1/E max over a of [ sum_k (w_e cos(e_k, o_a(k)) + place_k(o_a(k)))
                                                           + sum_k link_k(o_a(k-1), o_a(k)) ]

`link_k` says how the connection before entity k fits two objects, `place_k` how the words beside entity k fit where
one object lies (`find.interface.pair_term` computes both). The maximum is exact, by dynamic programming (Viterbi) in
O(E N^2). `find.tasks.late_interaction.late_interaction` is the published score: each entity's best object by itself.

Shapes: g groups, whose queries are scored with their own images only; q queries, i images, e entities, n objects.
"""

from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

EXCLUDED = -1e4
"""Added to what may not be chosen. Finite, so that gradients and differences stay numbers."""


Group = TypeVar("Group", "Images", "Asked")


@dataclass(frozen=True)
class Assignment:
    """The best joint choice: its sum of terms, and the object of each entity (of padding: its predecessor's)."""

    total: Float[Tensor, "*b"]
    objects: Int64[Tensor, "*b e"]


def best_assignment(
    fits: Float[Tensor, "*b e n"], links: Float[Tensor, "*b e-1 n n"], padding: Bool[Tensor, "*b e"]
) -> Assignment:
    """The objects of a chain's entities that have the largest sum of terms.

    Args:
        fits: of each entity with each object.
        links: of entities k and k+1 with objects i and j (`[..., k, i, j]`); `exclude_same` forbids i = j.
        padding: True where there is no entity; after all entities, never first.
    """
    best, choices = fits[..., 0, :], []
    stay = torch.arange(fits.shape[-1], device=fits.device)
    for k in range(1, fits.shape[-2]):
        reached = (best[..., None] + links[..., k - 1, :, :]).max(dim=-2)
        absent = padding[..., k, None]
        best = torch.where(absent, best, reached.values + fits[..., k, :])
        choices.append(torch.where(absent, stay, reached.indices))
    found = best.max(dim=-1)
    path = [found.indices]
    for choice in reversed(choices):
        path.append(choice.gather(-1, path[-1][..., None])[..., 0])
    return Assignment(found.values, torch.stack(path[::-1], dim=-1))


def soft_assignment(
    fits: Float[Tensor, "*b e n"],
    links: Float[Tensor, "*b e-1 n n"],
    padding: Bool[Tensor, "*b e"],
    *,
    temperature: float,
) -> Float[Tensor, "*b"]:
    """`best_assignment`'s total, smoothed for training: temperature x log-sum-exp over all joint choices."""
    total = fits[..., 0, :]
    for k in range(1, fits.shape[-2]):
        reached = temperature * torch.logsumexp((total[..., None] + links[..., k - 1, :, :]) / temperature, dim=-2)
        total = torch.where(padding[..., k, None], total, reached + fits[..., k, :])
    return temperature * torch.logsumexp(total / temperature, dim=-1)


def exclude_same(objects: Bool[Tensor, "*b n"]) -> Float[Tensor, "*b n n"]:
    """What keeps neighbours from taking one object, to be added to `links`: an image with one object has no other.

    Args:
        objects: which ones are there.
    """
    several = objects.sum(dim=-1) > 1
    same = torch.eye(objects.shape[-1], dtype=torch.bool, device=objects.device)
    return (same & several[..., None, None]).float() * EXCLUDED


@dataclass(frozen=True)
class Images:
    """What images bring to the score.

    Attributes:
        image, objects: unit vectors.
        there: which objects there are; the others are padding.
        pairs, places: of each two objects and of each one what connections are compared with, made by
            `PairTerm.pairs` and `PairTerm.places`.
    """

    image: Float[Tensor, "g i d"]
    objects: Float[Tensor, "g i n d"]
    there: Bool[Tensor, "g i n"]
    pairs: Float[Tensor, "g i n n r"]
    places: Float[Tensor, "g i n r"]

    def each(self) -> "Images":
        """Rows without a dimension of groups, each as a group of its own."""
        return _grouped(self, 1)

    def together(self) -> "Images":
        """Rows without a dimension of groups, as one group."""
        return _grouped(self, 0)


@dataclass(frozen=True)
class Asked:
    """What queries bring to the score.

    Attributes:
        sentence, entities: unit vectors.
        padding: True where a query has fewer entities.
        connections: of each text between entities, from the one before the first entity to the one after the last,
            what it says of the two beside it, of the one after it and of the one before it (`PairTerm.read`).
    """

    sentence: Float[Tensor, "g q d"]
    entities: Float[Tensor, "g q e d"]
    padding: Bool[Tensor, "g q e"]
    connections: Float[Tensor, "g q e+1 3 r"]

    def each(self) -> "Asked":
        """Rows without a dimension of groups, each as a group of its own."""
        return _grouped(self, 1)

    def together(self) -> "Asked":
        """Rows without a dimension of groups, as one group."""
        return _grouped(self, 0)


@dataclass(frozen=True)
class Weights:
    """Of the terms of the score."""

    sentence: Float[Tensor, ""]
    entity: Float[Tensor, ""]
    link: Float[Tensor, ""]
    place: Float[Tensor, ""]


@dataclass(frozen=True)
class Terms:
    """What the score is made of, weighted: `sentence`, and for every choice of objects `fits` and `links`.

    `cosines`, `link_fits` (of the text between two entities) and `after_fits` and `before_fits` (of the texts that an
    entity comes after and before) are the same before weighting, -1..1 each.
    """

    sentence: Float[Tensor, "g q i"]
    fits: Float[Tensor, "g q i e n"]
    links: Float[Tensor, "g q i e-1 n n"]
    padding: Bool[Tensor, "g q i e"]
    cosines: Float[Tensor, "g q i e n"]
    link_fits: Float[Tensor, "g q i e-1 n n"]
    after_fits: Float[Tensor, "g q i e n"]
    before_fits: Float[Tensor, "g q i e n"]

    @property
    def _share(self) -> Float[Tensor, "g q i"]:
        return 1 / (~self.padding).sum(dim=-1).clamp(min=1)

    def soft_score(self, *, temperature: float) -> Float[Tensor, "g q i"]:
        """The score for training."""
        total = soft_assignment(self.fits, self.links, self.padding, temperature=temperature)
        return self.sentence + self._share * total

    def score(self) -> tuple[Float[Tensor, "g q i"], Int64[Tensor, "g q i e"]]:
        """The score, and the object that each entity takes in the best joint choice."""
        found = best_assignment(self.fits, self.links, self.padding)
        return self.sentence + self._share * found.total, found.objects


def conditional_fits(found: Terms, objects: Int64[Tensor, "g q i e"]) -> Float[Tensor, "g q i e n"]:
    """For each entity what every object would add to the score's sum, if the others keep theirs."""
    fits = found.fits.clone()
    count, n = fits.shape[-2:]
    for k in range(1, count):
        links = found.links[..., k - 1, :, :] * ~found.padding[..., k, None, None]
        first, second = (objects[..., place, None, None] for place in (k - 1, k))
        fits[..., k, :] += links.gather(-2, first.expand(*first.shape[:-1], n))[..., 0, :]
        fits[..., k - 1, :] += links.gather(-1, second.expand(*second.shape[:-2], n, 1))[..., 0]
    return fits


def terms(images: Images, asked: Asked, weights: Weights) -> Terms:
    """All terms of the queries of each group with its images. Queries without entities do not belong here."""
    count = asked.padding.shape[-1]
    sentence = torch.einsum("gqd,gid->gqi", asked.sentence, images.image)
    cosines = torch.einsum("gqed,gind->gqien", asked.entities, images.objects)
    link, after, before = asked.connections.unbind(dim=3)
    after = torch.einsum("gqer,ginr->gqien", after[:, :, :count], images.places).tanh()
    before = torch.einsum("gqer,ginr->gqien", before[:, :, 1:], images.places).tanh()
    link_fits = torch.einsum("gqer,ginmr->gqienm", link[:, :, 1:count], images.pairs).tanh()
    absent = (~images.there)[:, None, :, None] * EXCLUDED
    return Terms(
        sentence=weights.sentence * sentence,
        fits=weights.entity * cosines + weights.place * (after + before) + absent,
        links=weights.link * link_fits + exclude_same(images.there)[:, None, :, None],
        padding=asked.padding[:, :, None].expand(-1, -1, sentence.shape[2], -1),
        cosines=cosines,
        link_fits=link_fits,
        after_fits=after,
        before_fits=before,
    )


def _grouped(rows: Group, dim: int) -> Group:
    return type(rows)(*(getattr(rows, field.name).unsqueeze(dim) for field in fields(rows)))
