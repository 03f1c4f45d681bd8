"""Writing albums: settings, the lock, creation and commits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from filelock import FileLock, Timeout

from find.errors import FindError, InputError
from find.retrieval.candidates import update_sketch
from find.retrieval.connection import TABLE, has_table, is_remote
from find.retrieval.filters import quoted
from find.retrieval.objects import Selection
from find.retrieval.table import KEY, Embedder, Stamp, create_table, open_table, read_root, reading
from find.retrieval.vector_types import VectorType, check_vector_type

if TYPE_CHECKING:
    from lancedb.table import Table

LOCK = "index.lock"
EXACT_ROWS = 20_000
"""Albums with more images are searched in two stages, with a sketch."""
MANY_FRAGMENTS = 64
"""Number of commits after which a table is compacted; fewer do not slow searches down."""


@dataclass(frozen=True)
class IndexSettings:
    """Settings of indexing.

    Args:
        batch_size: images embedded together.
        workers: threads that read files.
        objects: maximum number of object vectors per image; None: as in the album, 16 for a new one.
        dim: number of values per vector (Matryoshka); None: as in the album, all of the model's for a new one.
        vector_type: how vectors are stored: float16, int8, int4, int2 or binary, each in half the space of the one
            before and with more loss of accuracy; None: as in the album, float16 for a new one.
        frame_seconds: the first frame of every interval of this many seconds of a video becomes an image.
        commit_seconds: time between commits, hence the work that an interruption can cost.
        storage: LanceDB's options of object storage.
    """

    batch_size: int = 32
    workers: int = min(8, os.cpu_count() or 1)
    objects: int | None = None
    dim: int | None = None
    vector_type: VectorType | None = None
    frame_seconds: float = 1.0
    commit_seconds: float = 10.0
    storage: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "workers", "objects", "dim", "frame_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} is {value:g}; give more than 0")
        if self.vector_type is not None:
            check_vector_type(self.vector_type, self.dim)


@contextmanager
def writing(album: str | os.PathLike[str]) -> Iterator[None]:
    """A lock against other writers on this machine; the system releases it if this process is killed.

    Raises FindError if another process is writing, or the folder cannot be an album.
    """
    if is_remote(album):  # on object storage: writers merge rows by key, and one of two conflicting commits fails
        yield
        return
    folder = Path(album)
    is_new = not folder.exists()
    if not has_table(album) and folder.is_dir():
        others = [entry.name for entry in folder.iterdir() if entry.name not in (LOCK, f"{TABLE}.lance")]
        if others:
            raise InputError(f"{folder}: this folder holds other files ({others[0]}); give the album its own folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        with lock:
            yield
    except Timeout as error:
        raise FindError(f"{folder}: another run is writing this album; wait until it has finished") from error
    except PermissionError as error:
        raise FindError(f"{folder}: no permission to write here") from error
    finally:
        if is_new and folder.is_dir() and not has_table(album):
            (folder / LOCK).unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()


def open_to_write(model: Embedder, album: str | os.PathLike[str], settings: IndexSettings) -> tuple[Table, Stamp]:
    """An album and its stamp. Raises FindError if it was made by other weights or with other settings."""
    table, stamp = open_table(album, storage=settings.storage)
    stamp.check(model, str(album))
    for what in ("objects", "dim", "vector_type"):
        asked, has = getattr(settings, what), getattr(stamp, what)
        if asked is not None and asked != has:
            raise InputError(f"{album}: this album has {what}={has}, not {asked}; make another album")
    return table, stamp


def begin(
    model: Embedder, album: str | os.PathLike[str], root: Path, *, name: str, dim: int, settings: IndexSettings
) -> tuple[Table, Stamp]:
    """Creates an album of the photos below `root`, or opens the one that another writer has just created.

    Raises FindError if that one has other settings, or vectors of `dim` values cannot be stored in this vector type.
    """
    vector_type = settings.vector_type or "float16"
    check_vector_type(vector_type, dim)
    stamp = Stamp(model.fingerprint, name, dim, settings.objects or Selection().most, vector_type)
    stored = stored_root(album, root)
    try:
        return create_table(album, stamp, stored, storage=settings.storage), stamp
    except FileExistsError:
        table, stamp = open_to_write(model, album, settings)
        if read_root(table.schema) != stored:
            raise FindError(
                f"{album}: another run has begun this album with other photos; make another album"
            ) from None
        return table, stamp


def known_files(album: str | os.PathLike[str], table: Table) -> dict[str, tuple[int, object]]:
    """path -> size in bytes and time of the last change, of every file that has rows."""
    with reading(album):
        rows = table.search().select(["path", "bytes", "modified"]).to_arrow()
    columns = (rows[name].to_pylist() for name in ("path", "bytes", "modified"))
    return {path: (size, modified) for path, size, modified in zip(*columns, strict=True)}


def write_rows(table: Table, rows: pa.Table, *, is_new: bool) -> None:
    """Writes all rows of some files in one commit.

    Args:
        is_new: the table has no rows of these files, and nobody else is writing; otherwise theirs are replaced.
    """
    if rows.num_rows == 0:
        return
    if is_new:
        table.add(rows)
        return
    paths = ", ".join(map(quoted, sorted(set(rows["path"].to_pylist()))))
    merge = table.merge_insert(list(KEY)).when_matched_update_all().when_not_matched_insert_all()
    merge.when_not_matched_by_source_delete(f"path IN ({paths})").execute(rows)


def compact_and_refresh(
    album: str | os.PathLike[str], table: Table, stamp: Stamp, *, storage: Mapping[str, str] | None = None
) -> None:
    """Compacts small commits, and creates or updates the sketch of large albums.

    Open albums read the files of their own version at every search, so these stay for an hour: the disk holds both
        until
    the next compaction.
    """
    stats: Any = table.stats()  # a dict, whatever its annotation says
    if stats["fragment_stats"]["num_small_fragments"] > MANY_FRAGMENTS:
        table.optimize(cleanup_older_than=timedelta(hours=1))
    if table.count_rows() > EXACT_ROWS:
        update_sketch(str(album), table, stamp.objects, storage=storage)


def resolve_root(album: str | os.PathLike[str], root: str) -> Path:
    """The folder of photos, from the path stored in the table."""
    return Path(root) if is_remote(album) else Path(os.path.normpath(Path(album).resolve().parent / root))


def stored_root(album: str | os.PathLike[str], root: Path) -> str:
    """The folder of photos relative to the one that the album lies in, so that both can move together."""
    if is_remote(album):
        return root.as_posix()
    try:
        return Path(os.path.relpath(root, Path(album).resolve().parent)).as_posix()
    except ValueError:  # another drive
        return root.as_posix()
