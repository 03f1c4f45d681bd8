"""Transforms move picture, segments, boxes and sentences together, to places one can work out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_folder import CROWD, DOG_BOX, SKY, dog

from find.data.coco import CocoFolder
from find.data.sample import Sample, Segment
from find.data.transforms import (
    ColorJitter,
    FixedSize,
    HorizontalFlip,
    LargeScaleJitter,
    ResizeLongest,
    crop,
    flip,
    resize,
    swap_sides,
    zoom,
)

RNG = np.random.default_rng(0)


@pytest.fixture
def sample(tiny) -> Sample:
    """64 x 48 pixels: sky above, a dog at (8, 20) of 16 x 20, a crowd at (40, 20) of 20 x 20."""
    return CocoFolder(tiny.root, "val2017").sample(1)


def boxes(sample: Sample) -> dict[int, tuple[int, ...]]:
    return {segment.id: segment.bbox for segment in sample.segments}


def consistent(sample: Sample) -> None:
    """Image and map have one size, each segment's area is its pixels, each text means segments that are there."""
    assert sample.image.shape == (*sample.segment_map.shape, 3) and sample.image.dtype == np.uint8
    assert {one.id: one.area for one in sample.segments} == {
        id: int((sample.segment_map == id).sum()) for id in np.unique(sample.segment_map).tolist() if id
    }
    there = set(boxes(sample))
    for sentence in sample.sentences:
        for phrase in sentence.phrases:
            assert there.issuperset(phrase.segment_ids)
            assert sentence.text[phrase.start : phrase.end] == phrase.text
    assert there.issuperset(expression.segment_id for expression in sample.expressions)


def test_resizing_scales_boxes_and_the_dog_stays_brown(sample):
    double = ResizeLongest(128)(sample, RNG)
    consistent(double)
    assert double.size == (96, 128)
    assert boxes(double) == {SKY: (0, 0, 128, 32), dog(1): (16, 40, 32, 40), CROWD: (80, 40, 40, 40)}
    assert np.abs(double.image[60, 32].astype(int) - (200, 100, 0)).max() < 25
    half = FixedSize(48, 32)(sample, RNG)
    consistent(half)
    assert boxes(half)[dog(1)] == (4, 20, 8, 20)


def test_resizing_up_and_down_again_gives_the_same_segments(sample):
    back = resize(resize(sample, 144, 192), 48, 64)
    assert np.array_equal(back.segment_map, sample.segment_map) and back.segments == sample.segments


def test_cropping_moves_boxes_and_takes_out_what_is_gone(sample):
    part = crop(sample, 18, 4, 28, 30)  # dog only: no sky above, no crowd to the right
    consistent(part)
    assert boxes(part) == {dog(1): (DOG_BOX[0] - 4, DOG_BOX[1] - 18, 16, 20)}
    assert part.sentences == ()  # it speaks of the sky
    assert [expression.text for expression in part.expressions] == ["the brown dog"]
    assert part.captions == sample.captions
    assert np.array_equal(part.image, sample.image[18:46, 4:34])


def test_a_crop_that_loses_no_segment_keeps_the_sentences(sample):
    part = crop(sample, 5, 2, 43, 62)
    assert part.sentences == sample.sentences
    assert boxes(part)[SKY] == (0, 0, 62, 11)


def test_flipping_mirrors_pixels_and_words(sample):
    mirrored = flip(sample)
    consistent(mirrored)
    assert boxes(mirrored)[dog(1)] == (64 - 8 - 16, 20, 16, 20)
    assert mirrored.sentences[0].text == "A dog on the right under the sky."
    assert [phrase.text for phrase in mirrored.sentences[0].phrases] == ["A dog on the right", "the sky"]
    again = flip(mirrored)
    assert np.array_equal(again.image, sample.image) and again.sentences == sample.sentences
    assert HorizontalFlip(probability=0)(sample, RNG) is sample
    assert np.array_equal(HorizontalFlip(probability=1)(sample, RNG).image, mirrored.image)


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("left", "right"),
        ("Left of the RIGHT one, leftmost", "Right of the LEFT one, rightmost"),
        ("a bright leftover", "a bright leftover"),
    ],
)
def test_only_the_words_left_and_right_are_swapped(text, swapped):
    assert swap_sides(text)[0] == swapped


@given(st.lists(st.sampled_from(["left", "Right", "dog", "on", "leftmost", "rightly"]), min_size=1, max_size=12))
def test_swapping_moves_every_word_to_where_it_stands_afterwards(words):
    text = " ".join(words)
    swapped, moved = swap_sides(text)
    position = 0
    for word in words:
        start, end = position, position + len(word)
        assert swapped[moved(start) : moved(end)] == swap_sides(word)[0]
        position = end + 1
    assert swap_sides(swapped)[0] == text


@given(seed=st.integers(0, 2**32 - 1))
def test_scale_jitter_keeps_everything_consistent(seed):
    map_ = np.zeros((30, 44), np.int32)
    map_[5:25, 10:40] = 9
    sample = Sample(1, "a.jpg", np.full((30, 44, 3), 7, np.uint8), map_, (Segment(9, 1, 600, (10, 5, 30, 20)),))
    jittered = LargeScaleJitter(40)(sample, np.random.default_rng(seed))
    consistent(jittered)
    assert max(jittered.size) <= 40 and (jittered.image == 7).all()


@pytest.mark.parametrize("size", [(30, 40), (144, 192), (48, 33)])
def test_pixels_are_those_of_pillow(shared, size):
    folder = CocoFolder(shared / "coco-sample" / "coco", "val2017")
    sample = folder[0]
    scaled = resize(sample, *size)
    expected = Image.fromarray(sample.image).resize(size[::-1], Image.Resampling.BILINEAR)
    assert np.abs(scaled.image.astype(int) - np.asarray(expected)).max() <= 1


def test_a_part_is_scaled_as_if_it_were_the_whole(sample):
    zoomed = zoom(sample, (18, 4, 28, 30), (56, 60))
    expected = resize(crop(sample, 18, 4, 28, 30), 56, 60)
    assert np.array_equal(zoomed.image, expected.image) and zoomed.segments == expected.segments
    assert np.array_equal(zoomed.segment_map, np.kron(sample.segment_map[18:46, 4:34], np.ones((2, 2), int)))


def test_colours_change_but_nothing_else(sample):
    jittered = ColorJitter(brightness=0.5)(sample, np.random.default_rng(3))
    consistent(jittered)
    assert not np.array_equal(jittered.image, sample.image)
    assert jittered.segment_map is sample.segment_map
    assert np.array_equal(ColorJitter(brightness=0, contrast=0, saturation=0)(sample, RNG).image, sample.image)
