"""`FIND.run` gives of each core task what the method of its own gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_run import CONFIG

from find import FIND, InputError, Query
from find.tasks.late_interaction import late_interaction

CLASSES = ["dog", "grass", "sky"]
QUERIES = ["{a dog} left of {a cat}", "a red car"]


@pytest.fixture(scope="module", params=[0, 8], ids=["published score", "pair term"])
def model(request) -> FIND:
    torch.manual_seed(0)
    return FIND.build(replace(CONFIG, interface=replace(CONFIG.interface, pair_width=request.param)))


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    pixels = np.random.default_rng(0)
    return [pixels.integers(0, 255, (*size, 3), dtype=np.uint8) for size in ((96, 96), (64, 96))]


def test_prompted_tasks_answer_as_their_methods_do(model, images):
    cases = {
        "grounding": (model.ground, [["a dog", "the sky"], ["grass"]]),
        "interactive": (model.interact, [[(20, 30), (5, 5, 30, 40)], [(50, 20)]]),
        "interleaved_segmentation": (model.segment, ["{a dog} left of {a cat}", "{the sky}"]),
    }
    features = model.encode_images(images)
    for name, (method, prompts) in cases.items():
        expected, found, again = (
            method(images, prompts),
            model.run(name, images, prompts),
            model.run(name, features, prompts),
        )
        for masks in (found, again):
            assert [[one.score for one in row] for row in masks] == [
                [pytest.approx(one.score, rel=1e-4) for one in row] for row in expected
            ]
        assert all(
            np.array_equal(one.mask, other.mask)
            for row, theirs in zip(found, expected, strict=True)
            for one, other in zip(row, theirs, strict=True)
        )
        assert len(model.run(name, images[0], prompts[0])) == len(expected[0])


def test_panoptic_segmentation_is_asked_for_one_set_of_classes(model, images):
    found, expected = model.run("panoptic", images, [CLASSES] * 2), model.panoptic(images, CLASSES)
    assert [one.segments for one in found] == [one.segments for one in expected]
    with pytest.raises(InputError, match="one set of classes"):
        model.run("panoptic", images, [CLASSES, CLASSES[:1]])


def test_retrieval_compares_texts_with_each_image(model, images):
    texts = ["a dog", "a cat on the grass"]
    cosines = torch.stack(model.run("retrieval", images, [texts, texts]))
    torch.testing.assert_close(cosines, model.embed_images(images).image @ model.embed_texts(texts).T)
    with pytest.raises(InputError, match="got 2 images but 1 list of texts"):
        model.run("retrieval", images, [texts])


def test_interleaved_retrieval_scores_as_search_does(model, images):
    scores = torch.stack(model.run("interleaved_retrieval", images, [QUERIES, QUERIES])).T
    embedded, asked = model.embed_images(images), model.embed_queries([Query.parse(text) for text in QUERIES])
    published = late_interaction(embedded.image, embedded.objects, asked.query, asked.entities, asked.padding)
    torch.testing.assert_close(scores[1], published[1])  # without an entity there is nothing to connect
    if asked.connections is None:
        torch.testing.assert_close(scores, published)
    else:
        assert not torch.allclose(scores[0], published[0])
