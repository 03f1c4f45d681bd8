"""Files are decoded as Pillow decodes them, and segments found as one finds them pixel by pixel."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from find.data.decode import decode_photo, decode_segment_map, segment_png
from find.data.segment_map import locate
from find.errors import FindError
from find.images.images import read_image


def encoded(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def test_photographs_have_pillows_pixels(shared):
    for path in sorted((shared / "coco-sample" / "coco" / "val2017").glob("*.jpg"))[:12]:
        assert np.array_equal(decode_photo(path.read_bytes(), "a"), read_image(path))


def test_other_kinds_of_picture_too():
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 4)).astype(np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    for data in (
        encoded(Image.fromarray(noise[..., 0]), "JPEG"),
        encoded(Image.fromarray(noise).convert("CMYK"), "JPEG"),
        encoded(Image.fromarray(noise[..., :3]), "JPEG", exif=turned),
        encoded(Image.fromarray(noise), "PNG"),
    ):
        assert np.array_equal(decode_photo(data, "a"), read_image(io.BytesIO(data)))


@pytest.mark.parametrize("kept", [4, 300, -40])
def test_a_truncated_file_is_named(kept):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8))
    with pytest.raises(FindError, match=r"a\.jpg"):
        decode_photo(encoded(noise, "JPEG")[:kept], "a.jpg")
    with pytest.raises(FindError, match=r"a\.png: the PNG is broken"):
        decode_segment_map(encoded(noise, "PNG")[:kept], "a.png")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_colours_are_ids(mode):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (9, 11, 3)).astype(np.uint8)).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(rng.integers(0, 256, (9, 11)).astype(np.uint8)))
    r, g, b = np.moveaxis(np.asarray(image.convert("RGB")).astype(np.int32), -1, 0)
    ids = decode_segment_map(encoded(image, "PNG"), "a")
    assert ids.dtype == np.int32 and np.array_equal(ids, r + 256 * g + 65536 * b)


def test_segment_maps_are_read_as_they_were_painted():
    ids = np.random.default_rng(0).integers(0, 1 << 24, (9, 11)).astype(np.int32)
    ids[0, :3] = 0, 255, (1 << 24) - 1
    assert np.array_equal(decode_segment_map(encoded(segment_png(ids), "PNG"), "a"), ids)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000))
def test_segments_are_located_as_pixel_by_pixel(height, width, seed):
    rng = np.random.default_rng(seed)
    names = np.array([900, 7, 70_000, 5])
    ids = np.array([70_000, 7, 900], np.int32)  # 5 is not asked for
    segment_map = rng.choice(np.append(names, 0), (height, width)).astype(np.int32)
    found = locate(segment_map, ids)
    for number, id in enumerate(ids):
        mask = segment_map == id
        assert np.array_equal(found.index == number, mask) and found.areas[number] == mask.sum()
        rows, columns = np.nonzero(mask)
        box = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1) if len(rows) else (0, 0, 0, 0)
        assert found.boxes[number] == box
    assert np.array_equal(found.index < 0, ~np.isin(segment_map, ids))
