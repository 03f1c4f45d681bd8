"""Files whose metadata are broken, without them: the pixels are good."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Literal

from find.images.orientation import ORIENTATION_TAG, PNG

KEPT = (b"tRNS", b"eXIf")
"""Of a PNG's chunks that are not critical: those that change how it looks."""
TELLING_NOTHING = frozenset(
    [269, 270, 271, 272, ORIENTATION_TAG, 282, 283, 285, 296, 305, 306, 315, 316, 700, 33432, 33723, 34377, 34665,
     34675, 34853]
)  # fmt: skip
"""TIFF tags of names, times, resolutions, EXIF, XMP, places and colour profiles."""
BYTE, SHORT = 1, 3
"""Types of a TIFF tag."""


def without_metadata(data: bytes) -> bytes | None:
    """The file with nothing but pixels, and what of its metadata is sound; None for formats that need no such help."""
    if data.startswith(PNG):
        return PNG + b"".join(_sound_chunks(data))
    if data[4:8] == b"ftyp":  # AVIF: items of an unknown type are ignored
        return data.replace(b"Exif", b"none").replace(b"application/rdf+xml", b"application/unknown")
    if data.startswith((b"II*\0", b"MM\0*")):
        return _plain_tiff(data)
    return None


def _plain_tiff(data: bytes) -> bytes:
    """Tags of the first picture that do not describe its pixels become one zero each, unless they are a valid
    orientation: Pillow reads no tag behind one whose value lies outside the file."""
    order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
    start = int.from_bytes(data[4:8], order)
    plain = bytearray(data)
    for entry in range(start + 2, start + 2 + 12 * int.from_bytes(data[start : start + 2], order), 12):
        tag = int.from_bytes(data[entry : entry + 2], order)
        one_of = {kind: kind.to_bytes(2, order) + (1).to_bytes(4, order) for kind in (BYTE, SHORT)}
        is_sound = tag == ORIENTATION_TAG and data[entry + 2 : entry + 8] == one_of[SHORT]
        if tag in TELLING_NOTHING and not is_sound and entry + 12 <= len(data):
            plain[entry + 2 : entry + 12] = one_of[BYTE] + bytes(4)
    return bytes(plain)


def _sound_chunks(data: bytes) -> Iterator[bytes]:
    start = len(PNG)
    while start + 12 <= len(data):
        length = int.from_bytes(data[start : start + 4], "big")
        chunk = data[start : start + 12 + length]
        kind = chunk[4:8]
        is_critical = not kind[0] & 0x20
        if is_critical or (kind in KEPT and zlib.crc32(chunk[4:-4]).to_bytes(4, "big") == chunk[-4:]):
            yield chunk
        start += 12 + length
