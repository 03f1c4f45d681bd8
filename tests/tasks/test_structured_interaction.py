"""Structured late interaction: exact against all assignments, smooth above it, and blind to padding."""

import math
from dataclasses import replace
from itertools import pairwise, product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from find.interface import PairTerm
from find.tasks.late_interaction import late_interaction
from find.tasks.structured_interaction import (
    Images,
    QueryBatch,
    Weights,
    best_assignment,
    conditional_fits,
    exclude_same,
    nearest_objects,
    soft_assignment,
    terms,
)

sizes = st.integers(1, 4), st.integers(1, 5), st.integers(0, 10_000)


def chain(entities: int, objects: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    fits = torch.randn(entities, objects, generator=g, dtype=torch.double)
    links = torch.randn(entities - 1, objects, objects, generator=g, dtype=torch.double)
    skips = torch.randn(max(entities - 2, 0), objects, objects, generator=g, dtype=torch.double)
    return fits, links + exclude_same(torch.ones(objects, dtype=torch.bool)).double(), skips


def totals(fits: torch.Tensor, links: torch.Tensor, skips: torch.Tensor) -> dict[tuple[int, ...], float]:
    """The sum of terms of every assignment."""
    count, n = fits.shape
    return {
        path: sum(fits[k, path[k]].item() for k in range(count))
        + sum(links[k, path[k], path[k + 1]].item() for k in range(count - 1))
        + sum(skips[k, path[k], path[k + 2]].item() for k in range(count - 2))
        for path in product(range(n), repeat=count)
    }


@settings(max_examples=60, deadline=None)
@given(*sizes)
def test_the_best_assignment_is_the_best_of_all(entities, objects, seed):
    fits, links, skips = chain(entities, objects, seed)
    found = best_assignment(fits, links, skips, torch.zeros(entities, dtype=torch.bool))
    every = totals(fits, links, skips)
    path = tuple(found.objects.tolist())
    assert found.total.item() == pytest.approx(max(every.values()), abs=1e-9)
    assert every[path] == pytest.approx(found.total.item(), abs=1e-9)
    if objects > 1:
        assert all(a != b for a, b in pairwise(path))


@settings(max_examples=40, deadline=None)
@given(*sizes)
def test_the_smooth_total_is_the_log_sum_of_all(entities, objects, seed):
    fits, links, skips = chain(entities, objects, seed)
    padding = torch.zeros(entities, dtype=torch.bool)
    every = torch.tensor(list(totals(fits, links, skips).values()), dtype=torch.double)
    found = soft_assignment(fits, links, skips, padding, temperature=0.3)
    torch.testing.assert_close(found, 0.3 * torch.logsumexp(every / 0.3, dim=0))
    cold = soft_assignment(fits, links, skips, padding, temperature=0.02)
    above = (cold - best_assignment(fits, links, skips, padding).total).item()
    assert -1e-9 <= above <= 0.02 * math.log(len(every)) + 1e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(0, 10_000))
def test_padding_changes_nothing(entities, more, objects, seed):
    fits, links, skips = chain(entities, objects, seed)
    others = chain(entities + more, objects, seed + 1)
    for other, one in zip(others, (fits, links, skips), strict=True):
        other[: len(one)] = one
    padding = torch.arange(entities + more) >= entities
    short = best_assignment(fits, links, skips, padding[:entities])
    long = best_assignment(*others, padding)
    assert long.total == short.total and long.objects[:entities].equal(short.objects)
    smooth = soft_assignment(fits, links, skips, padding[:entities], temperature=0.2)
    torch.testing.assert_close(soft_assignment(*others, padding, temperature=0.2), smooth)


def example(*, queries: int = 3, images: int = 4, entities: int = 3, objects: int = 5, seed: int = 0):
    """A pair term with random weights, queries of one to `entities` entities, images of which the last lacks some."""
    torch.manual_seed(seed)
    term = PairTerm(text_width=6, semantic_width=8, width=4, numbers=3).double()

    def unit(*shape):
        return F.normalize(torch.randn(*shape, dtype=torch.double), dim=-1)

    boxes = torch.rand(images, objects, 2, 2, dtype=torch.double).sort(dim=-2).values.flatten(-2)
    there = torch.ones(images, objects, dtype=torch.bool)
    there[-1, 2:] = False
    found = unit(images, objects, 8)
    scenes = Images(
        unit(1, images, 8), found[None], there[None], term.pairs(found, boxes)[None], term.places(found, boxes)[None]
    )
    padding = torch.arange(entities) >= 1 + torch.arange(queries)[:, None] % entities
    said = 3 * torch.randn(1, queries, entities + 1, 5, 4, dtype=torch.double)
    asked = QueryBatch(unit(1, queries, 8), unit(1, queries, entities, 8), padding[None], said)
    return scenes, asked, Weights(*torch.tensor([0.9, 0.6, 0.8, 0.3], dtype=torch.double))


def test_the_score_is_that_of_its_formula():
    """Written out in plain loops, for each query with each image and all assignments of objects that are there."""
    scenes, asked, weights = example()
    score, paths = terms(scenes, asked, weights).score()
    link, after, before, attaching, attached = asked.connections[0].unbind(dim=2)
    for q, i in product(range(3), range(4)):
        count = int((~asked.padding[0, q]).sum())
        there = scenes.there[0, i].nonzero()[:, 0].tolist()
        best = {}
        for path in product(there, repeat=count):
            if any(a == b for a, b in pairwise(path)):
                continue
            total = 0.0
            for k, o in enumerate(path):
                place = scenes.places[0, i, o]
                total += weights.entity * asked.entities[0, q, k] @ scenes.objects[0, i, o]
                total += weights.place * ((after[q, k] @ place).tanh() + (before[q, k + 1] @ place).tanh())
                reach = (attaching[q, k - 1] @ attached[q, k] - 2).sigmoid() if k > 1 else 0.0
                if k:
                    total += weights.link * (1 - reach) * (link[q, k] @ scenes.pairs[0, i, path[k - 1], o]).tanh()
                if k > 1:
                    total += weights.link * reach * (link[q, k] @ scenes.pairs[0, i, path[k - 2], o]).tanh()
            best[path] = total.item() / count
        sentence = (weights.sentence * asked.sentence[0, q] @ scenes.image[0, i]).item()
        assert score[0, q, i].item() == pytest.approx(sentence + max(best.values()))
        assert tuple(paths[0, q, i, :count].tolist()) == max(best, key=best.get)


def test_given_its_neighbours_each_entity_takes_the_object_that_fits_best():
    """Conditional fits are differences of whole sums: what changes where one entity takes another object."""
    scenes, asked, weights = example(queries=3, entities=3)
    found = terms(scenes, asked, weights)
    paths = found.score()[1]
    fits = conditional_fits(found, paths)
    kept = ~found.padding
    assert (fits.argmax(dim=-1)[kept] == paths[kept]).all()
    whole = [x[0, 2, 0] for x in (found.fits, found.links, found.skips)]  # of three entities with the first image
    path = paths[0, 2, 0].tolist()
    every = totals(*whole)
    for k, n in product(range(3), range(5)):
        other = (*path[:k], n, *path[k + 1 :])
        difference = every[tuple(path)] - every[other]
        assert (fits[0, 2, 0, k, path[k]] - fits[0, 2, 0, k, n]).item() == pytest.approx(difference)


def test_fewer_objects_score_as_if_there_were_no_others():
    scenes, asked, weights = example(queries=4)
    rows = [type(x)(*(getattr(x, name)[0] for name in x.__dataclass_fields__)) for x in (scenes, asked)]
    images, each = rows[0].each(), rows[1].each()
    kept = torch.tensor([[0, 2], [4, 1], [3, 2], [1, 0]])
    hidden = torch.zeros_like(images.there).scatter(2, kept[:, None], True)
    expected, paths = terms(replace(images, there=images.there & hidden), each, weights).score()
    found, chosen = terms(images.of_objects(kept), each, weights).score()
    torch.testing.assert_close(found, expected)
    assert kept[:, None, None].expand(-1, 1, 1, -1).take_along_dim(chosen, dim=-1).equal(paths)


def test_the_nearest_objects_are_kept():
    entities = torch.eye(4)[None, :2]
    objects = torch.eye(4)[None, [3, 1, 2, 0]]
    for padding, kept in (([False, False], {1, 3}), ([False, True], {3})):
        found = nearest_objects(objects, entities, torch.tensor([padding]), most=len(kept))
        assert set(found[0].tolist()) == kept


def test_groups_score_their_own_images_only():
    scenes, asked, weights = example(queries=4)
    whole = terms(scenes, asked, weights).score()[0][0]
    each = [
        type(rows)(*(getattr(rows, name)[0] for name in rows.__dataclass_fields__)).each() for rows in (scenes, asked)
    ]
    torch.testing.assert_close(terms(*each, weights).score()[0][:, 0, 0], whole.diagonal())


def test_without_connections_one_entity_has_the_published_score():
    scenes, asked, _ = example(entities=1)
    silent = QueryBatch(asked.sentence, asked.entities, asked.padding, torch.zeros_like(asked.connections))
    one, half = torch.ones((), dtype=torch.double), torch.tensor(0.5, dtype=torch.double)
    found = terms(scenes, silent, Weights(one, half, one, one)).score()[0][0]
    objects = scenes.objects[0].masked_fill(~scenes.there[0, :, :, None], -1)
    objects = torch.where(scenes.there[0, :, :, None], objects, objects[:, :1])
    published = late_interaction(scenes.image[0], objects, asked.sentence[0], asked.entities[0], asked.padding[0])
    torch.testing.assert_close(found, published)


def test_gradients_reach_every_weight_of_the_pair_term():
    torch.manual_seed(0)
    term = PairTerm(text_width=6, semantic_width=8, width=4, numbers=3)
    boxes = torch.rand(2, 5, 2, 2).sort(dim=-2).values.flatten(-2)
    objects = F.normalize(torch.randn(2, 5, 8), dim=-1)
    images = Images(objects[None, :, 0], objects[None], torch.ones(1, 2, 5, dtype=torch.bool),
                    term.pairs(objects, boxes)[None], term.places(objects, boxes)[None])  # fmt: skip
    said = term.read(torch.randn(4, 2, 6), torch.zeros(4, 2, dtype=torch.bool))[None, None]
    asked = QueryBatch(objects[None, :1, 0], objects[None, :1, :3], torch.zeros(1, 1, 3, dtype=torch.bool), said)
    terms(images, asked, Weights(**term.weights())).soft_score(temperature=0.1).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in term.parameters())
