"""A file is what its first bytes say: what Pillow opens is a picture whatever its suffix, and nothing else is."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, features

from find.errors import FindError
from find.images.formats import (
    MACOS_NOTE,
    NONE,
    PICTURE,
    PICTURE_SUFFIXES,
    RAW,
    RAW_SUFFIXES,
    VIDEO,
    VIDEO_SUFFIXES,
    Medium,
    detect_format,
    format_of_file,
)
from find.images.images import read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
SIGNED = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "JPEG2000", "PPM", "ICO", "ICNS", "DDS", "QOI")
BY_SUFFIX = {"TGA": ".tga", "PCX": ".pcx", "SGI": ".sgi", "DIB": ".dib"}
NAMES = sorted(PICTURE_SUFFIXES | VIDEO_SUFFIXES | {"", ".txt", ".JPG", ".jpg_original", ".part", ".bin"})


def encoded(format: str, pixels: np.ndarray = PIXELS, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    missing = set() if features.check("avif") else {"AVIF"}
    missing |= set() if features.check("jpg_2000") else {"JPEG2000"}
    return {format: encoded(format) for format in SIGNED if format not in missing and format in _writable()}


def _writable() -> set[str]:
    Image.init()
    return set(Image.SAVE)


def test_a_picture_is_one_under_any_name_and_is_read(files):
    for format, data in files.items():
        for name in NAMES:
            assert detect_format(data[:512], f"photos.old/a{name}") == PICTURE, (format, name)
        shape = read_image(io.BytesIO(data), name="a.txt").shape
        assert shape == (32, 48, 3) or format in ("ICO", "ICNS"), format


def test_formats_without_a_signature_go_by_their_suffix():
    for format, suffix in BY_SUFFIX.items():
        assert detect_format(encoded(format), f"a{suffix}") == PICTURE
        assert read_image(io.BytesIO(encoded(format)), name=f"a{suffix}").shape == (32, 48, 3)


@pytest.mark.parametrize(
    ("head", "name", "words"),
    [
        (b"\0\x05\x16\x07\0\2\0\0Mac OS X", "._a.jpg", "AppleDouble"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "IMG.CR2", "raw"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "renamed.tif", "raw"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "IMG.CR3", "raw"),
        (b"FUJIFILMCCD-RAW 0201", "a", "raw"),
        (b"IIU\0\x18\0\0\0", "a.RW2", "raw"),
        (b"MM\0*\0\0\0\x08" + bytes(99), "a.NEF", "raw"),
        (b"\x12\x34\x56\x00garbage", "a.dng", "raw"),
        (b"%PDF-1.7\n%\xe2\xe3", "scan.jpg", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF", "a.eps", "PostScript"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">', "logo", "SVG"),
        (b"<svg width='1'>", "a.svg", "SVG"),
        (b"\x1f\x8b\x08", "a.svgz", "SVG"),
        (b"\xff\x0a\xfa", "a.jxl", "JPEG XL"),
        (b"8BPS\0\2", "a.psb", "PSB"),
        (b"gimp xcf v011", "a", "GIMP"),
        (b"\x76\x2f\x31\x01\2\0\0\0", "a.exr", "dynamic range"),
        (b"", "a.jpg", "empty"),
        (b"", "film.mp4", "empty"),
        (b"<!DOCTYPE html><html>404", "a.jpg", "not an image that can be read .*text"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "film.mp4", "not a video that can be read .*text"),
    ],
)
def test_media_that_nothing_here_reads_have_a_reason(head, name, words, tmp_path):
    kind = detect_format(head, name)
    assert kind.medium is Medium.UNREADABLE
    path = tmp_path / name
    path.write_bytes(head)
    assert format_of_file(path) == kind
    with pytest.raises(FindError, match=words) as expected:
        read_image(path)
    assert str(expected.value).startswith(f"{path}: ") and "\n" not in str(expected.value)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "film"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "IMG.MOV"),
        (b"\0\0\0\x08wide\0\0\1\0mdat", "old.mov"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0", "film.mkv"),
        (b"RIFF\1\2\3\4AVI LIST", "film"),
        (b"\0\0\1\xba\x44", "a.mpg"),
        (b"FLV\1\5\0\0\0\x09", "a.flv"),
        ((b"G" + bytes(187)) * 3, "a.ts"),
        (b"\xde\xad\xbe\xef\0", "broken.mp4"),
    ],
)
def test_videos_are_told_from_pictures(head, name):
    assert detect_format(head, name) == VIDEO
    with pytest.raises(FindError, match="a video, where an image is needed"):
        read_image(io.BytesIO(head), name=name)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"BMW drives well and for long", "cars.txt"),
        (b"P4 is a printer", "b.txt"),
        (b"The free software is", "c.md"),
        (b"export const GGG = 1", "d.ts"),
        (b"#define a_width 3", "e.h"),
        (b"\x7fELF\2\1\1\0", "f"),
        (b"PK\3\4", "photos.zip"),
        (b"ID3\4\0", "song.mp3"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom", "song.m4a"),
        (b"{}", "photo.json"),
        (b"", "empty"),
        ("é".encode("utf-16"), "g.txt"),
        (b"<?xml version='1.0'?><x:xmpmeta>", "IMG.xmp"),
    ],
)
def test_other_files_are_none_of_these(head, name):
    assert detect_format(head, name) == NONE


@given(st.text(max_size=200), st.sampled_from(["a.txt", "README", "b.py", "c.csv", "d.json"]))
@example("P1 12 34 ", "a.txt")  # looks like a picture in letters
def test_text_is_left_alone(text, name):
    head = text.encode()[:512]
    signed = ("<", "%PDF-", "%!PS", "/* XPM", "SIMPLE", "GIF8", "8BPS", "qoif", "DDS ", *(f"P{k}" for k in range(1, 7)))
    assert detect_format(head, name) == NONE or text.lstrip("\ufeff \t\r\n").startswith(signed)


@given(st.binary(max_size=600), st.sampled_from(NAMES))
def test_any_bytes_are_something_and_reading_them_never_fails_otherwise(head, name):
    kind = detect_format(head[:512], f"a{name}")
    assert bool(kind.reason) == (kind.medium is Medium.UNREADABLE)
    try:
        read_image(io.BytesIO(head), name=f"a{name}")
    except FindError as expected:
        assert str(expected).startswith(f"a{name}: ")


def test_a_raw_file_that_is_a_tiff_is_not_taken_for_its_thumbnail(tmp_path):
    small = Image.fromarray(PIXELS)
    small.save(tmp_path / "linear.tif", tiffinfo={50706: b"\1\4\0\0"})
    small.save(tmp_path / "preview.tif", tiffinfo={254: 1, 330: 8})
    small.save(tmp_path / "half.tif", tiffinfo={254: 0})
    for name in ("linear.tif", "preview.tif"):
        with pytest.raises(FindError, match="raw file"):
            read_image(tmp_path / name)
    assert np.array_equal(read_image(tmp_path / "half.tif"), PIXELS)


def test_raw_suffixes_do_not_hide_pictures(files):
    for suffix in RAW_SUFFIXES:
        assert detect_format(files["JPEG"], f"a{suffix}") == PICTURE
        assert detect_format(files["TIFF"], f"a{suffix}") == RAW
    assert detect_format(b"\0\x05\x16\x07", "a.jpg") == MACOS_NOTE


def test_heic_is_read_or_says_what_it_needs(tmp_path):
    broken = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
    with pytest.raises(FindError, match=r"pip install 'findvl\[heic\]'|not an image that can be read"):
        read_image(io.BytesIO(broken), name="IMG_1.HEIC")
    heif = pytest.importorskip("pillow_heif")
    blocks = np.kron(np.eye(4, 6, dtype=np.uint8)[..., None] * np.array([255, 90, 30], np.uint8), np.ones((16, 16, 1)))
    path: Path = tmp_path / "a.jpg"  # which it is not
    heif.from_pillow(Image.fromarray(blocks.astype(np.uint8))).save(path, quality=100)
    assert np.abs(read_image(path).astype(int) - blocks).mean() < 4


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_of_several_pictures_counts(format):
    pages = [Image.fromarray(np.full((8, 8, 3), shade, np.uint8)) for shade in (0, 255, 128)]
    file = io.BytesIO()
    lossless = {"lossless": True} if format == "WEBP" else {}
    pages[0].save(file, format, save_all=True, append_images=pages[1:], **lossless)
    assert not read_image(file).any()


def test_values_without_a_range_are_refused_and_sixteen_bits_are_scaled():
    deep = np.array([[0, 257, 65535]], np.int32)
    assert read_image(Image.fromarray(deep))[0, :, 0].tolist() == [0, 1, 255]
    for outside in (65536, -1):
        with pytest.raises(FindError, match="no known range"):
            read_image(Image.fromarray(np.array([[0, outside]], np.int32)))


def test_a_transparent_shade_of_sixteen_bits_is_white():
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 1000, 65535]], np.uint16)).save(file, "PNG", transparency=1000)
    assert read_image(file)[0, :, 0].tolist() == [0, 255, 255]
