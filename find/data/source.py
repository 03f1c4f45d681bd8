"""Reads the bytes of a split's pictures from a folder or directly from COCO's zip files, including nested ones."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol

from find.data.names import AlikeNames, Meant, meant_in_archive, meant_in_folder, plain_path
from find.errors import DataError, FindError

LOCAL_HEADER = struct.Struct("<26xHH")
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, OverflowError)
"""Exceptions of Python's zip reader for damaged files and unknown compression methods."""


class FileSource(Protocol):
    """Files by listed names, which may lack folders or have extra ones."""

    path: Path

    def match(self, listed: Sequence[str]) -> None:
        """Resolves listed names to files; other names are used unchanged."""
        ...

    def own(self, name: str) -> str:
        """The actual file name of a listed name."""
        ...

    def read(self, name: str) -> bytes: ...

    def names(self) -> Iterable[str]:
        """The actual names of all files."""
        ...

    def __contains__(self, name: str) -> bool: ...


class FolderSource:
    """Files in a folder and its sub-folders."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._meant = Meant({}, {})
        self._alike = AlikeNames()

    def match(self, listed: Sequence[str]) -> None:
        self._meant = meant_in_folder(listed, self._is_there)

    def own(self, name: str) -> str:
        return self._meant.own.get(name, name)

    def read(self, name: str) -> bytes:
        """Raises FindError if the file is missing."""
        file = self.path / self.own(name)
        try:
            if file.exists() and not file.is_file():  # a pipe would block until something writes to it
                kind = "a folder" if file.is_dir() else "not a regular file"
                raise DataError(
                    f"{file}: this is {kind}. Put the file there, or take the image out of the annotations."
                )
            return file.read_bytes()
        except (OSError, ValueError) as error:  # a ValueError: a name with a null byte
            if isinstance(error, FindError):
                raise
            is_link = not isinstance(error, ValueError) and file.is_symlink()
            reason = "a link to a file that is gone" if is_link else getattr(error, "strerror", None) or error
            hint = "" if is_link else self._alike.hint(name, self.names)
            raise DataError(
                f"{file}: the file cannot be read ({reason}){hint}. Put it back, or take the image out of the "
                "annotations."
            ) from error

    def names(self) -> Iterable[str]:
        for folder, folders, files in os.walk(self.path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            within = Path(folder).relative_to(self.path)
            yield from (str(within / name) for name in files if not name.startswith("."))

    def __contains__(self, name: str) -> bool:
        return self._is_there(self.own(name))

    def _is_there(self, name: str) -> bool:
        try:
            return (self.path / name).is_file()
        except (OSError, ValueError):  # too long, or with a null byte
            return False


class ZipSource:
    """Files of a zip archive, in any folder of the archive (see `match`).

    The central directory is read once. The archive is opened once per process, and every read gives its absolute
    offset, so that forked processes and threads share no file position; pickled copies open it again.

    Args:
        path: the archive.
        inside: the name of a nested archive whose files are used, as COCO ships its panoptic PNGs. It must be stored
            without compression, so that its bytes can be read directly from `path`.

    Raises:
        FindError: the file is missing, truncated or not a zip archive, lacks `inside`, or stores it compressed.
    """

    def __init__(self, path: Path, *, inside: str | None = None) -> None:
        self.path = path if inside is None else path / inside  # for messages
        self._archive = path
        self._file: BinaryIO | None = None
        self._begin = 0
        try:
            with open(path, "rb") as file:
                part: BinaryIO | io.BufferedReader = file
                if inside is not None:
                    self._begin, size = _place(file, inside, path)
                    part = io.BufferedReader(_Part(file, self._begin, size))
                with zipfile.ZipFile(part) as archive:
                    members = archive.infolist()
        except FindError:
            raise
        except (OSError, *ZIP_ERRORS) as error:
            raise DataError(
                f"{self.path}: not a zip file that can be read, or a truncated one ({error}). Download it again."
            ) from error
        self._members = {
            member.filename: (member.header_offset, member.compress_size, member.compress_type, member.CRC)
            for member in members
            if visible_name(member) is not None
        }
        self._meant = Meant({}, {})
        self._alike = AlikeNames()

    def match(self, listed: Sequence[str]) -> None:
        self._meant = meant_in_archive(listed, self._members)

    def own(self, name: str) -> str:
        return self._meant.own.get(name, name)

    def read(self, name: str) -> bytes:
        """Raises FindError if the archive has no such file, or its bytes are damaged."""
        if name in self._meant.unclear:
            several = self._meant.unclear[name]
            raise DataError(
                f"{self.path}: {len(several)} files of the archive may be {name}: {', '.join(several[:3])}. Write the "
                "folder into file_name."
            )
        name = self.own(name)
        if name not in self._members:
            raise DataError(
                f"{self.path}: the archive holds no file {name}{self._alike.hint(name, self.names)}. Download it "
                "again, or take the image out of the annotations."
            )
        offset, size, method, checksum = self._members[name]
        offset += self._begin
        header = self._bytes(offset, LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size:
            raise self._damaged(name)
        data = self._bytes(offset + LOCAL_HEADER.size + sum(LOCAL_HEADER.unpack(header)), size)
        try:
            if method == zipfile.ZIP_DEFLATED:
                data = zlib.decompress(data, -zlib.MAX_WBITS)
            elif method != zipfile.ZIP_STORED:
                raise DataError(f"{self.path}: {name} is packed by method {method}. Pack the archive with deflate.")
        except zlib.error as error:
            raise self._damaged(name) from error
        if zlib.crc32(data) != checksum:
            raise self._damaged(name)
        return data

    def names(self) -> Iterable[str]:
        return self._members

    def __contains__(self, name: str) -> bool:
        return self.own(name) in self._members and name not in self._meant.unclear

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}

    def _bytes(self, offset: int, size: int) -> bytes:
        """Reads at an absolute offset: forked processes share one file position, which must not change."""
        if self._file is None:
            try:
                self._file = open(self._archive, "rb", buffering=0)  # noqa: SIM115 (stays open)
            except OSError as error:
                raise DataError(f"{self._archive}: the archive is gone ({error.strerror}). Put it back.") from error
        there = os.fstat(self._file.fileno()).st_size - offset
        return os.pread(self._file.fileno(), min(size, there), offset) if offset >= 0 and there > 0 else b""

    def _damaged(self, name: str) -> FindError:
        return DataError(f"{self.path}: the bytes of {name} are damaged. Download the archive again.")


class _Part(io.RawIOBase):
    """The bytes [begin, begin + size) of a file as a file."""

    def __init__(self, file: BinaryIO, begin: int, size: int) -> None:
        self.file, self.begin, self.size, self.place = file, begin, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: self.size}[whence]
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer: bytearray) -> int:
        data = os.pread(self.file.fileno(), max(0, min(len(buffer), self.size - self.place)), self.begin + self.place)
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)


def visible_name(member: zipfile.ZipInfo) -> str | None:
    """A member's name without folders; None for folders and for files that macOS adds to archives."""
    name = PurePosixPath(plain_path(member.filename)).name
    is_folder = member.filename.endswith(("/", "\\"))
    return None if is_folder or not name or name.startswith(".") else name


def find_inside(path: Path, name: str) -> zipfile.ZipInfo | None:
    """The member of that name, in any folder of the archive; None if there is none, or no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return next((member for member in archive.infolist() if visible_name(member) == name), None)
    except (OSError, *ZIP_ERRORS):
        return None


def _place(file: BinaryIO, inside: str, path: Path) -> tuple[int, int]:
    """Offset and length of a member's bytes in the file."""
    with zipfile.ZipFile(file) as outer:
        try:
            member = outer.getinfo(inside)
        except KeyError:
            raise DataError(f"{path}: the archive holds no file {inside}. Download it again.") from None
    if member.compress_type != zipfile.ZIP_STORED:
        raise DataError(
            f"{path}: {inside} lies in it compressed. Unpack it beside it: unzip -j {path} {inside} -d {path.parent}"
        )
    header = os.pread(file.fileno(), LOCAL_HEADER.size, member.header_offset)
    if len(header) < LOCAL_HEADER.size:
        raise zipfile.BadZipFile("a member lies beyond its end")
    return member.header_offset + LOCAL_HEADER.size + sum(LOCAL_HEADER.unpack(header)), member.file_size


def open_source(candidates: Iterable[Path], what: str, *, within: Iterable[Path] = ()) -> FileSource:
    """The first of `candidates` that exists, as a folder or a zip file.

    If none does, the first archive in `within` that contains a zip file with a candidate's name. Raises a FindError
    that lists all places if there is none.
    """
    candidates, within = list(candidates), list(within)
    for path in candidates:
        if path.is_dir():
            return FolderSource(path)
        if path.is_file():
            return ZipSource(path)
    names = dict.fromkeys(path.name for path in candidates if path.suffix == ".zip")
    for path in within:
        for name in names:
            member = find_inside(path, name)
            if member is not None:
                return ZipSource(path, inside=member.filename)
    places = " or ".join(str(path) for path in [*candidates, *within])
    raise DataError(f"{places}: {what} not found. Put the folder or COCO's zip file there.")
