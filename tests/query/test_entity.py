"""Claims about regions: each shape covers the pixels a person means, and what cannot be used is named."""

import pickle

import numpy as np
import pytest
from PIL import Image

from find.errors import FindError
from find.query.entity import Region

H, W = 60, 100
picture = np.zeros((H, W, 3), np.uint8)
rows, columns = np.mgrid[:H, :W]


def test_exactly_one_shape():
    for shapes in ({}, {"points": (1, 2), "box": (0, 0, 1, 1)}):
        with pytest.raises(FindError, match=r"region of dog\.jpg: give exactly one"):
            Region("dog.jpg", **shapes)


def test_a_point_is_a_disc_at_column_x_and_row_y():
    big = np.zeros((200, 300, 3), np.uint8)
    bitmap = Region(big, points=(120, 80)).bitmap()
    r, c = np.mgrid[:200, :300]
    np.testing.assert_array_equal(bitmap, (r - 80) ** 2 + (c - 120) ** 2 <= 3**2)


def test_several_points_are_the_union_of_each():
    union = Region(picture, points=(5, 6)).bitmap() | Region(picture, points=(50, 7)).bitmap()
    np.testing.assert_array_equal(Region(picture, points=[(5, 6), (50, 7)]).bitmap(), union)


@pytest.mark.parametrize("point", [(0, 0), (W - 1, H - 1), (W - 0.01, H - 0.01)])
def test_points_in_the_corners_count(point):
    assert Region(picture, points=point).bitmap().any()


@pytest.mark.parametrize("point", [(-1, 3), (W, 3), (3, H), (3, -0.5)])
@pytest.mark.parametrize("shape", ["points", "scribble"])
def test_a_point_outside_is_an_error_as_soon_as_the_image_is_known(point, shape, tmp_path):
    Image.fromarray(picture).save(tmp_path / "a.png")
    region = Region(tmp_path / "a.png", **{shape: [(1, 1), point]})
    with pytest.raises(FindError, match=r"outside the image, which is 100 wide and 60 high"):
        region.bitmap()
    with pytest.raises(FindError, match="outside"):
        Region(picture, **{shape: [(1, 1), point]})


def test_a_box_is_half_open_and_its_corners_come_in_any_order():
    expected = (rows >= 10) & (rows < 30) & (columns >= 20) & (columns < 25)
    for box in ((20, 10, 25, 30), (25, 30, 20, 10)):
        np.testing.assert_array_equal(Region(picture, box=box).bitmap(), expected)


def test_a_box_is_cut_at_the_border_but_must_touch_the_image():
    assert Region(picture, box=(-10, -10, 5, 5)).bitmap().sum() == 25
    for box in ((W, 0, W + 5, 5), (-9, -9, -3, -3)):
        with pytest.raises(FindError, match="box lies outside"):
            Region(picture, box=box)


def test_a_scribble_is_a_line_of_even_width():
    bitmap = Region(np.zeros((200, 300, 3), np.uint8), scribble=[(50, 100), (250, 100)]).bitmap()
    assert bitmap[:, 150].nonzero()[0].tolist() == list(range(97, 104))


def test_a_polygon_agrees_with_point_in_polygon():
    from matplotlib.path import Path

    corners = [(10, 5), (90, 20), (60, 55), (40, 25), (15, 50)]
    inside = Path(corners).contains_points(np.stack([columns.ravel(), rows.ravel()], 1)).reshape(H, W)
    bitmap = Region(picture, polygon=corners).bitmap()
    assert bitmap[inside].all()
    assert (bitmap & ~inside).sum() < 200  # the outline, about the perimeter's length


@pytest.mark.parametrize(
    ("shape", "value", "words"),
    [
        ("points", [], "pairs|at least 1"),
        ("points", [(1, 2, 3)], "pairs"),
        ("points", "here", "pairs"),
        ("points", (float("nan"), 1), "finite"),
        ("scribble", [(1, 2)], "at least 2"),
        ("polygon", [(1, 2), (3, 4)], "at least 3"),
        ("box", (1, 2, 3), "four"),
        ("box", (1, 2, 1, 5), "no area"),
        ("mask", np.zeros((H, W), bool), "mask is empty"),
        ("mask", Image.new("L", (W, H)), "mask is empty"),
        ("mask", np.zeros((H, W), np.float32), "float32"),
        ("mask", np.ones((H, W, 1), bool), r"\[60, 100, 1\]"),
        ("mask", np.ones((H, W - 1), bool), "99 wide and 60 high"),
    ],
)
def test_broken_shapes_are_refused_at_once(shape, value, words):
    with pytest.raises(FindError, match=words):
        Region(picture, **{shape: value})


def test_an_empty_mask_is_refused_before_its_image_is_read():
    for mask in (np.zeros((H, W), bool), Image.new("L", (W, H))):
        with pytest.raises(FindError, match="mask is empty"):
            Region("not-there-yet.jpg", mask=mask)


def test_masks_of_every_kind_agree(tmp_path):
    mask = (rows < 20) & (columns > 50)
    gray = (mask * 255).astype(np.uint8)
    rgba = np.dstack([np.full((H, W, 3), 90, np.uint8), gray])
    palette = Image.fromarray(mask.astype(np.uint8), "P")
    palette.putpalette([200, 0, 0, 0, 200, 0])
    pictures = [gray, (mask).astype(np.uint8), np.dstack([gray] * 3), rgba, mask.astype(np.uint16)]
    for index, each in enumerate([*map(Image.fromarray, pictures), Image.fromarray(mask), palette]):
        each.save(tmp_path / f"{index}.png")
        np.testing.assert_array_equal(Region(picture, mask=each).bitmap(), mask)
        np.testing.assert_array_equal(Region(picture, mask=tmp_path / f"{index}.png").bitmap(), mask)
    np.testing.assert_array_equal(Region(picture, mask=mask).bitmap(), mask)
    np.testing.assert_array_equal(Region(picture, mask=mask.astype(np.int64) * 7).bitmap(), mask)


def test_mask_files_that_cannot_be_used_are_named(tmp_path):
    Image.fromarray(np.zeros((H, W), np.uint8)).save(tmp_path / "empty.png")
    Image.fromarray(np.ones((H, 7), np.uint8)).save(tmp_path / "narrow.png")
    (tmp_path / "text.png").write_text("x")
    for name, words in [
        ("empty.png", "mask is empty"),
        ("narrow.png", "7 wide and 60 high"),
        ("text.png", "not an image"),
        ("gone.png", "no such image file"),
    ]:
        with pytest.raises(FindError, match=rf"{name}.*{words}"):
            Region(picture, mask=tmp_path / name).bitmap()


def test_coordinates_are_those_of_the_upright_photo(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side: 100 wide and 60 high as stored, 60 wide and 100 high to look at
    Image.fromarray(picture).save(tmp_path / "phone.jpg", exif=exif)
    region = Region(tmp_path / "phone.jpg", points=(30, 90))
    assert region.bitmap().shape == region.pixels().shape[:2] == (W, H)


def test_changing_the_result_does_not_change_the_region():
    region = Region(picture, mask=rows < 5)
    region.bitmap()[:] = False
    assert region.bitmap().any()


def test_a_region_can_be_sent_to_another_process():
    region = Region(picture, mask=rows < 5, label="top")
    assert pickle.loads(pickle.dumps(region)) == region


def test_regions_differ_where_anything_differs():
    one = Region("a.jpg", points=(1, 2))
    others = [Region("b.jpg", points=(1, 2)), Region("a.jpg", points=(1, 3)), Region("a.jpg", points=(1, 2), label="x")]
    assert one == Region("a.jpg", points=[(1.0, 2.0)])
    assert all(one != other for other in others)
