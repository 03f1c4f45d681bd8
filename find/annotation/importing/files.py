"""The files of an export, from a folder or a zip, and look-up of the files that annotations name."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from find.data.names import meant_in_archive, plain_path
from find.data.source import ZIP_ERRORS
from find.errors import DataError, FindError, InputError
from find.images.formats import PICTURE_SUFFIXES

PICTURES = frozenset(suffix[1:] for suffix in PICTURE_SUFFIXES)
SPARE = 64 * 2**20
"""Disk space in bytes that must remain free after unpacking."""


class Files:
    """The files of a folder by their relative paths, with `/`; hidden files and those added by macOS are omitted.

    Args:
        root: the folder.
        scratch: a folder for pictures that are extracted from annotation files.
    """

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self.scratch = scratch
        self.paths: list[str] = []
        self._json_fields: dict[str, frozenset[str]] = {}
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(name for name in folders if not _is_noise(name))
            place = Path(folder).relative_to(root).as_posix()
            prefix = "" if place == "." else f"{place}/"
            self.paths += [f"{prefix}{name}" for name in sorted(names) if not _is_noise(name)]

    def __getitem__(self, path: str) -> Path:
        return self.root / path

    def ending(self, *suffixes: str) -> list[str]:
        """Paths with these suffixes, in any case."""
        return [path for path in self.paths if path.lower().endswith(suffixes)]

    @cached_property
    def pictures(self) -> list[str]:
        """Paths of pictures, by suffix."""
        return [path for path in self.paths if path.rpartition(".")[2].lower() in PICTURES and "." in path]

    @cached_property
    def known(self) -> frozenset[str]:
        return frozenset(self.paths)

    @cached_property
    def pictures_beside(self) -> dict[str, str]:
        """The first picture for each path without suffix."""
        return {path.rpartition(".")[0]: path for path in reversed(self.pictures)}

    def find(self, listed: Sequence[str], within: str = "") -> dict[str, str]:
        """The file of each listed name: names may lack folders, or contain those of another machine.

        Args:
            within: only files of this folder, if it has any.
        """
        inside = [path for path in self.paths if path.startswith(within)] or self.paths
        here = set(inside)
        plain = {name: plain_path(name) for name in listed}
        meant = meant_in_archive([path for path in plain.values() if path], inside)
        found = {}
        for name, path in plain.items():
            own = meant.own.get(path, path)
            if path and own in here and path not in meant.unclear:
                found[name] = own
        return found

    def json_fields(self, path: str) -> frozenset[str]:
        """The field names of a JSON object, or of the first object of a list; empty for any other file.

        Every format checks every JSON file, which may be large, so each is read only once.
        """
        if path not in self._json_fields:
            self._json_fields[path] = _json_fields(self[path])
        return self._json_fields[path]

    @cached_property
    def only_folder(self) -> Path | None:
        """The single top-level folder, as in zips of a folder."""
        tops = {path.partition("/")[0] for path in self.paths}
        return self.root / tops.pop() if len(tops) == 1 and all("/" in path for path in self.paths) else None


def unpacked(export: Path, scratch: Path) -> Path:
    """The folder of an export: itself, or its zip unpacked into `scratch`.

    Raises:
        FindError: there is no such folder or zip, it is damaged, or the disk has not enough space.
    """
    if export.is_dir():
        return export
    if not export.exists():
        raise InputError(f"{export}: there is no such folder or zip. Give the export of your annotation tool.")
    if not zipfile.is_zipfile(export):
        raise InputError(f"{export}: this is neither a folder nor a zip. Give the whole export, with its pictures.")
    try:
        with zipfile.ZipFile(export) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
            size, free = sum(one.file_size for one in members), shutil.disk_usage(scratch).free
            if size + SPARE > free:
                raise DataError(
                    f"{export}: it holds {size / 1e9:.1f} GB, and the disk of {scratch.parent} has {free / 1e9:.1f} "
                    "left. Make room, or choose another folder"
                )
            for member in members:
                target = scratch / plain_path(member.filename)
                if target == scratch:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(target, "wb") as copy:
                    shutil.copyfileobj(source, copy)
    except ZIP_ERRORS as error:
        if isinstance(error, FindError):
            raise
        raise DataError(f"{export}: the zip is damaged ({error}). Export or download it again.") from error
    except OSError as error:  # a full disk, or names that this file system cannot hold
        raise DataError(
            f"{export}: it cannot be unpacked ({error}). Unpack it elsewhere, and give the folder."
        ) from error
    return scratch


def _json_fields(path: Path) -> frozenset[str]:
    try:
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
        found = msgspec.json.decode(data, type=dict[str, msgspec.Raw] | list[msgspec.Raw])
        if isinstance(found, list):
            found = msgspec.json.decode(found[0], type=dict[str, msgspec.Raw]) if found else {}
    except (OSError, RecursionError):
        return frozenset()
    except ValueError:  # NaN and Infinity, which Python writes and JSON has not: whoever reads the file tells of them
        return _fields_of_python(data)
    return frozenset(found)


def _fields_of_python(data: bytes) -> frozenset[str]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return frozenset()
    first = found[0] if isinstance(found, list) and found else found
    return frozenset(first if isinstance(first, dict) else ())


def text_edges(path: Path, size: int = 4096) -> str:
    """The first and last characters of a file, which identify the tool."""
    with open(path, "rb") as file:
        head = file.read(size)
        file.seek(max(0, path.stat().st_size - size))
        return (head + file.read(size)).decode("utf-8", "replace")


def stem(path: str) -> str:
    """The name of a file without folders and suffix."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def folder_of(path: str) -> str:
    """The path of a file's folder, "" for the root."""
    return path.rpartition("/")[0]


def suffix_words(paths: Iterable[str]) -> str:
    """The number of files by suffix, most frequent first, for messages."""
    counts: dict[str, int] = {}
    for path in paths:
        name = path.rpartition("/")[2]
        suffix = f".{name.rpartition('.')[2].lower()}" if "." in name else "without a suffix"
        counts[suffix] = counts.get(suffix, 0) + 1
    most = sorted(counts.items(), key=lambda item: -item[1])[:6]
    return ", ".join(f"{count} {suffix}" for suffix, count in most) or "no files"


def _is_noise(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
