"""A picture is the same array whichever function reads it, however its file stores it."""

import contextlib
import io
import struct
import zlib
from base64 import b64encode

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, features

from find.data.decode import decode_photo
from find.errors import FindError
from find.images.images import read_image, read_mask, read_orientation, read_size
from find.images.orientation import jpeg_orientation, orientation, turn
from find.query.entity import Region
from find.retrieval.photos import PhotoFile, read_photo

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [128, 128, 128]], np.uint8)
UPRIGHT = np.kron(COLOURS.reshape(2, 3, 3), np.ones((16, 16, 1), np.uint8))  # 32 high, 48 wide, no two corners alike
WRITTEN = {
    "jpg": {"quality": 100, "subsampling": 0},
    "png": {},
    "webp": {"lossless": True},
    "tif": {},
    "avif": {"quality": 100, "subsampling": "4:4:4"},
}


def exif_of(expected: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = expected
    exif.get_ifd(0x8769)[0x9003] = "2024:05:04 03:02:01"
    return exif


def stored(expected: int) -> np.ndarray:
    """How a camera holds `UPRIGHT`: the pixels that become it when they are turned."""
    return {
        1: UPRIGHT, 2: UPRIGHT[:, ::-1], 3: np.rot90(UPRIGHT, 2), 4: UPRIGHT[::-1], 5: UPRIGHT.swapaxes(0, 1),
        6: np.rot90(UPRIGHT, 1), 7: np.rot90(UPRIGHT, 2).swapaxes(0, 1), 8: np.rot90(UPRIGHT, -1),
    }[expected]  # fmt: skip


def alike(pixels: np.ndarray) -> bool:
    return pixels.shape == UPRIGHT.shape and np.abs(pixels.astype(int) - UPRIGHT).max() <= 12


@pytest.mark.parametrize("expected", range(1, 9))
@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_reader_turns_every_format_the_same_way(suffix, expected, tmp_path):
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow does not write AVIF")
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.ascontiguousarray(stored(expected))).save(path, exif=exif_of(expected), **WRITTEN[suffix])
    data = path.read_bytes()
    (photo,) = [read_photo(PhotoFile.at(path, tmp_path))]
    readings = {
        "file": read_image(path),
        "bytes": read_image(io.BytesIO(data)),
        "opened": read_image(Image.open(path)),
        "training": decode_photo(data, "a"),
        "album": photo.pixels,
        "region": Region(path, points=(47, 1)).pixels(),
    }
    assert alike(readings["file"])
    for reader, pixels in readings.items():
        assert np.array_equal(pixels, readings["file"]), reader
    loaded = Image.open(path)
    loaded.load()
    for image in (path, io.BytesIO(data), Image.open(path), loaded):
        assert read_size(image) == (32, 48)
    assert Region(path, points=(47, 1)).bitmap()[1, 47]
    assert alike(read_image(loaded)) and alike(read_image(loaded.convert("RGB")))
    with pytest.raises(FindError):
        Region(path, points=(1, 40)).bitmap()  # inside of what is stored on its side, outside of the picture


@pytest.mark.parametrize("expected", [1, 3, 6])
def test_masks_are_turned_as_pictures_are(expected, tmp_path):
    mask = (UPRIGHT == [255, 0, 0]).all(axis=2)
    turned = np.ascontiguousarray((stored(expected) == [255, 0, 0]).all(axis=2))
    Image.fromarray(turned.astype(np.uint8)).save(tmp_path / "m.png", exif=exif_of(expected))
    assert np.array_equal(read_mask(tmp_path / "m.png"), mask)


def test_uploads_are_read_as_files_are(tmp_path):
    pytest.importorskip("fastapi")
    from find.serving.budget import Budget
    from find.serving.limits import Limits
    from find.serving.picture_store import PictureStore
    from find.serving.uploads import Pictures

    Image.fromarray(np.ascontiguousarray(stored(6))).save(tmp_path / "a.png", exif=exif_of(6))
    deep = np.zeros((32, 48), np.uint16)
    deep[:16, :16] = 1  # a number that eight bits would lose
    Image.fromarray(deep).save(tmp_path / "m.png")
    images = {name: b64encode((tmp_path / name).read_bytes()).decode() for name in ("a.png", "m.png")}
    with Budget(1 << 30).share() as share:
        kept = PictureStore(1 << 20, seconds=60)
        pictures = Pictures(images, Limits(), share, stored=lambda name: pytest.fail(name), kept=kept)
        assert np.array_equal(pictures.named("a.png"), UPRIGHT)
        assert np.array_equal(pictures.mask("m.png"), deep > 0)
        pictures.check_used()


@pytest.mark.parametrize("expected", range(1, 9))
def test_turning_an_array_is_what_pillow_does(expected):
    image = Image.fromarray(np.ascontiguousarray(stored(expected)))
    image.getexif()[0x0112] = expected
    assert np.array_equal(turn(stored(expected), expected), UPRIGHT) and np.array_equal(read_image(image), UPRIGHT)


JPEG = io.BytesIO()
Image.fromarray(UPRIGHT).save(JPEG, "JPEG", quality=100, subsampling=0)
JPEG = JPEG.getvalue()
PNG = io.BytesIO()
Image.fromarray(UPRIGHT).save(PNG, "PNG")
PNG = PNG.getvalue()
AVIF = io.BytesIO()
if features.check("avif"):
    Image.fromarray(UPRIGHT).save(AVIF, "AVIF", exif=exif_of(6).tobytes())
AVIF = AVIF.getvalue()
GOOD = b"Exif\0\0" + exif_of(6).tobytes().removeprefix(b"Exif\0\0")


def segment(kind: int, payload: bytes) -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", len(payload) + 2) + payload


@st.composite
def metadata(draw) -> bytes:
    """EXIF that is cut, overwritten here and there, repeated, or no EXIF at all."""
    data = bytearray(draw(st.sampled_from([GOOD, b"Exif\0\0" + GOOD, b"Exif\0\0", GOOD + GOOD])))
    for place, value in draw(
        st.lists(st.tuples(st.integers(6, max(6, len(data) - 1)), st.integers(0, 255)), max_size=6)
    ):
        if place < len(data):
            data[place] = value
    return bytes(data[: draw(st.integers(6, len(data)))]) + draw(st.binary(max_size=8))


def agree(data: bytes, pixels: np.ndarray) -> None:
    """The pixels are there, turned one of eight ways, and all ways of reading say the same."""
    read = read_image(io.BytesIO(data))
    expected = read_orientation(io.BytesIO(data))
    assert np.array_equal(read, turn(pixels, expected))
    assert read_size(io.BytesIO(data)) == read.shape[:2]
    assert np.array_equal(decode_photo(data, "a"), read)


XMP = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just(0xE1), metadata()),
            st.tuples(st.just(0xE1), st.integers(0, 12).map(lambda expected: XMP % expected)),
            st.tuples(st.just(0xE2), st.binary(max_size=30).map(lambda rest: b"MPF\0" + rest)),
            st.tuples(st.integers(0xE0, 0xEF), st.binary(max_size=40)),
        ),
        max_size=4,
    )
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_metadata_of_a_jpeg_cost_no_pixels_and_turn_it_alike_everywhere(segments):
    if any(kind == 0xEE and payload.startswith(b"Adobe") for kind, payload in segments):
        return  # which tells how colours are to be read
    data = JPEG[:2] + b"".join(segment(kind, payload) for kind, payload in segments) + JPEG[2:]
    agree(data, read_image(io.BytesIO(JPEG)))
    if (quick := jpeg_orientation(data)) is not None:
        with contextlib.suppress(OSError):  # Pillow cannot open what libjpeg can
            assert quick == orientation(Image.open(io.BytesIO(data)))


@given(
    st.sampled_from([b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"pHYs", b"tIME", b"acTL", b"zzZz"]),
    st.one_of(metadata(), st.binary(max_size=40)),
    st.booleans(),
    st.sampled_from([b"IDAT", b"IEND"]),
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_chunks_of_a_png_cost_no_pixels(kind, payload, is_sound, following):
    sum_of_it = zlib.crc32(kind + payload) if is_sound else 7
    chunk = struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", sum_of_it)
    place = PNG.index(following) - 4
    agree(PNG[:place] + chunk + PNG[place:], UPRIGHT)


@pytest.mark.parametrize("expected", range(1, 9))
@pytest.mark.parametrize("following", [b"IDAT", b"IEND"])
def test_exif_of_a_png_counts_before_and_after_its_pixels_which_are_decoded_only_for_the_latter(expected, following):
    exif = exif_of(expected).tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    place = PNG.index(following) - 4
    data = PNG[:place] + chunk + PNG[place:]
    opened = Image.open(io.BytesIO(data))
    assert orientation(opened) == expected
    assert bool(opened.tile) == (following == b"IDAT")  # Pillow empties its list of tiles when it decodes
    agree(data, UPRIGHT)


def test_the_size_of_a_png_without_metadata_is_read_without_decoding_it():
    opened = Image.open(io.BytesIO(PNG))
    assert read_size(opened) == (32, 48) and opened.tile
    assert np.array_equal(read_image(opened), UPRIGHT)


def test_metadata_that_come_twice_or_only_as_xmp_turn_a_picture_everywhere():
    twice = JPEG[:2] + segment(0xE1, b"Exif\0\0" + GOOD) + JPEG[2:]
    xmp = JPEG[:2] + segment(0xE1, XMP % 6) + JPEG[2:]
    assert {read_orientation(io.BytesIO(data)) for data in (twice, xmp)} == {6}
    assert read_size(io.BytesIO(xmp)) == (48, 32)


@pytest.mark.parametrize("expected", range(1, 9))
def test_the_quick_look_at_a_jpeg_needs_no_pillow(expected):
    big_endian = b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0%c\0\0\0\0\0\0" % expected
    for exif in (exif_of(expected).tobytes(), big_endian):
        data = JPEG[:2] + segment(0xE1, b"Exif\0\0" + exif.removeprefix(b"Exif\0\0")) + JPEG[2:]
        assert jpeg_orientation(data) == expected == read_orientation(io.BytesIO(data))
    assert jpeg_orientation(JPEG) == 1


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow does not write AVIF")
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), min_size=1, max_size=6))
@example([(0, 0), (4, 255)])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_metadata_of_an_avif_cost_no_pixels(changes):
    data = bytearray(AVIF)
    start = data.index(b"mdat") + 8
    for place, value in changes:
        data[start + place] = value
    read = read_image(io.BytesIO(data))
    assert read.size == UPRIGHT.size and read_size(io.BytesIO(data)) == read.shape[:2]


TIFF = io.BytesIO()
Image.fromarray(UPRIGHT).save(TIFF, "TIFF", exif=exif_of(1), software="x" * 9, description="y" * 9)
TIFF = TIFF.getvalue()


@given(st.sampled_from([270, 274, 305]), st.binary(min_size=10, max_size=10))
@example(274, b"\x02\0\xff\xff\xff\xff\xff\xff\xff\x7f")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tags_of_a_tiff_that_tell_nothing_of_its_pixels_cost_none(tag, rest):
    data = bytearray(TIFF)
    directory = struct.unpack("<I", data[4:8])[0]
    entries = range(directory + 2, directory + 2 + 12 * struct.unpack("<H", data[directory : directory + 2])[0], 12)
    (entry,) = [place for place in entries if data[place : place + 2] == struct.pack("<H", tag)]
    data[entry + 2 : entry + 12] = rest
    read = read_image(io.BytesIO(data))
    assert any(np.array_equal(read, turn(UPRIGHT, expected)) for expected in range(1, 9))
    assert read_size(io.BytesIO(data)) == read.shape[:2]


@pytest.mark.parametrize("expected", range(1, 9))
@pytest.mark.parametrize("told_by", ["xmp", "pages", "compressed", "animation", "grey"])
def test_other_ways_of_being_turned(told_by, expected):
    """XMP alone, the first of several pages, TIFF that libtiff reads, and modes that torchvision leaves to Pillow."""
    image, exif = Image.fromarray(np.ascontiguousarray(stored(expected))), exif_of(expected)
    other = Image.new("RGB", image.size)
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>' % expected
    written = {
        "xmp": [("TIFF", {"tiffinfo": {700: xmp}}), ("WEBP", {"xmp": xmp, "lossless": True}), ("JPEG", {"xmp": xmp})],
        "pages": [("TIFF", {"exif": exif, "save_all": True, "append_images": [other]})],
        "compressed": [("TIFF", {"exif": exif, "compression": "tiff_lzw"}), ("TIFF", {"exif": exif, "big_tiff": True})],
        "animation": [
            (format, {"exif": exif, "save_all": True, "append_images": [other], "lossless": True})
            for format in ("WEBP", "PNG")
        ],
        "grey": [("JPEG", {"exif": exif}), ("PNG", {"exif": exif})],
    }[told_by]
    grey = np.asarray(Image.fromarray(UPRIGHT).convert("L"))
    for format, options in written:
        file = io.BytesIO()
        (image.convert("L") if told_by == "grey" else image).save(file, format, **options)
        read = read_image(io.BytesIO(file.getvalue()))
        wanted = np.repeat(grey[..., None], 3, axis=2) if told_by == "grey" else UPRIGHT
        assert read.shape == UPRIGHT.shape and np.abs(read.astype(int) - wanted).mean() < 8
        assert read_size(io.BytesIO(file.getvalue())) == (32, 48)
        assert np.array_equal(decode_photo(file.getvalue(), "a"), read)
