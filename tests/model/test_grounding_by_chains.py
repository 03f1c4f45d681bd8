"""Claims about referring expressions that are read as chains of entities."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_run import CONFIG

from find.interface import Group
from find.model.grounding_by_chains import referred
from find.model.model import FIND
from find.query.query import Query
from find.world.scene import scene

CHAINED = replace(CONFIG, interface=replace(CONFIG.interface, pair_width=8, tagger_width=8, match_width=8))


@pytest.fixture(scope="module")
def model() -> FIND:
    torch.manual_seed(0)
    return FIND.build(CHAINED)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8)


def _referred(model, image, *queries):
    features = model.encode_images([image])
    ((_, batch),) = features.batches(16)
    with torch.inference_mode():
        return batch, referred(model, batch, [[Query.parse(text) for text in queries]], list(features.frames))


def test_a_single_entity_takes_the_nearest_object(model, image):
    batch, (logits, scores, heads) = _referred(model, image, "{a dog}")
    objects = torch.nn.functional.normalize(batch.proposals(model.interface).semantic[Group.OBJECT][0], dim=-1)
    cosines = objects @ heads[0, 0]
    # words before and after the entity are none, so that its place says nothing
    assert torch.equal(logits[0, 0], batch.masks(model.interface)[0, cosines.argmax()])
    scale = model.interface.logit_scale.exp().clamp(max=100)
    kept = cosines.topk(16).values  # among which a chain chooses
    assert scores[0, 0].item() == pytest.approx((scale * kept).softmax(0)[0].item(), abs=1e-5)


def test_expressions_of_one_call_do_not_see_each_other(model, image):
    texts = "{a dog} left of {a cat}", "{a red car}", "{a dog} on {grass} left of {a cat}"
    _, (logits, scores, _) = _referred(model, image, *texts)
    for number, text in enumerate(texts):
        _, (alone, chance, _) = _referred(model, image, text)
        assert torch.allclose(alone[0, 0], logits[0, number], atol=1e-4)
        assert chance[0, 0].item() == pytest.approx(scores[0, number].item(), abs=1e-5)


def test_every_text_gets_a_mask_of_its_image_also_an_empty_one(model, image):
    other = np.zeros((64, 40, 3), dtype=np.uint8)
    found = model.ground([image, other], [["a dog left of a cat", "", "beside"], []])
    assert [len(row) for row in found] == [3, 0] and found[0][0].mask.shape == (40, 56)
    assert all(0 <= one.present <= 1 for one in found[0])
    alone = model.ground(image, "a dog left of a cat")
    assert np.array_equal(alone.mask, found[0][0].mask)


def test_find_tiny_finds_what_expressions_of_unseen_scenes_mean():
    model = FIND.from_pretrained("find-tiny").eval()
    right = []
    for index in range(6):
        one = scene(4711, "val2017", index)
        found = model.ground(one.image, [expression.sentence.text.text for expression in one.expressions])
        for expression, answer in zip(one.expressions, found, strict=True):
            truth = one.segment_map == one.segments[expression.segment].id
            right.append((answer.mask & truth).sum() >= 0.5 * (answer.mask | truth).sum())
    assert len(right) > 10 and np.mean(right) >= 0.75
