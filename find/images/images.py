"""Reading any picture a user may have as upright 8-bit RGB, with one clear error where that cannot be."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, TypeAlias, TypeVar, Union

import numpy as np
from jaxtyping import Bool
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import TiffImageFile

from find.errors import FindError, InputError, shown
from find.images import heic
from find.images.formats import HEAD, RAW, Medium, detect_format
from find.images.jpeg import JPEG, decode_jpeg
from find.images.orientation import UPRIGHT, exif_of, jpeg_orientation, orientation, upright, upright_size
from find.images.repair import without_metadata

ImageLike: TypeAlias = Union[str, "os.PathLike[str]", Image.Image, np.ndarray]
"""A path, a PIL image, or a uint8 array [H, W, 3] in RGB order."""

SIXTEEN_BIT_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
LARGEST_IMAGE = 178_956_970
"""Pixels; a file that claims more is refused before any of it is decoded. Pillow's own limit, twice its warning."""
PREVIEW, PARTS, DNG_VERSION = 254, 330, 50706
"""TIFF tags: whether a picture is a smaller one's, where the others are, and what only raw files have."""

T = TypeVar("T")


class _Broken(InputError):
    """Pillow could not read the file; another way may."""


def read_image(image: ImageLike | BinaryIO, *, name: str | None = None) -> np.ndarray:
    """Pixels of a picture: uint8 RGB [H, W, 3], turned upright as its metadata say (`find.images.orientation`).

    Grayscale, palette, CMYK and 16-bit pictures are converted; transparent ones are laid on white; of an
    animation or a file of several pages the first one counts. An array is returned as it is (not copied) where it
    needs no conversion.

    Args:
        image: a path, a PIL image, a uint8 array ([H, W, 3], [H, W, 4] or [H, W]) or an open binary file,
            such as a member of a zip file.
        name: what errors call the picture; its path or kind if not given.

    Raises:
        FindError: the file is missing, broken, truncated or no picture, or the array has another shape.
    """
    name = name or image_name(image)
    if isinstance(image, np.ndarray):
        return _from_array(image, name)
    return _read(image, name, lambda opened: _not_empty(np.array(_to_rgb(upright(opened), name)), name))


def read_size(image: ImageLike | BinaryIO, *, name: str | None = None) -> tuple[int, int]:
    """(height, width) that `read_image` would give; of a file only the header is read. Raises as it does."""
    name = name or image_name(image)
    if isinstance(image, np.ndarray):
        return _from_array(image, name).shape[:2]
    return _read(image, name, upright_size)


def read_thumbnail(image: str | os.PathLike[str] | BinaryIO, size: tuple[int, int]) -> np.ndarray:
    """Pixels of a picture, resized to (width, height): uint8 RGB; a JPEG is decoded no larger than this needs. Raises
    as `read_image` does."""
    name = image_name(image)

    def small(opened: Image.Image) -> np.ndarray:
        opened.draft("RGB", (2 * max(size), 2 * max(size)))
        return np.array(_to_rgb(upright(opened), name).resize(size, Image.Resampling.BILINEAR))

    return _read(image, name, small)


def read_mask(
    image: str | os.PathLike[str] | Image.Image | BinaryIO, *, name: str | None = None
) -> Bool[np.ndarray, "H W"]:
    """What is neither black (or index 0 of a palette) nor transparent, upright. Raises as `read_image` does."""
    name = name or image_name(image)
    return _read(image, name, lambda opened: _painted(upright(opened)))


def read_orientation(image: str | os.PathLike[str] | Image.Image | BinaryIO, *, name: str | None = None) -> int:
    """A picture's EXIF orientation (1 to 8), which `read_image` applies. Raises if it is not a picture."""
    return _read(image, name or image_name(image), orientation)


def read_time(image: str | os.PathLike[str] | BinaryIO) -> datetime | None:
    """When a photograph was taken, by its camera's clock (EXIF); None if it is missing or malformed."""

    def time(opened: Image.Image) -> datetime | None:
        try:
            exif = exif_of(opened)
            taken = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
            return datetime.strptime(str(taken or exif.get(ExifTags.Base.DateTime)).strip(), "%Y:%m:%d %H:%M:%S")
        except Exception:  # PIL's reader of EXIF raises many types; the pixels are good
            return None

    return _read(image, image_name(image), time)


def read_with(image: str | os.PathLike[str] | BinaryIO, asked: Callable[[Image.Image], T]) -> T:
    """The result of `asked` for an opened picture, which need not be decoded. Raises as `read_image` does."""
    return _read(image, image_name(image), asked)


def image_name(image: ImageLike | BinaryIO) -> str:
    """What to call a picture in a message: its path, or the kind of object it is."""
    if isinstance(image, (str, os.PathLike)):
        return os.fspath(image)
    if isinstance(image, np.ndarray):
        return f"array {list(image.shape)}"
    if isinstance(image, Image.Image):
        return str(getattr(image, "filename", "") or f"PIL image {image.width}x{image.height}")
    return str(getattr(image, "name", None) or type(image).__name__)


def _read(image: str | os.PathLike[str] | Image.Image | BinaryIO, name: str, asked: Callable[[Image.Image], T]) -> T:
    """The result of `asked` for an opened picture; if only its metadata are broken, for the file without them."""
    if isinstance(image, Image.Image):
        return _asked(image, name, asked)
    with _stream(image, name) as stream:
        _check_format(stream, name)
        try:
            with _open(stream, name) as opened:
                _check_pages(opened, name)
                return _asked(opened, name, asked)
        except _Broken:
            stream.seek(0)
            with _mended(stream.read(), name) as opened:
                if opened is None:
                    raise
                _check_pages(opened, name)
                return _asked(opened, name, asked)


@contextmanager
def _mended(data: bytes, name: str) -> Iterator[Image.Image | None]:
    """The picture of a file with broken metadata: libjpeg passes over them. None where the pixels are broken, too."""
    if data.startswith(JPEG) and (pixels := decode_jpeg(data)) is not None:
        image = Image.fromarray(pixels)
        image.getexif()[ExifTags.Base.Orientation] = jpeg_orientation(data) or UPRIGHT
        yield image
    elif (rest := without_metadata(data)) is not None:
        with _open(io.BytesIO(rest), name) as opened:
            yield opened
    else:
        yield None


@contextmanager
def _stream(image: str | os.PathLike[str] | BinaryIO, name: str) -> Iterator[BinaryIO]:
    if isinstance(image, (str, os.PathLike)):
        path = Path(image)
        if re.match(r"[a-z][a-z0-9+.-]+://", os.fspath(image), re.IGNORECASE):
            raise InputError(f"{name}: this is an address; images are read from files, so download it first")
        try:
            is_there, is_file, folder = path.exists(), path.is_file(), path.parent.resolve()
        except (OSError, ValueError) as error:  # a name that no file can have, a folder that may not be entered
            reason = getattr(error, "strerror", None) or error  # without the name, which may be what is too long
            raise InputError(f"{shown(name)}: no file can be looked for by this name ({reason})") from error
        if not is_there:
            raise InputError(f"{name}: no such image file (looked in {folder})")
        if not is_file:
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise InputError(f"{name}: this is {kind}, an image file is needed")
        try:
            stream = path.open("rb")
        except OSError as error:
            raise InputError(f"{name}: the file cannot be read ({error.strerror})") from error
        with stream:
            yield stream
    elif hasattr(image, "read"):
        yield image if image.seekable() else io.BytesIO(image.read())
    else:
        raise InputError(f"{name}: an image is a path, a PIL image or a uint8 array [H, W, 3]")


def _check_format(stream: BinaryIO, name: str) -> None:
    """Refuses what Pillow would read wrongly, not at all or by starting another program."""
    head = stream.read(HEAD)
    stream.seek(0)
    kind = detect_format(head, name)
    if kind.medium is Medium.UNREADABLE:
        raise InputError(f"{name}: {kind.reason}")
    if kind.medium is Medium.VIDEO:
        raise InputError(f"{name}: a video, where an image is needed; save one of its frames as an image")
    if head[4:8] == b"ftyp":
        heic.register()


def _check_pages(image: Image.Image, name: str) -> None:
    """Refuses raw files that look like a TIFF, whose first picture is a thumbnail."""
    if isinstance(image, TiffImageFile):
        tags = image.tag_v2
        if DNG_VERSION in tags or (PARTS in tags and tags.get(PREVIEW) == 1):
            raise InputError(f"{name}: {RAW.reason}")


def _open(stream: BinaryIO, name: str) -> Image.Image:
    try:
        return Image.open(stream)
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{name}: the file claims more than {LARGEST_IMAGE / 1e6:.0f} million pixels, which no photograph has; "
            "make it smaller if it is one"
        ) from error
    except Exception as error:  # PIL's decoders raise many types for broken headers
        raise _Broken(f"{name}: not an image that can be read ({reason_of(error)})") from error


def _asked(image: Image.Image, name: str, asked: Callable[[Image.Image], T]) -> T:
    try:
        return asked(image)
    except (FindError, MemoryError):
        raise
    except Exception as error:  # see _open
        raise _Broken(f"{name}: the image is broken or truncated ({reason_of(error)})") from error


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode in SIXTEEN_BIT_MODES:  # PIL's own conversion clips at 255 instead of scaling
        values = np.asarray(image, dtype=np.int64)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise InputError(f"{name}: 32-bit values have no known range; save it with 8 or 16 bits a channel")
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            values[values == transparent] = 65535
        image = Image.fromarray((values // 257).astype(np.uint8))
    elif image.mode == "F":
        raise InputError(f"{name}: a floating-point image has no known range; save it with 8 bits a channel")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _painted(image: Image.Image) -> Bool[np.ndarray, "H W"]:
    if image.mode in ("RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr"):
        *colours, alpha = np.moveaxis(np.asarray(image.convert("RGBA")), 2, 0)
        return np.any(colours, axis=0) & (alpha > 0)
    return np.asarray(image) != 0


def _from_array(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.dtype != np.uint8:
        raise InputError(f"{name}: an image array holds uint8 values (0 to 255), this one {pixels.dtype}")
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return _not_empty(pixels, name)
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 4):
        return np.array(_to_rgb(Image.fromarray(_not_empty(pixels, name)), name))
    raise InputError(f"{name}: image arrays have shape [height, width, 3] in RGB order")


def _not_empty(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.size == 0:
        raise InputError(f"{name}: the image has no pixels")
    return pixels


def reason_of(error: Exception) -> str:
    """What a library says of a broken file, on one line."""
    text = re.sub(r"<[^<>]* at 0x[0-9a-fA-F]+>", "", str(error))  # an open file, which PIL names by its address
    return " ".join(text.split()) or type(error).__name__
