"""Reading any picture a user may have as upright 8-bit RGB, with one clear error where that cannot be."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, TypeAlias, Union

import numpy as np
from PIL import ExifTags, Image, ImageOps

from find.errors import FindError, InputError, shown

ImageLike: TypeAlias = Union[str, "os.PathLike[str]", Image.Image, np.ndarray]
"""A path, a PIL image, or a uint8 array [H, W, 3] in RGB order."""

SIXTEEN_BIT_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")


LARGEST_IMAGE = 178_956_970
"""Pixels; a file that claims more is refused before any of it is decoded. Pillow's own limit, twice its warning."""


def read_image(image: ImageLike | BinaryIO, *, name: str | None = None) -> np.ndarray:
    """Pixels of a picture: uint8 RGB [H, W, 3], turned upright as its EXIF orientation says.

    Grayscale, palette, CMYK and 16-bit pictures are converted; transparent ones are laid on white; of an
    animation the first frame counts. An array is returned as it is (not copied) where it needs no conversion.

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
    if isinstance(image, Image.Image):
        return _from_pil(image, name)
    with _open(image, name) as opened:
        return _from_pil(opened, name)


def read_size(image: ImageLike, *, name: str | None = None) -> tuple[int, int]:
    """(height, width) that `read_image` would give; of a file only the header is read. Raises as it does."""
    name = name or image_name(image)
    if isinstance(image, np.ndarray):
        return _from_array(image, name).shape[:2]
    if isinstance(image, Image.Image):
        return _upright_size(image, name)
    with _open(image, name) as opened:
        return _upright_size(opened, name)


def read_time(image: str | os.PathLike[str] | BinaryIO) -> datetime | None:
    """When a photograph was taken, by its camera's clock (EXIF); None where the file does not tell, or not rightly."""
    with _open(image, image_name(image)) as opened:
        try:
            exif = opened.getexif()
            told = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
            return datetime.strptime(str(told or exif.get(ExifTags.Base.DateTime)).strip(), "%Y:%m:%d %H:%M:%S")
        except Exception:  # PIL's reader of EXIF raises many types; a photograph without a time is still one
            return None


def image_name(image: ImageLike | BinaryIO) -> str:
    """What to call a picture in a message: its path, or the kind of object it is."""
    if isinstance(image, (str, os.PathLike)):
        return os.fspath(image)
    if isinstance(image, np.ndarray):
        return f"array {list(image.shape)}"
    if isinstance(image, Image.Image):
        return str(getattr(image, "filename", "") or f"PIL image {image.width}x{image.height}")
    return str(getattr(image, "name", None) or type(image).__name__)


def _open(image: str | os.PathLike[str] | BinaryIO, name: str) -> Image.Image:
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
            raise InputError(f"{name}: this is a folder, an image file is needed")
    elif not hasattr(image, "read"):
        raise InputError(f"{name}: an image is a path, a PIL image or a uint8 array [H, W, 3]")
    try:
        return Image.open(image)
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{name}: the file claims more than {LARGEST_IMAGE / 1e6:.0f} million pixels, which no photograph has; "
            "make it smaller if it is one"
        ) from error
    except Exception as error:  # PIL's decoders raise many types for broken headers
        raise InputError(f"{name}: not an image that can be read ({_reason(error)})") from error


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    try:
        image.load()
        pixels = np.array(_to_rgb(ImageOps.exif_transpose(image), name))
    except FindError:
        raise
    except Exception as error:  # see _open
        raise InputError(f"{name}: the image is broken or truncated ({_reason(error)})") from error
    return _not_empty(pixels, name)


def _upright_size(image: Image.Image, name: str) -> tuple[int, int]:
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)  # a quarter turn
    except Exception as error:  # see _open
        raise InputError(f"{name}: the image's EXIF data is broken ({_reason(error)})") from error
    return (image.width, image.height) if turned else (image.height, image.width)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode in SIXTEEN_BIT_MODES:  # PIL's own conversion clips at 255 instead of scaling
        values = np.clip(np.asarray(image, dtype=np.int64), 0, 65535)
        image = Image.fromarray((values // 257).astype(np.uint8))
    elif image.mode == "F":
        raise InputError(f"{name}: a floating-point image has no known range; save it with 8 bits a channel")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _from_array(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.dtype != np.uint8:
        raise InputError(f"{name}: an image array holds uint8 values (0 to 255), this one {pixels.dtype}")
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return _not_empty(pixels, name)
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 4):
        return _from_pil(Image.fromarray(_not_empty(pixels, name)), name)
    raise InputError(f"{name}: image arrays have shape [height, width, 3] in RGB order")


def _not_empty(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.size == 0:
        raise InputError(f"{name}: the image has no pixels")
    return pixels


def _reason(error: Exception) -> str:
    told = re.sub(r"<[^<>]* at 0x[0-9a-fA-F]+>", "", str(error))  # an open file, which PIL names by its address
    return " ".join(told.split()) or type(error).__name__
