"""Locations of albums, checks that one exists, and connections to LanceDB, which is imported only to connect."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from find.errors import DataError, InputError
from find.utils.extras import extra

if TYPE_CHECKING:
    from lancedb.db import DBConnection

TABLE = "images"
_CLIENT = "lance_namespace_urllib3_client"


class UnreadableAlbum(DataError):
    """Files of an album are damaged or missing: the request itself is valid."""


def is_remote(album: str | os.PathLike[str]) -> bool:
    """Whether an album is on object storage: s3://, gs://, az://, ..."""
    return "://" in str(album)


def connect(album: str | os.PathLike[str], storage: Mapping[str, str] | None = None) -> DBConnection:
    """Opens the LanceDB database of an album. `storage` are LanceDB's options of object storage (keys, endpoint, ...).

    Raises UnreadableAlbum if the storage cannot be reached or denies access.
    """
    with extra("album", f"the album {album}"):
        _defer_client()
        import lancedb

    try:
        return lancedb.connect(str(album), storage_options=dict(storage or {}) or None)
    except (ValueError, RuntimeError, OSError) as error:
        if not is_remote(album):
            raise
        raise UnreadableAlbum(
            f"{album}: this storage cannot be reached ({first_line(error)}); check its address, keys and region"
        ) from error


def has_table(album: str | os.PathLike[str], *, storage: Mapping[str, str] | None = None) -> bool:
    """Whether an album exists.

    Raises:
        FindError: the path is a file, or a folder that holds other things.
    """
    if is_remote(album):
        return TABLE in connect(album, storage).list_tables().tables
    path = Path(album)
    if path.is_file():
        raise DataError(
            f"{path}: an album is a folder, this is a file (albums of an earlier version were files); delete it and "
            "index the photos again: findvl index PHOTOS ALBUM"
        )
    return (path / f"{TABLE}.lance").is_dir() and any((path / f"{TABLE}.lance" / "_versions").glob("*.manifest"))


def check_album(album: str | os.PathLike[str], *, storage: Mapping[str, str] | None = None) -> None:
    """Raises FindError if there is no album; for a local one this needs no library."""
    if not has_table(album, storage=storage):
        if not is_remote(album) and Path(album).is_dir() and not (Path(album) / f"{TABLE}.lance").exists():
            raise DataError(
                f"{album}: this folder is not an album; if it holds photos, make an album of them and search that: "
                f"findvl index {album} my.album"
            )
        raise DataError(f"{album}: no such album; make one with: findvl index PHOTOS {album}")


def check_photos(folder: str | os.PathLike[str]) -> None:
    """Raises InputError for an album in place of a folder of photos."""
    if not is_remote(folder) and Path(folder).is_dir() and has_table(folder):
        raise InputError(
            f"{folder}: this is an album, not a folder of photos; give the folder of photos, then the album: "
            f"findvl index PHOTOS {folder}"
        )


def is_of_store(error: BaseException) -> bool:
    """Whether LanceDB or Arrow raised the error. Panics of their Rust code have classes that cannot be imported."""
    kind = type(error)
    panicked = kind.__name__ in ("RustPanic", "PanicException")
    return panicked or isinstance(error, (ValueError, RuntimeError, OSError)) or kind.__module__.startswith("pyarrow")


def first_line(error: BaseException) -> str:
    """A library's error message without source locations; for object storage, the server's message."""
    text = str(error).strip() or type(error).__name__
    message = re.search(r"<Message>(.+?)</Message>", text)
    if message:
        return message[1]
    return re.split(r",? /\S+\.rs:\d", text.splitlines()[0])[0][:300]


class _Deferred(ModuleType):
    """A package whose own code runs at the first attribute access; its submodules are imported as usual."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment]  # it is an ordinary module from now on
        assert self.__spec__ is not None and self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def _defer_client() -> None:
    """LanceDB imports the data models of its catalog client. The client itself, which the same package imports, takes
    two fifths of LanceDB's import time and is never used for albums."""
    if _CLIENT in sys.modules:
        return
    spec = importlib.util.find_spec(_CLIENT)
    if spec is not None and spec.submodule_search_locations:
        package = _Deferred(_CLIENT)
        package.__spec__, package.__file__ = spec, spec.origin
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules[_CLIENT] = package
