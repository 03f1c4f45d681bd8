"""Images that are encoded once are asked as often as one likes, and answer as if they were encoded each time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_run import CONFIG as SMALL

from find import FIND, FindError, ImageFeatures, Phrase, Query, Region
from find.model.feature_cache import FeatureCache

SIZES = ((60, 90), (90, 60), (64, 64), (60, 90), (200, 150), (60, 90))
"""Heights and widths; three share a canvas, and not side by side, and two another one."""
CANVASES = 3
CONFIG = replace(SMALL, interface=replace(SMALL.interface, queries=9), shortest_side=64, longest_side=128)
NAMES, THINGS = ["dog", "red"], [True, False]
Ask = Callable[[FIND, list[np.ndarray] | ImageFeatures], list]


@pytest.fixture(scope="module")
def model() -> FIND:
    torch.manual_seed(0)
    return FIND.build(CONFIG)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in SIZES]


@pytest.fixture
def features(model, images) -> ImageFeatures:
    return model.encode_images(images)


def strokes(count: int) -> list[np.ndarray]:
    """One or two strokes for each of the first images."""
    stacks = []
    for number, (height, width) in enumerate(SIZES[:count]):
        stack = np.zeros((1 + number % 2, height, width), bool)
        for row, stroke in enumerate(stack):
            stroke[8 + 9 * row : 20 + 9 * row, 5:30] = True
        stacks.append(stack)
    return stacks


def queries(count: int) -> list[Query]:
    other = np.random.default_rng(1).integers(0, 256, (70, 80, 3), dtype=np.uint8)
    asked = [Query("a ", Phrase("dog")), Query(Region(other, box=(3, 4, 40, 50)), " by ", Phrase("red dog"))]
    return [asked[number % 2] for number in range(count)]


def _embedded(found) -> list:
    return [found.image, found.objects, found.scores, *found.masks]


PROMPTED: dict[str, Ask] = {
    "segment": lambda model, given: model.segment(given, queries(len(given))),
    "ground": lambda model, given: model.ground(given, [["dog", "red dog"][: k % 3] for k in range(len(given))]),
    "interact": lambda model, given: model.interact(
        given, strokes(len(given)), [np.roll(stack, 20, axis=1) for stack in strokes(len(given))]
    ),
}
EVERYTHING: dict[str, Ask] = {
    "panoptic": lambda model, given: model.panoptic(given, NAMES, THINGS),
    "instances": lambda model, given: model.instances(given, NAMES, THINGS),
    "semantic": lambda model, given: model.semantic(given, NAMES),
    "embed_images": lambda model, given: _embedded(model.embed_images(given)),
}
METHODS = PROMPTED | EVERYTHING


def plain(answer: object) -> list[np.ndarray]:
    """All arrays and numbers of an answer, in order; without names of what was asked for."""
    if isinstance(answer, (str, Phrase, Region)) or answer is None:
        return []
    if isinstance(answer, torch.Tensor):
        return [answer.numpy()]
    if isinstance(answer, (list, tuple)):
        return [array for part in answer for array in plain(part)]
    return plain(list(vars(answer).values())) if hasattr(answer, "__dict__") else [np.asarray(answer)]


def assert_equal(one: object, two: object) -> None:
    arrays, others = plain(one), plain(two)
    assert len(arrays) == len(others) > 0
    for array, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(array, other)


def assert_close(one: object, two: object) -> None:
    """Equal but for rounding, which may turn a pixel whose logit is nearly zero."""
    arrays, others = plain(one), plain(two)
    assert len(arrays) == len(others) > 0
    for array, other in zip(arrays, others, strict=True):
        if array.dtype == bool:
            assert (array != other).mean() < 2e-3
        else:
            np.testing.assert_allclose(array.astype(float), other.astype(float), rtol=0, atol=2e-3)


@contextmanager
def counted(module: torch.nn.Module) -> Iterator[list[None]]:
    """A list that gets an entry whenever the module runs."""
    runs: list[None] = []
    handle = module.register_forward_hook(lambda *_: runs.append(None))
    yield runs
    handle.remove()


@pytest.mark.parametrize("method", METHODS)
def test_features_give_what_images_give_to_the_last_digit(model, images, features, method, monkeypatch):
    """Also the second time, when more of them is kept."""
    unsure = replace(model.panoptic_settings, score=0.0, overlap=0.0)  # as an untrained model is
    monkeypatch.setattr(model, "panoptic_settings", unsure)
    expected = METHODS[method](model, images)
    for _ in range(2):
        assert_equal(METHODS[method](model, features), expected)


def test_no_question_encodes_an_image_again(model, images):
    with counted(model.vision) as encoded, counted(model.interface.pixel_decoder) as decoded:
        features = model.encode_images(images)
        assert len(encoded) == len(decoded) == CANVASES
        for ask in EVERYTHING.values():
            ask(model, features)
        model.ground(features, [["dog"]] * len(images))
        model.interact(features, strokes(len(images)))
        assert len(encoded) == len(decoded) == CANVASES


def test_what_no_prompt_changes_is_computed_once_whatever_is_asked(model, features):
    with counted(model.interface) as runs:
        for _ in range(2):
            for ask in EVERYTHING.values():
                ask(model, features)
        assert len(runs) == CANVASES + 1  # and the class names, which are texts


@pytest.mark.parametrize("method", METHODS)
def test_some_of_the_images_answer_for_themselves(model, images, features, method):
    few = features[1:4]
    assert few.sizes == SIZES[1:4] and len(few) == 3
    moved = [images[k] for k in (0, 1, 2)]
    assert_close(METHODS[method](model, features[[0, 1, 2]]), METHODS[method](model, moved))
    METHODS[method](model, features)  # what is kept by now is taken along
    assert_close(METHODS[method](model, features[[0, 1, 2]]), METHODS[method](model, moved))


def test_features_are_taken_apart_and_put_together(model, images, features):
    alone = list(features)
    assert [one.sizes for one in alone] == [(size,) for size in SIZES]
    again = ImageFeatures.concatenate([*alone[3:], *alone[:3]])[[3, 4, 5, 0, 1, 2]]
    assert again.sizes == features.sizes
    for ask in METHODS.values():
        assert_equal(ask(model, again), ask(model, features))
    assert features[-1].sizes == (SIZES[-1],) and len(features[:0]) == 0
    with pytest.raises(IndexError):
        features[6]
    assert model.segment(features[:0], []) == []


def test_an_image_taken_out_keeps_no_other_alive(features):
    one = features[0]
    own = one._batches[0].memory.mask_features
    assert own.untyped_storage().nbytes() == own.nbytes < features._batches[0].memory.mask_features.nbytes


def test_their_size_is_told(model, images, features):
    before = features.nbytes
    memory = features._batches[0].memory
    assert before > sum(x.nbytes for x in (*memory.levels, memory.mask_features))
    model.ground(features, [["dog"]] * len(images))
    assert features.nbytes > before
    assert f"6 images on cpu, {features.nbytes / 1e6:.0f} MB" in repr(features)


def test_features_go_to_another_device_and_are_refused_where_the_model_is_not(model, images, features):
    away = features.to("meta")
    assert away.device.type == "meta" and away.nbytes == features.nbytes and away.sizes == features.sizes
    with pytest.raises(FindError, match=r"on meta, the model on cpu; give features.to\('cpu'\)"):
        model.ground(away, [["dog"]] * len(images))
    assert_equal(model.semantic(features.cpu(), NAMES), model.semantic(images, NAMES))
    for ask in EVERYTHING.values():
        ask(model, features)
    masks = sum(8 * batch.memory.mask_features[:, 0].nbytes for batch in features._batches)
    assert features.to("meta").nbytes == features.nbytes - masks  # with all else that is kept by now


def test_features_of_another_model_are_refused(features):
    other = FIND.build(replace(CONFIG, shortest_side=96))
    with pytest.raises(FindError, match="another config; encode the images with this one"):
        other.semantic(features, NAMES)
    with pytest.raises(FindError, match="different configs"):
        ImageFeatures.concatenate([features, other.encode_images([np.zeros((40, 40, 3), np.uint8)])])
    with pytest.raises(FindError, match="no features"):
        ImageFeatures.concatenate([])


def test_numbers_must_agree_for_features_too(model, features):
    with pytest.raises(FindError, match="6 images but 1 query"):
        model.segment(features, [Query(Phrase("dog"))])


def test_embeddings_without_masks_are_the_same_and_keep_none(model, features):
    whole, bare = model.embed_images(features), model.embed_images(features, masks=False)
    assert torch.equal(whole.objects, bare.objects) and torch.equal(whole.scores, bare.scores)
    assert bare.masks is None and bare.to("meta").masks is None
    with pytest.raises(FindError, match="without their masks"):
        bare.object_masks(0)


# --- pictures that come again ---------------------------------------------------------------------------------------


@pytest.fixture
def cached(model) -> Iterator[FIND]:
    model.feature_cache = FeatureCache(1 << 30)
    yield model
    model.feature_cache = None


@pytest.mark.parametrize("method", METHODS)
def test_a_model_with_a_cache_answers_as_one_without(model, cached, images, method):
    twice = [METHODS[method](cached, images) for _ in range(2)]
    model.feature_cache = None
    for found in twice:
        assert_close(found, METHODS[method](model, images))


def test_a_picture_that_comes_again_is_not_encoded_again_as_a_region_neither(cached, images):
    with counted(cached.vision) as encoded:
        first = cached.segment(images[:1], [Query("a ", Phrase("dog"))])
        assert_equal(cached.segment([images[0].copy()], [Query("a ", Phrase("dog"))]), first)
        cached.embed_queries([Query("a ", Region(images[0], points=(5, 5)))])
        assert len(encoded) == 1 and len(cached.feature_cache) == 1
        cached.embed_images(images)
        assert len(encoded) == 1 + CANVASES and len(cached.feature_cache) == len(images)
        cached.embed_images([images[0], images[0]])
        changed = images[0].copy()
        changed[0, 0] ^= 1
        cached.embed_images([changed, changed])
        assert len(encoded) == 2 + CANVASES


def test_a_cache_keeps_the_pictures_used_last_and_no_more_bytes_than_it_may(cached, images):
    one = cached.encode_images(images[:1]).nbytes
    cached.feature_cache = cache = FeatureCache(int(2.5 * one))
    for number in (0, 3, 0, 5):
        cached.embed_images(images[number : number + 1], masks=False)
        assert cache.nbytes <= cache.most_bytes
    with counted(cached.vision) as encoded:
        cached.semantic(images[5:6], NAMES)
        assert not encoded
        cached.semantic(images[3:4], NAMES)
        assert len(encoded) == 1
    cached.feature_cache = cache = FeatureCache(0)
    assert len(cached.semantic(images, NAMES)) == len(images) and len(cache) == cache.nbytes == 0
