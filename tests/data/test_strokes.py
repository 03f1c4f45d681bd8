"""Claims about strokes: they lie where a user would draw them, and the simulated click is the deepest error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from find.data.strokes import GRID, StrokeKind, draw_stroke, next_click, sample_stroke
from find.errors import FindError
from find.query.query import Region

INSIDE = (StrokeKind.MASK, StrokeKind.POINT, StrokeKind.SCRIBBLE)
AROUND = (StrokeKind.BOX, StrokeKind.CIRCLE, StrokeKind.POLYGON)


@st.composite
def masks(draw):
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    bits = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    return np.array(bits).reshape(height, width)


def seeds():
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def disc(radius=20, height=80, width=100, x=50, y=40):
    rows, columns = np.mgrid[:height, :width]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@settings(deadline=None, max_examples=300)
@given(masks().filter(np.any), st.sampled_from(StrokeKind), seeds())
def test_strokes_are_never_empty_and_keep_the_size(mask, kind, rng):
    stroke = sample_stroke(mask, kind, rng)
    assert stroke.dtype == bool
    assert stroke.shape == mask.shape
    assert stroke.any()
    if kind in INSIDE:
        assert not (stroke & ~mask).any()


@pytest.mark.parametrize("kind", StrokeKind)
def test_the_seed_decides(kind):
    one, same, other = (sample_stroke(disc(), kind, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert kind is StrokeKind.MASK or (one != other).any()


@pytest.mark.parametrize("kind", AROUND)
def test_what_is_drawn_around_a_thing_means_that_thing(kind):
    rng = np.random.default_rng(0)
    for _ in range(50):
        stroke = sample_stroke(disc(), kind, rng)
        assert iou(stroke, disc()) > 0.45
        assert (stroke & disc()).sum() > 0.75 * disc().sum()


def test_a_mask_stroke_is_a_copy():
    mask = disc()
    sample_stroke(mask, StrokeKind.MASK, np.random.default_rng(0))[:] = False
    assert mask.any()


def test_a_point_is_the_one_that_a_user_of_region_gives():
    mask = np.ones((200, 150), bool)
    stroke = sample_stroke(mask, StrokeKind.POINT, np.random.default_rng(0))
    rows, columns = np.nonzero(stroke)
    image = np.zeros((200, 150, 3), np.uint8)
    region = Region(image, points=(columns.mean(), rows.mean()))
    np.testing.assert_array_equal(stroke, region.bitmap())


def test_points_reach_the_whole_mask_but_prefer_its_depth():
    mask = np.zeros((9, 40), bool)
    mask[:, 1:10] = True  # a deep square
    mask[4, 10:39] = True  # with a long thin tail
    rng = np.random.default_rng(0)
    columns = [np.nonzero(sample_stroke(mask, StrokeKind.POINT, rng))[1].mean() for _ in range(400)]
    in_tail = np.mean(np.array(columns) > 10)
    # The tail has 29 of 110 pixels (26 %), but 29 of 194 in summed depth (15 %).
    assert 0.08 < in_tail < 0.22


def test_a_scribble_is_longer_than_a_point():
    rng = np.random.default_rng(0)
    mean = {k: np.mean([sample_stroke(disc(), k, rng).sum() for _ in range(30)]) for k in INSIDE}
    assert mean[StrokeKind.POINT] < mean[StrokeKind.SCRIBBLE] < mean[StrokeKind.MASK]


@pytest.mark.parametrize("kind", StrokeKind)
def test_an_empty_mask_is_an_error(kind):
    with pytest.raises(FindError, match="empty mask"):
        sample_stroke(np.zeros((4, 4), bool), kind, np.random.default_rng(0))


def test_the_first_click_is_the_centre_of_the_target():
    nothing = np.zeros_like(disc())
    click = next_click(nothing, disc(), nothing)
    rows, columns = np.nonzero(click.stroke)
    assert click.is_positive
    assert (sorted(set(rows)), sorted(set(columns))) == ([39, 40, 41], [49, 50, 51])


def test_the_larger_error_is_clicked_and_a_tie_is_negative():
    target, prediction = np.zeros((20, 40), bool), np.zeros((20, 40), bool)
    target[5:10, 5:10] = True
    prediction[5:10, 25:30] = True
    nothing = np.zeros_like(target)
    click = next_click(prediction, target, nothing)
    assert not click.is_positive
    assert click.stroke[7, 27]
    target[4, 5] = True
    click = next_click(prediction, target, nothing)
    assert click.is_positive
    assert click.stroke[7, 7]


@settings(deadline=None)
@given(masks().flatmap(lambda m: st.tuples(st.just(m), *[st.permutations(list(m.ravel()))] * 2)))
def test_the_click_is_the_deepest_wrong_pixel(drawn):
    target = drawn[0]
    prediction, clicked = (np.array(bits, bool).reshape(target.shape) for bits in drawn[1:])
    click = next_click(prediction, target, clicked)
    missing, superfluous = target & ~prediction & ~clicked, prediction & ~target & ~clicked
    wrong = missing if missing.sum() > superfluous.sum() else superfluous
    if not wrong.any():
        assert click is None
        return
    padded = np.pad(wrong, 1)
    depths = cdist(np.argwhere(padded), np.argwhere(~padded)).min(axis=1)
    row, column = np.argwhere(wrong)[np.argmax(depths)]
    expected = np.zeros_like(wrong)
    expected[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
    np.testing.assert_array_equal(click.stroke, expected)
    assert click.is_positive == (missing.sum() > superfluous.sum())


def test_clicks_end_when_nothing_is_wrong():
    assert next_click(disc(), disc(), np.zeros_like(disc())) is None
    assert next_click(np.zeros_like(disc()), disc(), disc()) is None


@given(st.integers(0, 10_000), st.sampled_from(list(StrokeKind)))
def test_a_stroke_drawn_around_its_segment_only_is_that_on_the_whole_image(seed, kind):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(20, 200, size=2)
    y, x = rng.integers(0, height - 6), rng.integers(0, width - 6)
    h, w = rng.integers(4, height - y), rng.integers(4, width - x)
    index = np.full((height, width), -1, np.int16)
    index[y : y + h, x : x + w][rng.random((h, w)) < 0.7] = 3
    index[y, x : x + w] = index[y : y + h, x] = 3
    drawn = draw_stroke(index, 3, (x, y, w, h), kind, np.random.default_rng(1))
    canvas = np.zeros(index.shape, bool)
    drawn.paint(canvas)
    whole = sample_stroke(index == 3, kind, np.random.default_rng(1), grid=GRID)
    assert np.mean(canvas != whole) < 1e-3  # a coordinate may be rounded the other way


def test_points_of_a_grid_prefer_the_depth_as_all_pixels_do():
    mask = np.zeros((300, 300), bool)
    mask[20:280, 20:280] = True
    rng = np.random.default_rng(0)

    def depths(grid: int | None) -> np.ndarray:
        strokes = (sample_stroke(mask, StrokeKind.POINT, rng, radius=0, grid=grid) for _ in range(200))
        return np.array([min(abs(p - 150) for p in np.argwhere(stroke)[0]) for stroke in strokes])

    assert abs(depths(None).mean() - depths(GRID).mean()) < 6
