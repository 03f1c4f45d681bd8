"""What a file is, by its first bytes: a picture, a video, a medium that nothing here reads, or something else.

The name decides only where the content does not: formats without a signature, and files that are broken.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.util import find_spec

from find.images import heic

HEAD = 512
"""Bytes that are looked at."""


class Medium(Enum):
    PICTURE = "picture"
    VIDEO = "video"
    UNREADABLE = "unreadable"
    NONE = "none"


@dataclass(frozen=True)
class Format:
    """What a file is; an unreadable medium has a reason for people."""

    medium: Medium
    reason: str = ""


PICTURE, VIDEO, NONE = Format(Medium.PICTURE), Format(Medium.VIDEO), Format(Medium.NONE)


def _suffixes(listed: str) -> frozenset[str]:
    return frozenset(f".{one}" for one in listed.split())


PICTURE_SUFFIXES = _suffixes(
    "jpg jpeg jpe jfif jif mpo png apng webp avif avifs heic heif hif bmp dib gif tif tiff jp2 j2k jpx jpf jpc j2c "
    "ico cur icns psd tga pcx dcx ppm pgm pbm pnm pfm qoi dds sgi xbm xpm fits fli flc"
)
"""Of what Pillow reads; a file of another kind that is named so is reported as broken."""
VIDEO_SUFFIXES = _suffixes("mp4 mov m4v mkv webm avi mpg mpeg m2v m2ts mts vob wmv asf flv 3gp 3g2 ogv mxf qt lrv")
RAW_SUFFIXES = _suffixes(
    "dng cr2 cr3 crw nef nrw arw srf sr2 raf orf rw2 rwl pef ptx srw x3f 3fr fff iiq mos mef mrw kdc dcr erf gpr raw"
)
RAW_CONTENT = re.compile(rb"II\*\0.{4}CR|FUJIFILMCCD-RAW|II(RO|RS)|MMOR|IIU\0|FOVb|\0MRM|.{4}ftypcrx ", re.DOTALL)
RAW = Format(Medium.UNREADABLE, "a camera's raw file; develop it into a JPEG or TIFF")
MACOS_NOTE = Format(Medium.UNREADABLE, "not a picture but metadata of one, written by macOS (AppleDouble); delete it")
NO_HEIC = Format(Medium.UNREADABLE, "HEIC needs pillow-heif; install it with: pip install 'findvl[heic]'")
NO_AVIF = Format(Medium.UNREADABLE, "this Pillow was built without AVIF; install it anew with: pip install -U pillow")
EMPTY = Format(Medium.UNREADABLE, "the file is empty")

PICTURE_CONTENT = re.compile(
    rb"""\xff\xd8\xff | \x89PNG\r\n\x1a\n | GIF8[79]a | RIFF.{4}WEBP
    | II\*\0 | MM\0\* | II\+\0\x08\0 | MM\0\+\0\x08
    | \0\0\0\x0cjP\x20\x20\r\n\x87\n | \xff\x4f\xff\x51
    | BM.{12}[\x0c(4\x38\x40l|]\0\0\0
    | \0\0[\x01\x02]\0[\x01-\x40]\0.{3}\0 | icns | 8BPS\0\x01 | qoif | DDS\x20 | /\*\ XPM\ \*/
    | P[1-6]\s+(\#[^\n]*\n\s*)*\d+\s+\d+\s | SIMPLE\ \ =\s+T""",
    re.DOTALL | re.VERBOSE,
)
VIDEO_CONTENT = re.compile(
    rb"""\x1a\x45\xdf\xa3 | RIFF.{4}AVI\x20 | \0\0\x01[\xba\xb3] | FLV\x01 | \x30\x26\xb2\x75\x8e\x66\xcf\x11
    | .{4}(moov|mdat|wide|pnot)\b | OggS.{24,}(theora|BBCD) | \x06\x0e\x2b\x34 | YUV4MPEG2\x20 | DKIF\0
    | G.{187}G.{187}G | .{4}G.{191}G""",
    re.DOTALL | re.VERBOSE,
)
OTHER_CONTENT = (
    (re.compile(rb"%PDF-"), "a PDF document; save its pages as pictures"),
    (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"), "a drawing (PostScript); export it as PNG"),
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "), "JPEG XL, which Pillow does not read; convert it to PNG or JPEG"),
    (re.compile(rb"8BPS\0\x02"), "a large Photoshop document (PSB); export it as TIFF or PNG"),
    (re.compile(rb".{128}DICM", re.DOTALL), "a DICOM file; export it as PNG"),
    (re.compile(rb"\x76\x2f\x31\x01|#\?RADIANCE"), "a high dynamic range picture; export it with 8 bits a channel"),
    (re.compile(rb"gimp xcf"), "a GIMP file; export it as PNG"),
    (re.compile(rb"II\xbc\x01"), "JPEG XR, which Pillow does not read; convert it to PNG or JPEG"),
    (re.compile(rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", re.DOTALL), "a drawing of Windows; export it as PNG"),
)
SVG_CONTENT = re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml|<!--|<!DOCTYPE svg|<svg[\s>]).*", re.DOTALL)
OTHER_SUFFIXES = {
    ".svg": "a drawing (SVG); export it as PNG",
    ".svgz": "a drawing (SVG); export it as PNG",
    ".eps": "a drawing (PostScript); export it as PNG",
    ".ai": "a drawing (Illustrator); export it as PNG",
    ".cdr": "a drawing (CorelDRAW); export it as PNG",
    ".emf": "a drawing of Windows; export it as PNG",
    ".wmf": "a drawing of Windows; export it as PNG",
    ".pdf": "a PDF document; save its pages as pictures",
    ".xcf": "a GIMP file; export it as PNG",
    ".psb": "a large Photoshop document (PSB); export it as TIFF or PNG",
    ".jxl": "JPEG XL, which Pillow does not read; convert it to PNG or JPEG",
    ".jxr": "JPEG XR, which Pillow does not read; convert it to PNG or JPEG",
    ".exr": "a high dynamic range picture; export it with 8 bits a channel",
    ".hdr": "a high dynamic range picture; export it with 8 bits a channel",
    ".dcm": "a DICOM file; export it as PNG",
}
AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
SOUND_BRANDS = frozenset({b"M4A ", b"M4B ", b"M4P "})


def detect_format(head: bytes, name: str = "") -> Format:
    """What a file is that begins with these bytes (HEAD of them will do)."""
    suffix = os.path.splitext(name)[1].lower()
    if head.startswith((b"\0\x05\x16\x07", b"\0\x05\x16\0")):
        return MACOS_NOTE
    if RAW_CONTENT.match(head):
        return RAW
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    is_tiff = head.startswith((b"II*\0", b"MM\0*"))
    if is_tiff and suffix in RAW_SUFFIXES:  # most are TIFF files whose first picture is a thumbnail
        return RAW
    if PICTURE_CONTENT.match(head):
        return PICTURE
    for content, reason in OTHER_CONTENT:
        if content.match(head):
            return Format(Medium.UNREADABLE, reason)
    is_text = _is_text(head)
    if is_text and SVG_CONTENT.match(head) and b"<svg" in head:
        return Format(Medium.UNREADABLE, OTHER_SUFFIXES[".svg"])
    if not is_text and suffix != ".wma" and VIDEO_CONTENT.match(head):
        return VIDEO
    return _of_suffix(suffix, head, is_text)


def format_of_file(path: str | os.PathLike[str]) -> Format:
    """What a file is; raises OSError where it cannot be read."""
    with open(path, "rb", buffering=0) as stream:
        return detect_format(stream.read(HEAD), os.fspath(path))


def _of_brands(head: bytes) -> Format:
    """Of the family of MP4: which brand comes first, and which others it is compatible with."""
    length = int.from_bytes(head[:4], "big")
    brand, others = head[8:12], {head[k : k + 4] for k in range(16, min(length, len(head)), 4)}
    if brand in AVIF_BRANDS or (brand in HEIC_BRANDS and others & AVIF_BRANDS):
        return PICTURE if _has_avif() else NO_AVIF
    if brand in HEIC_BRANDS or others & (HEIC_BRANDS - {b"mif1", b"msf1"}):
        return PICTURE if heic.is_installed() else NO_HEIC
    return NONE if brand in SOUND_BRANDS else VIDEO


@cache
def _has_avif() -> bool:
    return find_spec("PIL._avif") is not None


def _of_suffix(suffix: str, head: bytes, is_text: bool) -> Format:
    known = PICTURE_SUFFIXES | VIDEO_SUFFIXES | RAW_SUFFIXES
    if suffix in known and not head:
        return EMPTY
    if suffix in known and is_text and suffix not in (".xbm", ".xpm"):
        what = "a video" if suffix in VIDEO_SUFFIXES else "an image"
        return Format(Medium.UNREADABLE, f"not {what} that can be read (it is text and begins {_beginning(head)})")
    if suffix in PICTURE_SUFFIXES:
        return PICTURE
    if suffix in VIDEO_SUFFIXES:
        return VIDEO
    if suffix in RAW_SUFFIXES:
        return RAW
    if suffix in OTHER_SUFFIXES:
        return Format(Medium.UNREADABLE, OTHER_SUFFIXES[suffix])
    return NONE


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return head.startswith((b"\xff\xfe", b"\xfe\xff"))  # UTF-16
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3 > 0  # a letter that is cut
    return not re.search(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]", head)


def _beginning(head: bytes) -> str:
    return repr(" ".join(head[:24].decode(errors="replace").split()))
