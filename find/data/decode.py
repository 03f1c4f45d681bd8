"""Decoders of data set files: torchvision's, which are faster and give the same pixels, otherwise Pillow; and PNGs of
segment maps."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from find.errors import DataError, FindError
from find.images.images import read_image, read_orientation, reason_of
from find.images.jpeg import JPEG, as_tensor, decode_jpeg
from find.images.orientation import jpeg_orientation, turn

RGB_PNG = b"\x08\x02"
"""Bit depth and colour type in a PNG's header: torchvision reads palettes differently from Pillow."""
ID_BITS = 24


def decode_photo(data: bytes, name: str) -> np.ndarray:
    """uint8 RGB [H, W, 3], equal to the result of `read_image`; FindError if it cannot be decoded."""
    if data.startswith(JPEG) and (pixels := decode_jpeg(data)) is not None:
        return np.ascontiguousarray(turn(pixels, _orientation(data)))
    return read_image(io.BytesIO(data), name=name)


def decode_segment_map(data: bytes, name: str) -> np.ndarray:
    """Segment ids int32 [H, W] of a panoptic PNG: R + 256 G + 65536 B; FindError if it cannot be decoded."""
    rgba = _decode_rgb(data) if data[24:26] == RGB_PNG else None
    if rgba is None:
        rgba = _decode_any(data, name)
    ids = np.ascontiguousarray(rgba).view("<i4")[..., 0]  # four bytes, little-endian; the last one is padding
    return (ids & ((1 << ID_BITS) - 1)).astype(np.int32, copy=False)


def colour_hint(data: bytes) -> str:
    """A hint for messages why a PNG may lack the expected ids; "" for an RGB PNG."""
    with Image.open(io.BytesIO(data)) as image:
        kinds = {"1": "black and white", "L": "grey", "LA": "grey", "I": "grey", "P": "a palette's numbers"}
        kind = kinds.get(image.mode.partition(";")[0])
        return f"; the PNG is {kind} (mode {image.mode}), and ids are RGB colours" if kind else ""


def segment_png(segment_map: np.ndarray) -> Image.Image:
    """The picture that `decode_segment_map` reads; ids [H, W] are below 2^24."""
    ids = segment_map.astype(np.uint32)
    return Image.fromarray(np.stack([ids >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8))


def _decode_rgb(data: bytes) -> np.ndarray | None:
    """RGBA of an RGB PNG; None if the file is broken."""
    from torchvision.io import ImageReadMode, decode_png

    try:
        return decode_png(as_tensor(data), mode=ImageReadMode.RGB_ALPHA).permute(1, 2, 0).numpy()
    except RuntimeError:
        return None


def _decode_any(data: bytes, name: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGBA"))
    except Exception as error:  # PIL's decoders raise many exception types for broken files
        message = f"{name}: the PNG is broken or truncated ({reason_of(error)}). Write or download it again."
        raise DataError(message) from error


def _orientation(data: bytes) -> int:
    if (value := jpeg_orientation(data)) is not None:
        return value
    try:
        return read_orientation(io.BytesIO(data))
    except FindError:  # Pillow cannot read everything that libjpeg can
        return 1
