"""Claims about reading pictures: every kind of file becomes the same upright RGB, and bad files are named."""

import io

import numpy as np
import pytest
from PIL import Image

from find.errors import FindError
from find.images.images import read_image, read_size


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_path_pil_array_and_open_file_agree(pixels, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    for image in (path, str(path), Image.fromarray(pixels), pixels, io.BytesIO(path.read_bytes())):
        np.testing.assert_array_equal(read_image(image), pixels)


def test_result_of_a_file_is_writable(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").flags.writeable


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_photo_upright(orientation, tmp_path):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 255  # a white quarter at the top left
    # How a camera stores the scene under each orientation: the inverse of what a viewer must do.
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright, 1), 7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.jpg", exif=exif, quality=100)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg"), upright, atol=12)
    assert read_size(tmp_path / "a.jpg") == upright.shape[:2]
    assert read_size(Image.open(tmp_path / "a.jpg")) == upright.shape[:2]


def test_gray_becomes_three_equal_channels():
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    expected = np.repeat(gray[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_image(gray), expected)
    np.testing.assert_array_equal(read_image(Image.fromarray(gray)), expected)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    Image.fromarray(np.array([[0, 257, 32896, 65535]], dtype=np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png")[0, :, 0].tolist() == [0, 1, 128, 255]


def test_transparent_pixels_are_white_whatever_lies_under_them(tmp_path):
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "sticker.png")
    for image in (rgba, tmp_path / "sticker.png"):
        assert read_image(image).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_palette_and_cmyk(tmp_path):
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    red.convert("P").save(tmp_path / "p.png")
    red.convert("CMYK").save(tmp_path / "c.jpg", quality=100)
    for name in ("p.png", "c.jpg"):
        np.testing.assert_allclose(read_image(tmp_path / name), np.asarray(red), atol=6)


def test_missing_file_folder_and_text_file_are_named(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(FindError, match=r"nowhere\.jpg: no such image file"):
        read_image(tmp_path / "nowhere.jpg")
    with pytest.raises(FindError, match="folder"):
        read_image(tmp_path)
    with pytest.raises(FindError, match=r"notes\.txt: not an image"):
        read_image(tmp_path / "notes.txt")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("kept", [0.9, 0.3, 0.02, 0.0])
def test_truncated_file_is_named(suffix, kept, tmp_path):
    path = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(FindError, match=rf"cut\.{suffix}"):
        read_image(path)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), "uint8"),
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
    ],
)
def test_wrong_arrays_say_what_is_needed(array, words):
    with pytest.raises(FindError, match=words):
        read_image(array)


def test_other_objects_and_float_images_are_refused():
    with pytest.raises(FindError, match="an image is a path"):
        read_image(3)
    with pytest.raises(FindError, match="range"):
        read_image(Image.new("F", (2, 2)))


def test_no_address_of_memory_is_told():
    with pytest.raises(FindError, match=r"^mine: not an image that can be read \(cannot identify image file\)$"):
        read_image(io.BytesIO(b"no picture"), name="mine")


def test_errors_use_the_given_name():
    with pytest.raises(FindError, match=r"val2017\.zip/1\.jpg"):
        read_image(io.BytesIO(b"x"), name="val2017.zip/1.jpg")
