"""Pictures of one pixel, of one cell of the coarsest map, and narrow ones are answered, or refused in one line."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from small_run import CONFIG

from find.errors import FindError
from find.model.model import FIND
from find.query.query import Phrase, Query, Region

SIDES = [(1, 1), (2, 2), (3, 3), (20, 20), (32, 32), (31, 33), (1, 40), (40, 1), (5, 900), (900, 5), (1, 5000)]
ONE_CELL = [(1, 1), (2, 2), (20, 20), (32, 32)]


@pytest.fixture(scope="module")
def model() -> FIND:
    """Its smallest canvas is one position of the coarsest map, each channel of which is a group of the group norm."""
    return FIND.build(replace(CONFIG, shortest_side=32, longest_side=96)).eval()


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), SIDES)
def test_each_is_answered_or_refused_in_one_line(model, height, width):
    image = picture(height, width)
    dog = Query(Phrase("a dog"), " like ", Region(image, points=(0, 0)))
    answers = (
        lambda: model.embed_images(image).image,
        lambda: model.segment(image, dog)[0].mask,
        lambda: model.panoptic(image, ["dog", "cat"]).segment_map,
        lambda: model.segment(picture(64, 64), dog)[1].mask,
    )
    for number, answer in enumerate(answers):
        try:
            found = answer()
        except FindError as error:
            assert (
                "too narrow" in str(error) and "\n" not in str(error) and max(height, width) > 20 * min(height, width)
            )
        else:
            assert number in (0, 3) or tuple(found.shape) == (height, width)


@pytest.mark.parametrize(("height", "width"), ONE_CELL)
def test_alone_it_is_what_it_is_among_others(model, height, width):
    image, other = picture(height, width), picture(32, 32)[::-1]
    alone, together = model.embed_images([image]).image, model.embed_images([image, other]).image
    np.testing.assert_allclose(alone[0], together[0], atol=1e-5)
    assert alone.isfinite().all()


def test_a_narrow_file_is_named(model, tmp_path):
    Image.fromarray(picture(2, 4000)).save(tmp_path / "strip.png")
    with pytest.raises(FindError, match=r"strip\.png: a picture of 4000x2 pixels is too narrow"):
        model.embed_images([tmp_path / "strip.png"])
