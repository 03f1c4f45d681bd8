"""Protocols that ask about an image several times have it encoded once, and find what they found without."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from oracle import Oracle

from find import FIND
from find.evaluation.encoding import encode_once, some_of
from find.evaluation.prediction_files.folder import NamedFolder
from find.evaluation.prediction_files.recorder import Recorder
from find.evaluation.protocols.interactive import interactive
from find.evaluation.protocols.panoptic import panoptic
from find.world import generate_world

IMAGES = 5
PROTOCOLS = {
    "interactive": lambda system, folder, batch_size: interactive(
        system, folder, clicked_images=4, max_clicks=6, batch_size=batch_size
    ),
    "panoptic": lambda system, folder, batch_size: panoptic(system, folder, batch_size=batch_size),
}


class WithoutFeatures:
    """A model of whose methods only those are known that other people's systems have."""

    def __init__(self, model: FIND) -> None:
        self.interact, self.panoptic = model.interact, model.panoptic
        self.instances, self.semantic = model.instances, model.semantic


@pytest.fixture(scope="module")
def model() -> FIND:
    return FIND.from_pretrained("find-tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> NamedFolder:
    root = tmp_path_factory.mktemp("world")
    generate_world(root, images=1, val_images=IMAGES, seed=5)
    return NamedFolder(root, "val2017")


@contextmanager
def encoded_images(model: FIND) -> Iterator[list[int]]:
    """How many images each run of the vision encoder gets."""
    counts: list[int] = []
    handle = model.vision.register_forward_hook(lambda _, given, __: counts.append(len(given[0])))
    yield counts
    handle.remove()


@pytest.mark.parametrize(("protocol", "batch_size"), [("interactive", 1), ("panoptic", 3)])
def test_figures_are_the_same_to_the_last_digit(model, folder, protocol, batch_size):
    """Images in equal batches are encoded equally. Without features those that are still clicked on make smaller ones,
    whose last bits may differ; of one image they cannot."""
    ask = PROTOCOLS[protocol]
    one, two = ask(model, folder, batch_size), ask(WithoutFeatures(model), folder, batch_size)
    assert one.to_json() == two.to_json() and one.details() == two.details()
    assert getattr(one, "tracks", None) == getattr(two, "tracks", None)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_image_is_encoded_once(model, folder, protocol):
    with encoded_images(model) as counts:
        PROTOCOLS[protocol](model, folder, 3)
    assert sum(counts) == IMAGES


def test_a_system_that_keeps_nothing_is_asked_with_images(folder):
    images = [folder.image(image_id) for image_id in folder.image_ids]
    given = encode_once(Oracle(folder), images)
    assert given is images and some_of(given, range(IMAGES)) is images
    assert some_of(given, [3, 1])[0] is images[3]


def test_predictions_are_recorded_of_images_that_are_encoded_once(model, folder, tmp_path):
    with encoded_images(model) as counts:
        found = {}
        for name, system in (("with", model), ("without", WithoutFeatures(model))):
            recorder = Recorder(system, folder=folder, out=tmp_path / name)
            panoptic(recorder, folder, batch_size=3)
            interactive(recorder, folder, clicked_images=1, max_clicks=2, batch_size=3)
            found[name] = [Path(file).read_bytes() for file in recorder.save()]
            found[name] += [file.read_bytes() for file in sorted((tmp_path / name).glob("panoptic/*.png"))]
    assert found["with"] == found["without"] and len(found["with"]) == 3 + IMAGES
    rounds = 2 + 4  # of clicks and of strokes on the first image
    assert sum(counts) == 2 * IMAGES + 3 * IMAGES + rounds + IMAGES - 1
