"""The bytes of a split's pictures, from a folder or straight from COCO's zip file."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Protocol

from find.errors import FindError

LOCAL_HEADER = struct.Struct("<26xHH")


class FileSource(Protocol):
    """Files by their name, without the folder part."""

    path: Path

    def read(self, name: str) -> bytes: ...

    def names(self) -> Iterable[str]: ...

    def __contains__(self, name: str) -> bool: ...


class FolderSource:
    """Files that lie in one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes:
        """Raises FindError where the file is missing."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise FindError(
                f"{self.path / name}: the file cannot be read ({error.strerror or error}). Put it back, or take "
                "the image out of the annotations."
            ) from error

    def names(self) -> Iterable[str]:
        return (entry.name for entry in self.path.iterdir() if entry.is_file() and not entry.name.startswith("."))

    def __contains__(self, name: str) -> bool:
        return (self.path / name).is_file()


class ZipSource:
    """Files of one zip archive, whatever folder of the archive they lie in.

    The directory is read once; each read opens the archive for itself, so that an instance may be forked, pickled
    and used by threads without sharing a file position.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (OSError, zipfile.BadZipFile) as error:
            raise FindError(f"{path}: not a zip file that can be read ({error}). Download it again.") from error
        self._members = {
            PurePosixPath(member.filename).name: (
                member.header_offset,
                member.compress_size,
                member.compress_type,
                member.CRC,
            )
            for member in members
            if not member.is_dir()
        }

    def read(self, name: str) -> bytes:
        """Raises FindError where the archive has no such file, or where its bytes are damaged."""
        if name not in self._members:
            raise FindError(
                f"{self.path}: the archive holds no file {name}. Download it again, or take the image out of the "
                "annotations."
            )
        offset, size, method, checksum = self._members[name]
        with open(self.path, "rb") as archive:
            archive.seek(offset)
            header = archive.read(LOCAL_HEADER.size)
            if len(header) == LOCAL_HEADER.size:
                archive.seek(sum(LOCAL_HEADER.unpack(header)), 1)
            data = archive.read(size)
        try:
            if method == zipfile.ZIP_DEFLATED:
                data = zlib.decompress(data, -zlib.MAX_WBITS)
            elif method != zipfile.ZIP_STORED:
                raise FindError(f"{self.path}: {name} is packed by method {method}. Pack the archive with deflate.")
        except zlib.error as error:
            raise self._damaged(name) from error
        if zlib.crc32(data) != checksum:
            raise self._damaged(name)
        return data

    def names(self) -> Iterable[str]:
        return self._members

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def _damaged(self, name: str) -> FindError:
        return FindError(f"{self.path}: the bytes of {name} are damaged. Download the archive again.")


def open_source(candidates: Iterable[Path], what: str) -> FileSource:
    """The first of `candidates` that exists, as a folder or a zip file; FindError naming all places if none does."""
    candidates = list(candidates)
    for path in candidates:
        if path.is_dir():
            return FolderSource(path)
        if path.is_file():
            return ZipSource(path)
    places = " or ".join(str(path) for path in candidates)
    raise FindError(f"{places}: {what} not found. Put the folder or COCO's zip file there.")
