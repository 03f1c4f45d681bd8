"""A converted model answers in batches as it answers one by one, also with regions of other pictures."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from published_reference.parity.pictures import remember
from published_reference.recipes import Owner, hand_over, read_regions, read_sentences, select

from find.query.query import Phrase, Query, Region

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def model(reference):
    """At small sizes; the regions have more pixels than are sampled, so that some must be chosen."""
    model = copy.copy(reference.model)
    model.resizing = replace(model.resizing, shortest=64, longest=96)
    return model


@pytest.fixture(scope="module")
def pictures():
    pixels = np.random.default_rng(0)
    return [pixels.integers(0, 255, (h, w, 3), dtype=np.uint8) for h, w in ((64, 96), (96, 64), (64, 80))]


@pytest.fixture(scope="module")
def queries(pictures):
    first, second, third = pictures
    return [
        Query(Region(second, box=(5, 5, 30, 40)), " beside a ", Phrase("green potted plant")),
        Query("a ", Phrase("brown dog")),
        Query(
            Region(first, points=(20, 30)), " and ", Region(third, box=(0, 0, 40, 20)), " near the ", Phrase("river")
        ),
    ]


def test_pictures(model, pictures):
    together = model.embed_images(pictures)
    for number, picture in enumerate(pictures):
        alone = model.embed_images([picture])
        torch.testing.assert_close(together.image[number], alone.image[0], **CLOSE)
        torch.testing.assert_close(together.objects[number], alone.objects[0], **CLOSE)


def test_interleaved_queries_with_regions_of_other_pictures(model, queries):
    together = model.embed_queries(queries)
    for number, query in enumerate(queries):
        alone, count = model.embed_queries([query]), len(query.entities)
        torch.testing.assert_close(together.query[number], alone.query[0], **CLOSE)
        torch.testing.assert_close(together.entities[number, :count], alone.entities[0], **CLOSE)


def _same(together, alone):
    assert len(together) == len(alone)
    for one, other in zip(together, alone, strict=True):
        assert (one.mask != other.mask).mean() < 1e-3  # a pixel on an edge may round either way
        assert one.score == pytest.approx(other.score, rel=1e-4)


def test_interleaved_segmentation(model, pictures, queries):
    together = model.segment(pictures, queries)
    for picture, query, masks in zip(pictures, queries, together, strict=True):
        _same(masks, model.segment([picture], [query])[0])


def test_grounding_and_strokes(model, pictures):
    texts = [["a dog", "the red bench"], ["a cat"], ["grass", "a person", "a small dog"]]
    strokes = [np.zeros((count, *picture.shape[:2]), bool) for count, picture in zip((1, 2, 1), pictures, strict=True)]
    for stack in strokes:
        for k, stroke in enumerate(stack):
            stroke[10 + 5 * k : 20 + 5 * k, 10:25] = True
    grounded, marked = model.ground(pictures, texts), model.interact(pictures, strokes)
    for number, picture in enumerate(pictures):
        _same(grounded[number], model.ground([picture], [texts[number]])[0])
        _same(marked[number], model.interact([picture], [strokes[number]])[0])


@torch.no_grad()
def test_regions_read_the_published_way(model, reference, queries):
    """Several regions of one picture and their sentences in one pass equal one pass each."""
    rendered = [query.render(model.language.placeholder) for query in queries]
    sentences = read_sentences(model, rendered)
    sentence, entity = sentences.is_region.nonzero(as_tuple=True)
    memory = remember(reference, torch.from_numpy(np.random.default_rng(1).integers(0, 255, (3, 64, 64), np.uint8)))
    masks = torch.zeros(len(sentence), 64, 64, dtype=torch.bool)
    for number in range(len(masks)):
        masks[number, 8 * number : 8 * number + 6, 10:15] = True
    rows = torch.zeros(len(sentence), dtype=torch.long)
    together = read_regions(model, select(memory, rows), masks, sentences, Owner(sentence, entity))
    handed = hand_over([(sentence, entity, together.tokens)], len(queries))
    for number in range(len(sentence)):
        owner = Owner(sentence[number : number + 1], entity[number : number + 1])
        alone = read_regions(model, memory, masks[number : number + 1], sentences, owner)
        torch.testing.assert_close(together.embedding[number], alone.embedding[0], **CLOSE)
        of_entity = (handed[0].index[sentence[number]] == entity[number]) & ~handed[0].padding[sentence[number]]
        torch.testing.assert_close(handed[0].values[sentence[number]][of_entity], alone.tokens[0].values[0], **CLOSE)
