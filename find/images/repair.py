"""Files whose metadata are broken, without them: the pixels are good."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PNG = b"\x89PNG\r\n\x1a\n"
KEPT = (b"tRNS", b"eXIf")
"""Of a PNG's chunks that are not critical: those that change how it looks."""


def without_metadata(data: bytes) -> bytes | None:
    """The file with nothing but pixels, and what of its metadata is sound; None for formats that need no such help."""
    if data.startswith(PNG):
        return PNG + b"".join(_sound_chunks(data))
    if data[4:8] == b"ftyp":  # AVIF: items of a type that nobody knows are passed over
        return data.replace(b"Exif", b"none").replace(b"application/rdf+xml", b"application/unknown")
    return None


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
