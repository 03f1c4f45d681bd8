"""File names as annotation tools write them, and their files in a folder or archive."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from urllib.parse import unquote, urlsplit

from find.images.formats import PICTURE_SUFFIXES

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
DRIVE = re.compile(r"[A-Za-z]:")


def plain_path(name: str) -> str:
    """A name as a path below some folder, with `/` between its parts: "" if it names no file.

    Windows' `\\`, URLs, drives, and paths that leave the folder come from tools that ran elsewhere; they are reduced to
    the folders that may exist here, too.
    """
    if "\0" in name:
        return ""
    if URL.match(name):
        try:
            name = urlsplit(name).path
        except ValueError:
            name = name.partition("://")[2].partition("?")[0]
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts:
        parts = parts[len(parts) - parts[::-1].index("..") :]
    if parts and DRIVE.fullmatch(parts[0]):
        parts = parts[1:]
    return "/".join(parts)


def map_path(name: str) -> str:
    """The PNG of a panoptic annotation's file name, which may lack its suffix or have the photo's."""
    path = plain_path(name)
    folder, slash, file = path.rpartition("/")
    if not file or file.lower().endswith(".png"):
        return path
    stem, dot, suffix = file.rpartition(".")
    if dot and stem and f".{suffix.lower()}" in PICTURE_SUFFIXES:
        file = stem
    return f"{folder}{slash}{file}.png"


@dataclass(frozen=True)
class Meant:
    """Listed name -> actual file name, if different; and listed names that match several files."""

    own: Mapping[str, str]
    unclear: Mapping[str, tuple[str, ...]]


def meant_in_folder(listed: Sequence[str], is_there: Callable[[str], bool]) -> Meant:
    """For a folder: a name with missing folders refers to the file without them, if that is unambiguous."""
    nested = [name for name in listed if "/" in name]
    if not nested:
        return Meant({}, {})
    shared = _shared_ends(listed)
    own = {}
    for name in nested:
        found = next((end for end in _ends(name) if (end == name or end not in shared) and is_there(end)), name)
        if found != name:
            own[name] = found
    return Meant(own, {})


def meant_in_archive(listed: Sequence[str], members: Iterable[str]) -> Meant:
    """For an archive, whose files may be in further folders: the member whose path ends with the name."""
    places: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for member in members:
        path = plain_path(member)
        places[path.rpartition("/")[2]].append((path, member))
    shared = _shared_ends(listed)
    own, unclear = {}, {}
    for name in listed:
        there = places.get(name.rpartition("/")[2], ())
        for end in _ends(name):
            if end != name and end in shared:
                break
            exact = [member for path, member in there if path == end]
            found = exact or [member for path, member in there if path.endswith(f"/{end}")]
            if len(found) == 1 and found[0] != name:
                own[name] = found[0]
            elif len(found) > 1:
                unclear[name] = tuple(found)
            if found:
                break
    return Meant(own, unclear)


def _ends(name: str) -> list[str]:
    """A path, the path without its first folder, without its first two, and so on."""
    parts = name.split("/")
    return [end for end in accumulate(reversed(parts), lambda end, part: f"{part}/{end}")][::-1]


def _shared_ends(listed: Sequence[str]) -> set[str]:
    """Path suffixes shared by several names, which are therefore ambiguous."""
    if not any("/" in name for name in listed):
        return set()
    return {end for end, count in Counter(end for name in set(listed) for end in _ends(name)).items() if count > 1}


class AlikeNames:
    """Finds the name that a missing one was most likely written for, and how both differ; built once."""

    def __init__(self) -> None:
        self._by_fold: tuple[dict[str, str], ...] | None = None

    def hint(self, name: str, names: Callable[[], Iterable[str]]) -> str:
        """A hint to append to a message, or ""; `names` is called once."""
        if self._by_fold is None:
            there = [_last_part(own) for own in names()]
            self._by_fold = tuple({fold(own): own for own in there} for fold in DIFFERENCES.values())
        for (difference, fold), known in zip(DIFFERENCES.items(), self._by_fold, strict=True):
            own = known.get(fold(_last_part(name)))
            if own is not None:
                return f"; {own} is there, which differs in {difference}"
        return ""


def _last_part(name: str) -> str:
    return plain_path(name).rpartition("/")[2]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _decoded(name: str) -> str:
    """Without spaces at its ends, and with what `%20` and the like stand for."""
    return _folded(unquote(name).replace("+", " ").strip())


def _stem(name: str) -> str:
    """Without a picture's suffix."""
    stem, dot, suffix = _decoded(name).rpartition(".")
    return stem if dot and stem and f".{suffix}" in PICTURE_SUFFIXES else _decoded(name)


DIFFERENCES: Mapping[str, Callable[[str], str]] = {
    "its case or in how accents are written": _folded,
    "its spaces or in how they are written": _decoded,
    "its suffix": _stem,
}
"""How names differ that mean one file -> what such names have in common, the smallest differences first."""
