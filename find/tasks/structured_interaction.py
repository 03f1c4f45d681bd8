"""Structured late interaction: how well a query, its sentence, its entities and what connects them, fits an image.

A query is a chain: entity, connection, entity, connection, ... Each entity takes one object of the image, neighbours
take different ones, and the score is that of the best joint choice:

    score = w_s cos(sentence, image) + 1/E max over a of [ sum_k (w_e cos(e_k, o_a(k)) + place_k(o_a(k)))
                                                           + sum_k ((1 - g_k) link_k(o_a(k-1), o_a(k))
                                                                    + g_k link_k(o_a(k-2), o_a(k))) ]

`link_k` says how the connection before entity k fits two objects, `place_k` how the words beside entity k fit where
one object lies, and `g_k`, read of the two last connections, how far entity k is connected not with the entity before
it but with the one before that: in "a dog on the sand left of a cat" it is the dog that is left of the cat.
`find.interface.pair_term` computes all three. The maximum is exact, by dynamic programming (Viterbi, over two
neighbours at a time) in O(E N^3). `find.tasks.late_interaction.late_interaction` is the published score: each entity's
best object independently.

Shapes: g groups, whose queries are scored with their own images only; q queries, i images, e entities, n objects.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

EXCLUDED = -1e4
"""Added to what may not be chosen. Finite, so that gradients and differences stay numbers."""


MOST_OBJECTS = 16
"""Of an image, from which a query's entities choose jointly; as many as an album keeps."""
CHAINS = 300
"""Images, the best ones by sentence and entities alone, for which a query's chain is solved."""
UNREAD = -2.0
"""The logit of `reach` where connections say nothing of it."""

Rows = TypeVar("Rows", "Images", "QueryBatch")


@dataclass(frozen=True)
class Assignment:
    """The best joint assignment: its sum of terms, and the object of each entity (of padding: its predecessor's)."""

    total: Float[Tensor, "*b"]
    objects: Int64[Tensor, "*b e"]


def best_assignment(
    fits: Float[Tensor, "*b e n"],
    links: Float[Tensor, "*b _ n n"],
    skips: Float[Tensor, "*b _ n n"],
    padding: Bool[Tensor, "*b e"],
) -> Assignment:
    """The objects of a chain's entities that have the largest sum of terms.

    Args:
        fits: of each entity with each object.
        links: of entities k and k+1 with objects i and j (`[..., k, i, j]`); `exclude_same` forbids i = j.
        skips: of entities k and k+2, in the same form.
        padding: True where there is no entity; after all entities, never first.
    """
    count, n = fits.shape[-2:]
    if count == 1:
        found = fits[..., 0, :].max(dim=-1)
        return Assignment(found.values, found.indices[..., None])
    best, choices = _first_two(fits, links, padding), []
    for k in range(2, count):
        reached = (best[..., :, :, None] + skips[..., k - 2, :, None, :]).max(dim=-3)
        there = reached.values + links[..., k - 1, :, :] + fits[..., k, None, :]
        best = torch.where(padding[..., k, None, None], best, there)
        choices.append(reached.indices)
    found = best.flatten(-2).max(dim=-1)
    before = found.indices // n
    last = found.indices - before * n
    path = []
    for k in range(count - 1, 1, -1):
        path.append(torch.where(padding[..., k], before, last))
        earlier = choices[k - 2].flatten(-2).gather(-1, (before * n + last)[..., None])[..., 0]
        absent = padding[..., k]
        before, last = torch.where(absent, before, earlier), torch.where(absent, last, before)
    path += [torch.where(padding[..., 1], before, last), before]
    return Assignment(found.values, torch.stack(path[::-1], dim=-1))


def soft_assignment(
    fits: Float[Tensor, "*b e n"],
    links: Float[Tensor, "*b _ n n"],
    skips: Float[Tensor, "*b _ n n"],
    padding: Bool[Tensor, "*b e"],
    *,
    temperature: float,
) -> Float[Tensor, "*b"]:
    """`best_assignment`'s total, smoothed for training: temperature x log-sum-exp over all joint choices.

    In float32 `skips` must not differ by more than about 80 temperatures.
    """
    if fits.shape[-2] == 1:
        return temperature * torch.logsumexp(fits[..., 0, :] / temperature, dim=-1)
    total = _first_two(fits, links, padding) / temperature
    for k in range(2, fits.shape[-2]):
        # The log-sum-exp over the entity before both, as a product of matrices: no third power of n is kept.
        largest = total.detach().amax(dim=-2)
        skip = skips[..., k - 2, :, :] / temperature
        most = skip.detach().amax(dim=-2)
        weights = (total - largest[..., None, :]).exp().mT @ (skip - most[..., None, :]).exp()
        reached = weights.log() + largest[..., :, None] + most[..., None, :]
        there = reached + (links[..., k - 1, :, :] + fits[..., k, None, :]) / temperature
        total = torch.where(padding[..., k, None, None], total, there)
    return temperature * torch.logsumexp(total.flatten(-2), dim=-1)


def _first_two(
    fits: Float[Tensor, "*b e n"], links: Float[Tensor, "*b _ n n"], padding: Bool[Tensor, "*b e"]
) -> Float[Tensor, "*b n n"]:
    """Sums of the first two entities' terms; if there is no second one, it takes the first object and adds nothing."""
    first = fits[..., 0, :, None]
    nothing = torch.full(fits.shape[-1:], EXCLUDED, dtype=fits.dtype, device=fits.device)
    nothing[0] = 0
    return torch.where(
        padding[..., 1, None, None], first + nothing, first + links[..., 0, :, :] + fits[..., 1, None, :]
    )


def exclude_same(objects: Bool[Tensor, "*b n"]) -> Float[Tensor, "*b n n"]:
    """Added to `links`, keeps neighbours from taking the same object, unless the image has only one.

    Args:
        objects: which ones are there.
    """
    several = objects.sum(dim=-1) > 1
    same = torch.eye(objects.shape[-1], dtype=torch.bool, device=objects.device)
    return (same & several[..., None, None]).float() * EXCLUDED


def nearest_objects(
    objects: Float[Tensor, "*g n d"], entities: Float[Tensor, "g e d"], padding: Bool[Tensor, "g e"], *, most: int
) -> Int64[Tensor, "g k"]:
    """Indices of the objects nearest to any entity: the cost of joint assignments grows with n^3."""
    if objects.shape[1] <= most:
        return torch.arange(objects.shape[1], device=objects.device).expand(objects.shape[0], -1)
    similarity = torch.einsum("gnd,ged->gne", objects, entities).masked_fill(padding[:, None], -1)
    return similarity.amax(dim=-1).topk(most, dim=1).indices


@dataclass(frozen=True)
class Images:
    """The images' side of the score.

    Attributes:
        image, objects: unit vectors.
        there: which objects exist; the others are padding.
        pairs, places: of each two objects and of each one what connections are compared with, made by
            `PairTerm.pairs` and `PairTerm.places`.
    """

    image: Float[Tensor, "*g i d"]
    objects: Float[Tensor, "*g i n d"]
    there: Bool[Tensor, "*g i n"]
    pairs: Float[Tensor, "*g i n n r"]
    places: Float[Tensor, "*g i n r"]

    def __getitem__(self, rows: slice) -> "Images":
        return _changed(self, lambda x: x[rows])

    def each(self) -> "Images":
        """Makes each row its own group."""
        return _changed(self, lambda x: x.unsqueeze(1))

    def repeated(self, count: int) -> "Images":
        """Repeats the only group."""
        return _changed(self, lambda x: x.expand(count, *x.shape[1:]))

    def of_objects(self, kept: Int64[Tensor, "g k"]) -> "Images":
        """Groups of one image each, restricted to these objects."""
        rows = torch.arange(kept.shape[0], device=kept.device)[:, None]
        pairs = self.pairs[rows[:, None], 0, kept[:, :, None], kept[:, None]]
        objects, there, places = (x[rows, 0, kept] for x in (self.objects, self.there, self.places))
        return Images(self.image, objects[:, None], there[:, None], pairs[:, None], places[:, None])

    def together(self) -> "Images":
        """Makes all rows one group."""
        return _changed(self, lambda x: x.unsqueeze(0))


@dataclass(frozen=True)
class QueryBatch:
    """The queries' side of the score.

    Attributes:
        sentence, entities: unit vectors.
        padding: True where a query has fewer entities.
        connections: of each text between entities, from the one before the first entity to the one after the last,
            what `PairTerm.read` gives.
    """

    sentence: Float[Tensor, "*g q d"]
    entities: Float[Tensor, "*g q e d"]
    padding: Bool[Tensor, "*g q e"]
    connections: Float[Tensor, "*g q _ 5 r"]

    def repeated(self, count: int) -> "QueryBatch":
        """Repeats the only row."""
        return _changed(self, lambda x: x.expand(count, *x.shape[1:]))

    def __getitem__(self, rows: slice) -> "QueryBatch":
        return _changed(self, lambda x: x[rows])

    def each(self) -> "QueryBatch":
        """Makes each row its own group."""
        return _changed(self, lambda x: x.unsqueeze(1))

    def together(self) -> "QueryBatch":
        """Makes all rows one group."""
        return _changed(self, lambda x: x.unsqueeze(0))


@dataclass(frozen=True)
class Weights:
    """Of the terms of the score."""

    sentence: Float[Tensor, ""]
    entity: Float[Tensor, ""]
    link: Float[Tensor, ""]
    place: Float[Tensor, ""]


@dataclass(frozen=True)
class Terms:
    """What the score is made of, weighted: `sentence`, and for every choice of objects `fits`, `links` and `skips`.

    `reach` is how far the text before each entity but the first speaks of the entity before the last one, 0..1.
    `cosines`, `link_fits` (of the text between two entities) and `after_fits` and `before_fits` (of the texts that an
    entity comes after and before) are the same before weighting, -1..1 each.
    """

    sentence: Float[Tensor, "*g q i"]
    fits: Float[Tensor, "*g q i e n"]
    links: Float[Tensor, "*g q i e-1 n n"]
    skips: Float[Tensor, "*g q i _ n n"]
    padding: Bool[Tensor, "*g q i e"]
    reach: Float[Tensor, "*g q e-1"]
    cosines: Float[Tensor, "*g q i e n"]
    link_fits: Float[Tensor, "*g q i e-1 n n"]
    after_fits: Float[Tensor, "*g q i e n"]
    before_fits: Float[Tensor, "*g q i e n"]

    @property
    def _share(self) -> Float[Tensor, "g q i"]:
        return 1 / (~self.padding).sum(dim=-1).clamp(min=1)

    def soft_score(self, *, temperature: float) -> Float[Tensor, "g q i"]:
        """The score for training."""
        total = soft_assignment(self.fits, self.links, self.skips, self.padding, temperature=temperature)
        return self.sentence + self._share * total

    def score(self) -> tuple[Float[Tensor, "g q i"], Int64[Tensor, "g q i e"]]:
        """The score, and the object that each entity takes in the best joint choice."""
        found = best_assignment(self.fits, self.links, self.skips, self.padding)
        return self.sentence + self._share * found.total, found.objects


def conditional_fits(found: Terms, objects: Int64[Tensor, "g q i e"]) -> Float[Tensor, "g q i e n"]:
    """For each entity and object, the object's contribution to the score if the other entities keep theirs."""
    fits = found.fits.clone()
    for step, pairs in ((1, found.links), (2, found.skips)):
        for k in range(step, fits.shape[-2]):
            both = pairs[..., k - step, :, :] * ~found.padding[..., k, None, None]
            first, second = objects[..., k - step, None, None], objects[..., k, None, None]
            fits[..., k, :] += both.gather(-2, first.expand_as(both[..., :1, :]))[..., 0, :]
            fits[..., k - step, :] += both.gather(-1, second.expand_as(both[..., :1]))[..., 0]
    return fits


def terms(images: Images, asked: QueryBatch, weights: Weights) -> Terms:
    """All terms of the queries of each group with its images. Queries without entities do not belong here."""
    count = asked.padding.shape[-1]
    sentence = torch.einsum("gqd,gid->gqi", asked.sentence, images.image)
    cosines = torch.einsum("gqed,gind->gqien", asked.entities, images.objects)
    link, after, before, attaching, attached = asked.connections.unbind(dim=3)
    after = torch.einsum("gqer,ginr->gqien", after[:, :, :count], images.places).tanh()
    before = torch.einsum("gqer,ginr->gqien", before[:, :, 1:], images.places).tanh()
    link_fits = torch.einsum("gqer,ginmr->gqienm", link[:, :, 1:count], images.pairs).tanh()
    reach = (attaching[:, :, 1 : count - 1] * attached[:, :, 2:count]).sum(dim=-1)
    reach = F.pad((reach + UNREAD).sigmoid(), (1, 0))[:, :, : max(count - 1, 0)]
    far = reach[:, :, None, :, None, None]
    absent = (~images.there)[:, None, :, None] * EXCLUDED
    return Terms(
        sentence=weights.sentence * sentence,
        fits=weights.entity * cosines + weights.place * (after + before) + absent,
        links=weights.link * (1 - far) * link_fits + exclude_same(images.there)[:, None, :, None],
        skips=weights.link * far[:, :, :, 1:] * link_fits[:, :, :, 1:],
        reach=reach,
        padding=asked.padding[:, :, None].expand(-1, -1, sentence.shape[2], -1),
        cosines=cosines,
        link_fits=link_fits,
        after_fits=after,
        before_fits=before,
    )


def _changed(rows: Rows, change: Callable[[Tensor], Tensor]) -> Rows:
    return type(rows)(*(change(getattr(rows, field.name)) for field in fields(rows)))
