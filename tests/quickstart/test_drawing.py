"""Claims about drawings: what is tinted, outlined and tagged, and what stays as it is."""

import numpy as np
import pytest
from PIL import Image

from find.visualization.drawing import Overlay, crop_region, draw_overlays, entity_color, tile

GREY = 128


def _image(height=60, width=80):
    return np.full((height, width, 3), GREY, np.uint8)


def _mask(box, height=60, width=80):
    mask = np.zeros((height, width), bool)
    x0, y0, x1, y1 = box
    mask[y0:y1, x0:x1] = True
    return mask


def _distance(pixel, color):
    return float(np.abs(np.asarray(pixel, float) - color).max())


def test_pixels_far_from_any_mask_stay_and_those_inside_take_its_colour():
    drawn = np.asarray(draw_overlays(_image(), [Overlay(_mask((40, 20, 80, 60)), "it")], min_side=80))
    assert _distance(drawn[5, 5], (GREY,) * 3) == 0
    color = np.array(entity_color(0))
    edge, inside = drawn[59, 60], drawn[23, 45]
    assert _distance(edge, color) < 3
    expected = 0.85 * GREY + 0.15 * color
    assert _distance(inside, expected) < 4


def test_small_images_are_enlarged_and_large_ones_are_not():
    overlay = Overlay(_mask((10, 10, 30, 30)), "it")
    assert draw_overlays(_image(), [overlay], min_side=480).size == (480, 360)
    assert draw_overlays(_image(), [overlay], min_side=40).size == (80, 60)


def test_entities_have_colours_by_their_order_even_after_an_empty_mask():
    empty = Overlay(_mask((0, 0, 0, 0)), "nothing")
    drawn = np.asarray(draw_overlays(_image(), [empty, Overlay(_mask((0, 0, 80, 60)), "all")], min_side=80))
    assert _distance(drawn[0, 0], entity_color(1)) < 3


def test_nothing_found_leaves_the_image():
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    drawn = draw_overlays(image, [Overlay(_mask((0, 0, 0, 0)), "nothing")], min_side=80)
    assert (np.asarray(drawn) == image).all()


def test_tags_of_masks_in_one_place_do_not_hide_each_other():
    mask = _mask((30, 25, 50, 35))
    one = np.asarray(draw_overlays(_image(), [Overlay(mask, "first", 0.5)], min_side=480))
    both = np.asarray(
        draw_overlays(_image(), [Overlay(mask, "first", 0.5), Overlay(mask, "second", 0.5)], min_side=480)
    )
    color = np.array(entity_color(0))

    def solid(picture):
        return (np.abs(picture.astype(int) - color).max(axis=2) < 2).sum()

    # the second tint covers the first outline, but the first tag keeps its pixels
    assert solid(both) > 0.5 * solid(one)


def test_long_words_and_masks_at_the_border_stay_inside():
    overlay = Overlay(_mask((78, 0, 80, 2)), "a phrase of very many words " * 5, 0.99)
    assert draw_overlays(_image(), [overlay], min_side=100).size == (100, 75)


def test_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match="it"):
        draw_overlays(_image(), [Overlay(np.ones((5, 5), bool), "it")])


@pytest.mark.parametrize("box", [(0, 0, 4, 4), (70, 50, 80, 60), (0, 0, 80, 60), (40, 30, 41, 31)])
def test_thumbnail_shows_the_region_in_full_colour_and_the_rest_pale(box):
    image = _image()
    thumbnail = np.asarray(crop_region(image, _mask(box), side=96))
    assert thumbnail.shape == (96, 96, 3)
    flat = thumbnail.reshape(-1, 3).astype(int)
    full = (np.abs(flat - GREY).max(axis=1) < 8).mean()
    assert full > 0.0005
    pale = (np.abs(flat - (0.4 * GREY + 0.6 * 255)).max(axis=1) < 8).mean()
    assert pale > 0.05 or box == (0, 0, 80, 60)


def test_thumbnail_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no pixels"):
        crop_region(_image(), _mask((0, 0, 0, 0)))


def test_sheet_has_rows_for_all_images_and_room_for_captions():
    images = [Image.new("RGB", (30, 20), (250, 0, 0))] * 5
    plain = tile(images, columns=3, side=40, gap=4)
    assert plain.size == (3 * 44 + 4, 2 * 40 + 3 * 4)
    captioned = tile(images, columns=3, side=40, gap=4, captions=["some words to wrap"] * 5)
    assert captioned.width == plain.width and captioned.height > plain.height
    with pytest.raises(ValueError, match="at least one"):
        tile([], columns=2)
