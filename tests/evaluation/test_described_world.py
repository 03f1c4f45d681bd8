"""Claims about what is known of a world's scenes: attributes as numbers, and which objects fit what is said."""

from dataclasses import fields

import pytest
import torch

from find.errors import InputError
from find.evaluation.described_world import (
    MISSING,
    SAME,
    DescribedWorld,
    all_descriptions,
    as_numbers,
    attributes,
    fits,
    is_held_out,
)
from find.model.model import FIND
from find.world.scene import TRAIN, scene


def test_numbers_fit_as_descriptions_do():
    segments = [segment for index in range(3) for segment in scene(5, TRAIN, index).segments]
    is_so = torch.tensor([attributes(segment) for segment in segments])
    for description in all_descriptions()[::37]:
        said = torch.tensor(as_numbers(description))
        assert fits(said, is_so).tolist() == [description.fits(segment) for segment in segments]


def test_all_descriptions_are_different():
    numbers = [as_numbers(one) for one in all_descriptions()]
    assert len(set(numbers)) == len(numbers) > 3000
    assert sum(map(is_held_out, all_descriptions())) == 12 * 3 * 4  # every pair held out, with each size and pattern


@pytest.fixture(scope="module")
def model():
    return FIND.from_pretrained("find-tiny").eval()


@pytest.fixture(scope="module")
def world(model):
    return DescribedWorld.embed(model, seed=5, split=TRAIN, count=4)


def test_phrases_of_sentences_are_true_of_their_images(world):
    assert world.is_there(world.spoken_said, world.spoken_image).all()
    nowhere = torch.full((len(world), 4), MISSING)
    assert not world.is_there(nowhere.clamp(min=10_000), torch.arange(len(world))).any()


def test_objects_know_the_segment_that_they_overlap(world):
    rows = torch.arange(len(world))
    good = world.overlap >= SAME
    assert good.any(dim=1).all()
    found = world.object_is(rows)
    for row in rows:
        of_image = {tuple(segment) for segment in world.segments[row].tolist()}
        assert {tuple(one) for one in found[row][good[row]].tolist()} <= of_image


def test_vectors_that_are_kept_are_read_again_and_never_taken_for_others(model, world, tmp_path, monkeypatch):
    file, scenes = tmp_path / "vectors" / "world.safetensors", {"seed": 5, "split": TRAIN}
    monkeypatch.setattr(DescribedWorld, "embed", lambda *_, **__: world)
    DescribedWorld.cached(file, model, **scenes, count=4)
    monkeypatch.undo()
    again = DescribedWorld.cached(file, model, **scenes, count=4)
    assert all(torch.equal(getattr(again, field.name), getattr(world, field.name)) for field in fields(world))
    with pytest.raises(InputError, match=r"world\.safetensors: these vectors are of .*'images': '4'"):
        DescribedWorld.cached(file, model, **scenes, count=5)
