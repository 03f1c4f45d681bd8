"""Indexing: an album's table made equal to a folder of photos, every image embedded once.

Rows are committed every few seconds, all rows of a file at once; what was committed when a run was interrupted is there
for the next one, which does the rest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from filelock import FileLock, Timeout
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from find.errors import FindError
from find.progress import progress_bar
from find.retrieval.candidates import update_sketch
from find.retrieval.filters import quoted
from find.retrieval.objects import Selection
from find.retrieval.photos import PhotoFile, PhotoFolder, Picture, Skipped, find_files, read_ahead
from find.retrieval.table import (
    KEY,
    TABLE,
    Embedder,
    Stamp,
    create_table,
    first_line,
    has_table,
    is_remote,
    open_table,
    read_root,
    to_rows,
    write_root,
)

if TYPE_CHECKING:
    from lancedb.table import Table

LOCK = "index.lock"
EXACT_ROWS = 20_000
"""Albums of more images are searched in two stages, with the help of a sketch."""
MANY_FRAGMENTS = 64
"""Commits that a table gathers before they are written together; fewer do not slow a search down."""


@dataclass(frozen=True)
class Settings:
    """How an album is made.

    Args:
        batch_size: images embedded together.
        workers: threads that read files.
        objects: object vectors an image keeps at most; None: the album's own, 16 for a new one.
        dim: values that a vector keeps (Matryoshka); None: the album's own, all of the model's for a new one.
        frame_seconds: of a video, the first frame of each so many seconds is an image.
        commit_seconds: how much work an interruption may cost.
        storage: LanceDB's options of object storage.
    """

    batch_size: int = 32
    workers: int = min(8, os.cpu_count() or 1)
    objects: int | None = None
    dim: int | None = None
    frame_seconds: float = 1.0
    commit_seconds: float = 10.0
    storage: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "workers", "objects", "dim", "frame_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise FindError(f"{name} is {value:g}; give more than 0")


class _TooFewValues(FindError):
    """The model's vectors are shorter than the album is to keep: nothing can be embedded."""


@dataclass
class IndexReport:
    """What a run did, in files; `rows` are the images of the album now, frames of videos among them."""

    added: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    rows: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    def __str__(self) -> str:
        counts = {name: getattr(self, name) for name in ("added", "updated", "removed", "unchanged")}
        told = [f"{count} {name}" for name, count in counts.items() if count or name == "added"]
        return f"{self.rows} images ({', '.join(told)}, {len(self.skipped)} skipped)"


def index(
    model: Embedder,
    photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    album: str | os.PathLike[str],
    *,
    name: str = "",
    settings: Settings | None = None,
    progress: bool = True,
) -> IndexReport:
    """Adds new files, embeds changed ones again and drops deleted ones.

    Args:
        photos: a folder, searched with its sub-folders: the one that the album is of, or a part of it; or files, which
            are added or updated while all others stay.
        album: the folder to write (a new one, or an album), or a URI of object storage.
        name: what to call the model in messages.

    Files that are no readable image do not stop the work: they are listed in the report.

    Raises:
        FindError: nothing to index, not one file could be read, an album of other weights or of another folder,
            another run is writing it, or it cannot be written.
    """
    settings = settings or Settings()
    with writing(album):
        try:
            return _Run(model, photos, album, name, settings, progress).run()
        except (OSError, RuntimeError) as error:
            raise FindError(
                f"{album}: the album could not be written ({first_line(error)}); what was written before is kept, "
                "the same command goes on from there"
            ) from error


@contextmanager
def writing(album: str | os.PathLike[str]) -> Iterator[None]:
    """Keeps other processes of this machine from writing the album; the system frees it if this one is killed.

    Raises FindError if another one is writing, or the folder cannot be an album.
    """
    if is_remote(album):  # its commits are atomic, and rows are merged by their key
        yield
        return
    folder = Path(album)
    is_new = not folder.exists()
    if not has_table(album) and folder.is_dir():
        others = [entry.name for entry in folder.iterdir() if entry.name not in (LOCK, f"{TABLE}.lance")]
        if others:
            raise FindError(f"{folder}: this folder holds other things ({others[0]}); give the album one of its own")
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


class _Run:
    """One run of `index`; holds what it has made and not yet committed."""

    def __init__(
        self,
        model: Embedder,
        photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        album: str | os.PathLike[str],
        name: str,
        settings: Settings,
        progress: bool,
    ) -> None:
        self.model, self.album, self.name, self.settings, self.progress = model, album, name, settings, progress
        self.table: Table | None = None
        self.stamp: Stamp | None = None
        self.report = IndexReport()
        self.rows: list[pa.RecordBatch] = []
        self.changed: set[str] = set()  # paths that have rows in the table already
        self.last_commit = time.monotonic()
        self.folder = self._open(photos)

    def _open(self, photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> PhotoFolder:
        settings = self.settings
        if not has_table(self.album, storage=settings.storage):
            return find_files(photos)
        self.table, self.stamp = open_table(self.album, storage=settings.storage)
        self.stamp.check(self.model, str(self.album))
        for what in ("objects", "dim"):
            asked, has = getattr(settings, what), getattr(self.stamp, what)
            if asked is not None and asked != has:
                raise FindError(f"{self.album}: this album keeps {what}={has}, not {asked}; make another album")
        root = resolve_root(self.album, read_root(self.table.schema))
        if root.is_dir():
            return find_files(photos, root=root)
        folder = find_files(photos)  # the photos have moved
        if folder.scope is None:
            raise FindError(f"{self.album}: its photos, {root}, are gone; index the folder that they are in now")
        write_root(self.table, stored_root(self.album, folder.root))
        return folder

    def run(self) -> IndexReport:
        report, known = self.report, {} if self.table is None else known_files(self.table)
        new, found = [], {file.path for file in self.folder.files}
        for file in self.folder.files:
            if known.get(file.path) == (file.bytes, file.modified):
                report.unchanged += 1
            else:
                new.append(file)
        self.changed = {file.path for file in new} & known.keys()
        report.skipped += self.folder.unlisted
        gone = [path for path in known if path not in found and self._was_looked_for(path)]
        with self._bar(len(new)) as advance:
            self._embed([file for file in new if not file.is_video], advance)
            for file in new:
                if file.is_video:
                    self._embed_video(file)
                    advance(1)
        self._commit()
        if self.table is None:
            first = report.skipped[0]
            raise FindError(f"{first.path}: {first.reason}; none of {len(new)} images can be used")
        # A changed file that cannot be read any more is gone, too.
        skipped = {skipped.path for skipped in report.skipped}
        gone += [file.path for file in new if file.path in self.changed and file.file in skipped]
        self._remove(gone)
        report.removed = len(gone)
        tidy(self.album, self.table, self.stamp, storage=self.settings.storage)
        report.rows = self.table.count_rows()
        return report

    def _was_looked_for(self, path: str) -> bool:
        """Whether a file that was not found is one that this run would have found."""
        scope, file = self.folder.scope, self.folder.root / path
        hidden = any(file.is_relative_to(skipped.path) for skipped in self.folder.unlisted)
        return scope is not None and path.startswith(scope) and not hidden

    def _embed(self, files: Sequence[PhotoFile], advance) -> None:
        for batch in read_ahead(files, self.settings.batch_size, self.settings.workers):
            pictures = [picture for picture in batch if isinstance(picture, Picture)]
            self.report.skipped += [skipped for skipped in batch if isinstance(skipped, Skipped)]
            self._add(pictures)
            if time.monotonic() - self.last_commit >= self.settings.commit_seconds:
                self._commit()
            advance(len(batch))

    def _embed_video(self, file: PhotoFile) -> None:
        """All frames, or none: a file whose rows are there counts as done."""
        from find.retrieval.video import read_video

        before = len(self.rows)
        frames: list[Picture] = []
        try:
            for picture in read_video(file, every=self.settings.frame_seconds):
                frames.append(picture)
                if len(frames) == self.settings.batch_size:
                    self.rows.append(self._rows_of(frames))
                    frames.clear()
            if frames:
                self.rows.append(self._rows_of(frames))
        except _TooFewValues:
            raise
        except FindError as error:
            del self.rows[before:]
            self.report.skipped.append(Skipped.because(file.file, error))
            return
        if len(self.rows) == before:
            self.report.skipped.append(Skipped(file.file, "this video has no frames"))
            return
        self._count(file.path)
        if time.monotonic() - self.last_commit >= self.settings.commit_seconds:
            self._commit()

    def _add(self, pictures: Sequence[Picture]) -> None:
        """Embeds pictures together, or each by itself where the model refuses one."""
        if not pictures:
            return
        try:
            self.rows.append(self._rows_of(pictures))
        except _TooFewValues:
            raise
        except FindError as error:
            if len(pictures) > 1:
                for picture in pictures:
                    self._add([picture])
                return
            file = self.folder.root / pictures[0].photo.path
            self.report.skipped.append(Skipped.because(file, error))
            return
        for picture in pictures:
            self._count(picture.photo.path)

    def _count(self, path: str) -> None:
        if path in self.changed:
            self.report.updated += 1
        else:
            self.report.added += 1

    def _rows_of(self, pictures: Sequence[Picture]) -> pa.RecordBatch:
        embedded = self.model.embed_images([picture.pixels for picture in pictures])
        if not (torch.isfinite(embedded.image).all() and torch.isfinite(embedded.objects).all()):
            raise FindError("the model gives vectors that are not finite")
        if self.table is None:
            width = embedded.image.shape[1]
            dim = self.settings.dim or width
            if dim > width:
                raise _TooFewValues(f"the model's vectors have {width} values; dim={dim} cannot be kept of them")
            self.stamp = Stamp(self.model.fingerprint, self.name, dim, self.settings.objects or Selection().most)
            root = stored_root(self.album, self.folder.root)
            self.table = create_table(self.album, self.stamp, root, storage=self.settings.storage)
        photos = [picture.photo for picture in pictures]
        selection = Selection(most=self.stamp.objects)
        return to_rows(photos, embedded, schema=self.table.schema, selection=selection)

    def _commit(self) -> None:
        """Everything since the last commit: at most one commit for new files, one for changed ones."""
        if self.rows:
            rows = pa.Table.from_batches(self.rows)
            is_changed = np.array([path in self.changed for path in rows["path"].to_pylist()])
            write_rows(self.table, rows.filter(pa.array(~is_changed)), is_new=not is_remote(self.album))
            write_rows(self.table, rows.filter(pa.array(is_changed)), is_new=False)
            self.rows.clear()
        self.last_commit = time.monotonic()

    def _remove(self, paths: Sequence[str]) -> None:
        for start in range(0, len(paths), 1000):
            self.table.delete(f"path IN ({', '.join(map(quoted, paths[start : start + 1000]))})")

    @contextmanager
    def _bar(self, total: int):
        columns = (
            TextColumn("Embedding images"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with progress_bar(*columns, shown=self.progress and total > 0) as bar:
            task = bar.add_task("", total=total)
            yield lambda count: bar.advance(task, count)


def known_files(table: Table) -> dict[str, tuple[int, object]]:
    """path -> bytes and time of the last change, of every file that has rows."""
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


def tidy(
    album: str | os.PathLike[str], table: Table, stamp: Stamp, *, storage: Mapping[str, str] | None = None
) -> None:
    """Writes many small commits together; makes or renews the sketch that large albums are searched by.

    An open album reads its own version's files at every search, so those stay for an hour: the disk holds both until
    the next time that commits are written together.
    """
    if table.stats()["fragment_stats"]["num_small_fragments"] > MANY_FRAGMENTS:
        table.optimize(cleanup_older_than=timedelta(hours=1))
    if table.count_rows() > EXACT_ROWS:
        update_sketch(str(album), table, stamp.objects, storage=storage)


def resolve_root(album: str | os.PathLike[str], root: str) -> Path:
    """The folder of photos, from what the table keeps of it."""
    return Path(root) if is_remote(album) else Path(os.path.normpath(Path(album).resolve().parent / root))


def stored_root(album: str | os.PathLike[str], root: Path) -> str:
    """The folder of photos relative to the one that the album lies in, so that both can move together."""
    if is_remote(album):
        return root.as_posix()
    try:
        return Path(os.path.relpath(root, Path(album).resolve().parent)).as_posix()
    except ValueError:  # another drive
        return root.as_posix()
