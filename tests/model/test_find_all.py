"""Claims about match probabilities: whether a thing is there, all of them, by words and by examples."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_run import CONFIG

from find.errors import InputError
from find.images.canvas import ImageGeometry
from find.interface import MatchHead, object_numbers
from find.model.model import FIND
from find.query.entity import Phrase, Region
from find.query.query import Query

MATCHING = replace(CONFIG, interface=replace(CONFIG.interface, match_width=8))


@pytest.fixture(scope="module")
def model() -> FIND:
    torch.manual_seed(0)
    return FIND.build(MATCHING)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8)


def test_models_without_a_match_head_answer_as_before_and_say_so(image):
    torch.manual_seed(0)
    model = FIND.build(CONFIG)
    (found,) = model.segment(image, "{a dog}")
    assert found.present is None and "present" not in repr(found)
    assert model.ground(image, "a dog").present is None
    with pytest.raises(InputError, match=r"no match head.*scripts/train_match\.py"):
        model.find_all(image, "{a dog}")


def test_a_match_head_changes_no_mask_and_no_score(model, image):
    plain = FIND.build(CONFIG)
    state = {name: value for name, value in model.interface.state_dict().items() if "match_head" not in name}
    plain.interface.load_state_dict(state)
    pairs = (
        (model.segment(image, "{a dog}")[0], plain.segment(image, "{a dog}")[0]),
        (model.ground(image, "a dog"), plain.ground(image, "a dog")),
    )
    for one, other in pairs:
        assert np.array_equal(one.mask, other.mask) and one.score == pytest.approx(other.score, abs=1e-6)
        assert 0 <= one.present <= 1 and other.present is None


def test_presence_does_not_depend_on_the_other_images_and_texts_of_a_call(model, image):
    other = np.zeros((64, 40, 3), dtype=np.uint8)
    alone = model.segment(image, "{a dog} on {grass}")
    together = model.segment([other, image], ["{a cat}", "{a dog} on {grass}"])[1]
    assert [m.present for m in together] == pytest.approx([m.present for m in alone], abs=1e-5)
    texts = model.ground([other, image], [["a cat", "a cow", ""], ["a dog"]])[1]
    assert texts[0].present == pytest.approx(model.ground(image, "a dog").present, abs=1e-5)


def test_presence_of_a_phrase_by_itself_is_that_of_its_likeliest_object(model, image):
    found = model.find_all(image, "{a dog}", threshold=0.0)
    head = model.interface.match_head
    best = head.presence(torch.tensor(found[0].score).logit()).sigmoid()
    assert model.segment(image, "{a dog}")[0].present == pytest.approx(best.item(), abs=1e-4)


def test_all_are_found_likeliest_first_above_the_threshold_and_apart(model, image):
    every = model.find_all(image, "{a dog}", threshold=0.0)
    scores = [found.score for found in every]
    assert scores == sorted(scores, reverse=True) and all(found.present == found.score for found in every)
    middle = float(np.median(scores))
    some = model.find_all(image, Phrase("a dog"), threshold=middle)
    assert [found.score for found in some] == pytest.approx([s for s in scores if s >= middle], abs=1e-6)
    for k, one in enumerate(every):
        assert one.mask.any() and str(one.entity) == "{a dog}"
        for other in every[:k]:
            assert (one.mask & other.mask).sum() < 0.5 * min(one.mask.sum(), other.mask.sum())
    assert model.find_all(image, "{a dog}", threshold=1.0) == []


def test_masks_of_large_images_are_drawn_a_few_at_a_time_with_the_same_answer(model, image, monkeypatch):
    whole = model.find_all(image, "{a dog}", threshold=0.0)
    drawn = []
    inside = ImageGeometry.inside
    monkeypatch.setattr(ImageGeometry, "inside", lambda self, some: drawn.append(len(some)) or inside(self, some))
    monkeypatch.setattr("find.model.find_all.DRAWN_AT_ONCE", 2 * 40 * 56)
    parts = model.find_all([image, image], ["{a dog}", "{a dog}"], threshold=0.0)
    assert len(drawn) > 2 and max(drawn) == 2
    for found in parts:
        assert len(found) == len(whole)
        for one, other in zip(found, whole, strict=True):
            assert np.array_equal(one.mask, other.mask) and one.score == pytest.approx(other.score, abs=1e-6)
            assert one.mask.base is None  # it holds no other mask in memory


def test_what_is_not_meant_only_lowers_probabilities(model, image):
    dog, cat = Region(image, box=(0, 0, 20, 20)), Region(image, box=(30, 10, 50, 35))
    like, less = (model.find_all(image, query, threshold=0.0)[0].score for query in (dog, dog - cat))
    assert less <= like + 1e-6
    own = model.find_all(image, dog - dog, threshold=0.0)
    assert all(found.score <= 0.25 + 1e-6 for found in own)  # p (1 - p)


def test_an_example_given_twice_is_the_example(model, image):
    dog = Region(image, box=(0, 0, 20, 20))
    once, twice = (model.find_all(image, query, threshold=0.0) for query in (dog, dog & dog))
    assert [f.score for f in twice] == pytest.approx([f.score for f in once], abs=1e-6)


def test_lists_of_images_and_queries_give_lists(model, image):
    other = np.zeros((64, 40, 3), dtype=np.uint8)
    found = model.find_all([image, other], ["{a dog}", "{a cat}" & Phrase("a cow")], threshold=0.0)
    assert len(found) == 2 and found[1][0].mask.shape == (64, 40)
    assert [f.score for f in found[0]] == pytest.approx(
        [f.score for f in model.find_all(image, "{a dog}", threshold=0.0)], abs=1e-5
    )


@pytest.mark.parametrize("query", ["a dog", "{a dog} on {grass}", Query(Phrase("a dog")) & "grass"])
def test_what_is_sought_is_one_thing(model, image, query):
    with pytest.raises(InputError, match="one thing"):
        model.find_all(image, query)


def test_thresholds_are_probabilities(model, image):
    with pytest.raises(InputError, match="between 0 and 1"):
        model.find_all(image, "{a dog}", threshold=1.5)


def test_a_saved_model_keeps_its_match_head(model, image, tmp_path):
    model.save_pretrained(tmp_path)
    again = FIND.from_pretrained(tmp_path)
    assert again.segment(image, "{a dog}")[0].present == pytest.approx(model.segment(image, "{a dog}")[0].present)


def test_an_album_made_before_the_match_head_stays_good(model):
    plain = FIND.build(CONFIG)
    state = {name: value for name, value in model.interface.state_dict().items() if "match_head" not in name}
    plain.interface.load_state_dict(state)
    plain.vision.load_state_dict(model.vision.state_dict())
    plain.language.load_state_dict(model.language.state_dict())
    assert plain.fingerprint == model.fingerprint


def test_shorter_vectors_are_compared_by_their_first_values():
    head = MatchHead(semantic_width=16, width=4)
    entities, objects = (torch.nn.functional.normalize(torch.randn(2, n, 8), dim=-1) for n in (3, 5))
    numbers = object_numbers(torch.rand(2, 5, 4), torch.rand(2, 5))
    logits = head(entities, objects, numbers)
    one = head(entities[1:, 2:], objects[1:, 4:], numbers[1:, 4:])
    assert logits.shape == (2, 3, 5) and torch.allclose(one[0, 0, 0], logits[1, 2, 4], atol=1e-5)
