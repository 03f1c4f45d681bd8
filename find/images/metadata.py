"""Reads a photograph's metadata: the camera's EXIF, and the IPTC and XMP of photo managers.

XMP is read first, then IPTC, then EXIF, as the Metadata Working Group advises; keywords are those of all three. Broken
metadata cost nothing but themselves.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, TypeVar
from xml.etree.ElementTree import Element

from PIL import ExifTags, Image
from PIL.IptcImagePlugin import getiptcinfo

from find.errors import UNPRINTABLE, FindError
from find.images.images import read_with
from find.images.orientation import exif_of

LARGEST_XMP = 4_000_000
"""Bytes; larger packets hold pictures or histories of edits."""
MOST_CHARACTERS, MOST_WORDS = 10_000, 1_000
"""Maximum length of a text and of a list of keywords; longer ones do not describe a photo."""

_NAMES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "ext": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "mwg": "http://www.metadataworkinggroup.com/schemas/regions/",
    "mp": "http://ns.microsoft.com/photo/1.2/t/Region#",
}
_UTF8 = b"\x1b%G"
_XP_TITLE, _XP_KEYWORDS = 0x9C9B, 0x9C9E
"""Tags of Windows, in UTF-16."""

T = TypeVar("T")


@dataclass(frozen=True)
class PhotoMetadata:
    """A photograph's metadata; None, or empty, where the file has none.

    Attributes:
        title, description, keywords, people: as written by photo managers. People are those named in the
            picture (IPTC's PersonInImage, names of faces).
        make, camera, lens: the camera's maker, its model, and its lens.
        iso: the film speed.
        exposure: in seconds.
        aperture: the f-number.
        focal_length: in millimetres.
        latitude, longitude: in degrees; south and west are negative.
        broken: which of "exif", "iptc" and "xmp" are there and cannot be read.
    """

    title: str | None = None
    description: str | None = None
    keywords: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    make: str | None = None
    camera: str | None = None
    lens: str | None = None
    iso: int | None = None
    exposure: float | None = None
    aperture: float | None = None
    focal_length: float | None = None
    latitude: float | None = None
    longitude: float | None = None
    broken: tuple[str, ...] = ()


NOTHING = PhotoMetadata()


def read_metadata(image: str | os.PathLike[str] | BinaryIO) -> PhotoMetadata:
    """The metadata of a picture's file. Raises FindError if it is not a picture."""
    return read_with(image, _metadata)


def _metadata(image: Image.Image) -> PhotoMetadata:
    broken: list[str] = []

    def of(kind: str, read: Callable[[Image.Image], PhotoMetadata]) -> PhotoMetadata:
        try:
            return read(image)
        except FindError:  # a library is missing
            raise
        except Exception:  # readers of broken bytes raise many types; the pixels are good
            broken.append(kind)
            return NOTHING

    exif, iptc, xmp = of("exif", _exif), of("iptc", _iptc), of("xmp", _xmp)
    return replace(
        exif,
        title=xmp.title or iptc.title or exif.title,
        description=xmp.description or iptc.description or exif.description,
        keywords=_words([*xmp.keywords, *iptc.keywords, *exif.keywords]),
        people=xmp.people,
        broken=tuple(broken),
    )


def _exif(image: Image.Image) -> PhotoMetadata:
    tags = exif_of(image)
    camera, gps = tags.get_ifd(ExifTags.IFD.Exif), tags.get_ifd(ExifTags.IFD.GPSInfo)
    iso = camera.get(ExifTags.Base.ISOSpeedRatings)
    iso = _number(iso[0] if isinstance(iso, Sequence) and iso else iso)
    place = [
        _degrees(gps.get(value), gps.get(side), most)
        for value, side, most in (
            (ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, 90),
            (ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, 180),
        )
    ]
    latitude, longitude = place if None not in place else (None, None)
    return PhotoMetadata(
        title=_windows_text(tags.get(_XP_TITLE)),
        description=_text(tags.get(ExifTags.Base.ImageDescription)),
        keywords=_words((_windows_text(tags.get(_XP_KEYWORDS)) or "").split(";")),
        make=_text(tags.get(ExifTags.Base.Make)),
        camera=_text(tags.get(ExifTags.Base.Model)),
        lens=_text(camera.get(ExifTags.Base.LensModel)),
        iso=round(iso) if iso is not None and 0 < iso < 1 << 31 else None,
        exposure=_number(camera.get(ExifTags.Base.ExposureTime)),
        aperture=_number(camera.get(ExifTags.Base.FNumber)),
        focal_length=_number(camera.get(ExifTags.Base.FocalLength)),
        latitude=latitude,
        longitude=longitude,
    )


def _iptc(image: Image.Image) -> PhotoMetadata:
    fields: Mapping[tuple[int, int], Any] = getiptcinfo(image) or {}
    is_utf8 = fields.get((1, 90)) == _UTF8

    def texts(number: int) -> list[str]:
        value = fields.get((2, number), [])
        return [_decoded(one, is_utf8) for one in (value if isinstance(value, list) else [value])]

    return PhotoMetadata(
        title=_text(next(iter(texts(5)), None)),
        description=_text(next(iter(texts(120)), None)),
        keywords=_words(texts(25)),
    )


def _xmp(image: Image.Image) -> PhotoMetadata:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if not packet:
        return NOTHING
    if len(packet) > LARGEST_XMP:
        raise ValueError(f"an XMP packet of {len(packet)} bytes")
    from defusedxml.ElementTree import fromstring  # refuses entities, by which a small file fills the memory

    packet = packet.encode() if isinstance(packet, str) else packet
    root: Element = fromstring(packet.strip(b"\0 \r\n\t"))

    def listed(name: str) -> list[str]:
        return [item.text or "" for item in root.iterfind(f".//{name}//rdf:li", _NAMES)]

    faces = [_value(region, "mwg", "Name") for region in _nodes(root, "mwg", "Type", "Face")]
    faces += [_value(node, "mp", "PersonDisplayName") for node in root.iter()]
    return PhotoMetadata(
        title=_text(next(iter(listed("dc:title")), None)),
        description=_text(next(iter(listed("dc:description")), None)),
        keywords=_words(listed("dc:subject")),
        people=_words([*listed("ext:PersonInImage"), *filter(None, faces)]),
    )


def _nodes(root: Element, prefix: str, name: str, value: str) -> list[Element]:
    """Nodes that have a property of this value, which XMP may write as an attribute or as a node below."""
    return [node for node in root.iter() if _value(node, prefix, name) == value]


def _value(node: Element, prefix: str, name: str) -> str | None:
    full = f"{{{_NAMES[prefix]}}}{name}"
    return node.get(full) or node.findtext(full)


def _text(value: object) -> str | None:
    """A text on one line, without what no terminal shows; None where nothing is left."""
    if isinstance(value, bytes):
        value = _decoded(value, is_utf8=False)
    if not isinstance(value, str):
        return None
    text = " ".join(UNPRINTABLE.sub(" ", value).split())
    return text[:MOST_CHARACTERS] or None


def _words(values: Iterable[str]) -> tuple[str, ...]:
    """Each text once, in their order."""
    return tuple(dict.fromkeys(text for value in values if (text := _text(value))))[:MOST_WORDS]


def _decoded(value: bytes, is_utf8: bool) -> str:
    """IPTC without a charset is UTF-8 of most programs, or Latin-1 of old ones."""
    try:
        return value.decode("utf-8", errors="replace" if is_utf8 else "strict")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _windows_text(value: object) -> str | None:
    raw = bytes(value) if isinstance(value, (bytes, tuple)) else b""
    return _text(raw.decode("utf-16-le", errors="replace").rstrip("\0"))


def _number(value: Any) -> float | None:
    """A positive number of EXIF; None where it is none, or a fraction of zero."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _degrees(value: object, side: object, most: int) -> float | None:
    """Degrees, minutes and seconds as one number; None where they are not complete."""
    if not isinstance(value, Sequence) or len(value) != 3:
        return None
    degrees, minutes, seconds = (float(part) for part in value)
    total = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(total) or not 0 <= total <= most:
        return None
    name = side.decode("ascii", errors="replace") if isinstance(side, bytes) else str(side)
    return -total if name[:1].upper() in ("S", "W") else total
