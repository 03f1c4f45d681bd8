"""Which way up a picture is. All of the product asks here, so a photograph is the same array wherever it is read.

A camera stores pixels as its sensor lies and notes how they are to be turned (EXIF tag 274, or XMP's tiff:Orientation).
Metadata that are broken turn nothing.
"""

from __future__ import annotations

from typing import BinaryIO, Literal

import numpy as np
from jaxtyping import Shaped
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

UPRIGHT = 1
ORIENTATION_TAG = 0x0112
MARKER, STANDALONE, APP1, START_OF_SCAN = b"\xff", (0x01, *range(0xD0, 0xDA), 0xFF), 0xE1, 0xDA
PNG, PNG_METADATA = b"\x89PNG\r\n\x1a\n", (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
EXIF, XMP_ORIENTATION = b"Exif\0\0", b"tiff:Orientation"
QUARTER_TURNS = (5, 6, 7, 8)
"""Orientations that exchange width and height."""
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation(image: Image.Image) -> int:
    """1 to 8 as EXIF counts, 1 where metadata are missing or broken."""
    try:
        value = exif_of(image).get(ExifTags.Base.Orientation, UPRIGHT)
    except Exception:  # PIL's reader of EXIF raises many types; the pixels are good
        return UPRIGHT
    return value if isinstance(value, int) and value in TRANSPOSES else UPRIGHT


def exif_of(image: Image.Image) -> Image.Exif:
    """`image.getexif()` without decoding a PNG: Pillow decodes it to reach metadata that may follow the pixels, so
    this looks first whether any do."""
    if isinstance(image, PngImageFile) and image.tile and not _has_metadata_after_pixels(image.fp):
        return Image.Image.getexif(image)
    return image.getexif()


def _has_metadata_after_pixels(png: BinaryIO) -> bool:
    """By the chunks' headers alone; the file is left where it was."""
    before = png.tell()
    start, has_pixels = png.seek(len(PNG)), False
    while len(header := png.read(8)) == 8:
        kind = header[4:]
        if has_pixels and kind in PNG_METADATA:
            break
        has_pixels |= kind in (b"IDAT", b"fdAT")
        start = png.seek(start + 12 + int.from_bytes(header[:4], "big"))
    png.seek(before)
    return len(header) == 8


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its metadata say; raises what Pillow raises for broken pixels."""
    image.load()  # by which Pillow turns a TIFF, and forgets its orientation
    transpose = TRANSPOSES.get(orientation(image))
    return image if transpose is None else image.transpose(transpose)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) of the picture when turned; nothing is decoded."""
    value = orientation(image)
    is_swapped = isinstance(image, TiffImageFile) and image.tag_v2.get(ExifTags.Base.Orientation) == value
    if value in QUARTER_TURNS and not is_swapped:  # Pillow gives the size of a TIFF when turned
        return image.width, image.height
    return image.height, image.width


def jpeg_orientation(data: bytes) -> int | None:
    """`orientation` of a JPEG from its bytes, thirty times sooner; None where its metadata are not plain ones, and
    Pillow has to tell."""
    start, value, has_exif, may_be_in_xmp = 2, UPRIGHT, False, False
    while data[start : start + 1] == MARKER and data[start + 1] not in STANDALONE:
        kind, end = data[start + 1], start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if kind == START_OF_SCAN:
            return None if value == UPRIGHT and may_be_in_xmp else value
        if kind == APP1 and data.startswith(EXIF, start + 4):
            found = None if has_exif else _exif_orientation(data[start + 4 + len(EXIF) : end])
            if found is None:
                return None
            value, has_exif = found, True
        elif kind == APP1:
            may_be_in_xmp |= data.find(XMP_ORIENTATION, start, end) >= 0
        start = end
    return None


def _exif_orientation(exif: bytes) -> int | None:
    """Of the first directory of a TIFF; None where it is stored in an unusual way."""
    if exif[:4] not in (b"II*\0", b"MM\0*"):
        return None
    order: Literal["little", "big"] = "little" if exif.startswith(b"II") else "big"
    start = int.from_bytes(exif[4:8], order)
    size = 12 * int.from_bytes(exif[start : start + 2], order)
    directory = exif[start + 2 : start + 2 + size]
    if len(directory) < size:
        return None
    tag = ORIENTATION_TAG.to_bytes(2, order)
    entries = [directory[k : k + 12] for k in range(0, size, 12) if directory[k : k + 2] == tag]
    if not entries:
        return UPRIGHT
    value = int.from_bytes(entries[0][8:10], order)
    is_plain = len(entries) == 1 and entries[0][2:8] == (3).to_bytes(2, order) + (1).to_bytes(4, order)
    return value if is_plain and (value == UPRIGHT or value in TRANSPOSES) else None


def turn(pixels: Shaped[np.ndarray, "h w *c"], value: int) -> Shaped[np.ndarray, "H W *c"]:
    """A view of pixels as they are stored, turned as their orientation says."""
    if value in QUARTER_TURNS:
        pixels = pixels.swapaxes(0, 1)
    if value in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if value in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
