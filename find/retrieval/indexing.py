"""Indexing: synchronises an album's table with a folder of photos, embedding every image once.

Rows are committed every few seconds, all rows of a file together. After an interruption the next run keeps the
committed rows and continues with the rest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from find.errors import CheckpointError, FindError, InputError
from find.retrieval.connection import first_line, has_table, is_of_store, is_remote
from find.retrieval.filters import quoted
from find.retrieval.objects import Selection
from find.retrieval.photos import PhotoFile, PhotoFolder, Picture, Skipped, counted, find_files, read_ahead
from find.retrieval.table import Embedder, Stamp, read_root, to_rows, write_root
from find.retrieval.writing import (
    IndexSettings,
    begin,
    compact_and_refresh,
    known_files,
    open_to_write,
    resolve_root,
    stored_root,
    write_rows,
    writing,
)
from find.utils.memory import OutOfMemory, is_out_of_memory
from find.utils.progress import progress_bar

if TYPE_CHECKING:
    from lancedb.table import Table


class _Unfit(InputError):
    """The model's vectors do not fit the album, so no image can be embedded."""


@dataclass
class IndexReport:
    """Counts of a run, in files; `rows` is the number of images in the album afterwards, including video frames.

    `skipped` lists images and videos that could not be used, with reasons; `others` counts files of other kinds and
    `hidden` those whose names start with a dot. `broken_metadata` counts the files whose EXIF, IPTC or XMP could not be
    read; their pixels are in the album.
    """

    added: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    rows: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    others: int = 0
    hidden: int = 0
    broken_metadata: int = 0

    def __str__(self) -> str:
        counts = {name: getattr(self, name) for name in ("added", "updated", "removed", "unchanged")}
        parts = [f"{count} {name}" for name, count in counts.items() if count or name == "added"]
        left_alone = f"; left alone: {counted(self.others, self.hidden)}" if self.others or self.hidden else ""
        broken = f"; {self.broken_metadata} with broken metadata" if self.broken_metadata else ""
        return f"{self.rows} images ({', '.join(parts)}, {len(self.skipped)} skipped){left_alone}{broken}"


def index(
    model: Embedder,
    photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    album: str | os.PathLike[str],
    *,
    name: str = "",
    settings: IndexSettings | None = None,
    progress: bool = True,
) -> IndexReport:
    """Adds new files, re-embeds changed ones and removes deleted ones.

    Args:
        photos: a folder, searched recursively: the album's folder of photos or a part of it; or files, which are added
            or updated while all others stay.
        album: the folder to write (a new one, or an album), or a URI of object storage.
        name: the model's name, for messages.

    Images and videos that cannot be read do not stop the run: they are listed in the report, other files are counted.

    Raises:
        FindError: there is nothing to index, no file could be read, the album was made with other weights or from
            another folder, another run is writing it, it cannot be written, or memory is too small for a single
            image.
    """
    settings = settings or IndexSettings()
    with writing(album):
        try:
            return _Run(model, photos, album, name, settings, progress).run()
        except BaseException as error:
            if not isinstance(error, (MemoryError, OutOfMemory)) and (
                isinstance(error, ValueError) or not is_of_store(error)  # includes FindError, whose message is complete
            ):
                raise
            if isinstance(error, OutOfMemory):
                reason = str(error)
            elif is_out_of_memory(error):
                reason = f"out of memory ({first_line(error)})"
            else:
                reason = f"the album could not be written ({first_line(error)})"
            raise FindError(
                f"{album}: {reason}; images written so far are kept, the same command resumes from there"
            ) from error


class _Run:
    """One run of `index`, with the rows that are not committed yet."""

    def __init__(
        self,
        model: Embedder,
        photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        album: str | os.PathLike[str],
        name: str,
        settings: IndexSettings,
        progress: bool,
    ) -> None:
        self.model, self.album, self.name, self.settings, self.progress = model, album, name, settings, progress
        self.table: Table | None = None
        self.stamp: Stamp | None = None
        self.report = IndexReport()
        self.rows: list[pa.RecordBatch] = []
        self.changed: set[str] = set()  # paths that already have rows in the table
        self.last_commit = time.monotonic()
        self.folder = self._open(photos)

    def _open(self, photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> PhotoFolder:
        if not has_table(self.album, storage=self.settings.storage):
            return find_files(photos)
        self.table, self.stamp = open_to_write(self.model, self.album, self.settings)
        root = resolve_root(self.album, read_root(self.table.schema))
        if root.is_dir():
            return find_files(photos, root=root)
        folder = find_files(photos)  # the photos have moved
        if folder.scope is None:
            raise InputError(f"{self.album}: its photos, {root}, are gone; index the folder that they are in now")
        write_root(self.table, stored_root(self.album, folder.root))
        return folder

    def run(self) -> IndexReport:
        report, known = self.report, {} if self.table is None else known_files(self.album, self.table)
        new, found = [], {file.path for file in self.folder.files}
        for file in self.folder.files:
            if known.get(file.path) == (file.bytes, file.modified):
                report.unchanged += 1
            else:
                new.append(file)
        self.changed = {file.path for file in new} & known.keys()
        report.skipped += self.folder.unlisted + self.folder.refused
        report.others, report.hidden = self.folder.others, self.folder.hidden
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
            raise InputError(f"{first.path}: {first.reason}; none of {len(report.skipped)} images can be used")
        # The rows of a changed file that can no longer be read are removed as well.
        skipped = {skipped.path for skipped in report.skipped}
        gone += [file.path for file in new if file.path in self.changed and file.file in skipped]
        assert self.stamp is not None
        self._remove(gone)
        report.removed = len(gone)
        compact_and_refresh(self.album, self.table, self.stamp, storage=self.settings.storage)
        report.rows = self.table.count_rows()
        return report

    def _was_looked_for(self, path: str) -> bool:
        """Whether a missing file is in the scope of this run, and hence was deleted."""
        scope, file = self.folder.scope, self.folder.root / path
        hidden = any(file.is_relative_to(skipped.path) for skipped in self.folder.unlisted)
        return scope is not None and path.startswith(scope) and not hidden

    def _embed(self, files: Sequence[PhotoFile], advance: Callable[[int], None]) -> None:
        for batch in read_ahead(files, self.settings.batch_size, self.settings.workers):
            pictures = [picture for picture in batch if isinstance(picture, Picture)]
            self.report.skipped += [skipped for skipped in batch if isinstance(skipped, Skipped)]
            self._add(pictures)
            if time.monotonic() - self.last_commit >= self.settings.commit_seconds:
                self._commit()
            advance(len(batch))

    def _embed_video(self, file: PhotoFile) -> None:
        """All frames of a video or none, because a file with rows counts as done."""
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
        except (_Unfit, OutOfMemory):
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
        """Embeds pictures as a batch; if the model rejects one, each alone."""
        if not pictures:
            return
        try:
            self.rows.append(self._rows_of(pictures))
        except (_Unfit, OutOfMemory):
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
            self.report.broken_metadata += bool(picture.photo.metadata.broken)

    def _count(self, path: str) -> None:
        if path in self.changed:
            self.report.updated += 1
        else:
            self.report.added += 1

    def _rows_of(self, pictures: Sequence[Picture]) -> pa.RecordBatch:
        embedded = self.model.embed_images([picture.pixels for picture in pictures])
        if not (torch.isfinite(embedded.image).all() and torch.isfinite(embedded.objects).all()):
            raise CheckpointError("the model gives vectors that are not finite")
        if self.table is None:
            width = embedded.image.shape[1]
            dim = self.settings.dim or width
            if dim > width:
                raise _Unfit(f"the model's vectors have {width} values; dim={dim} cannot be kept of them")
            try:
                self.table, self.stamp = begin(
                    self.model, self.album, self.folder.root, name=self.name, dim=dim, settings=self.settings
                )
            except FindError as error:
                raise _Unfit(str(error)) from error
        photos = [picture.photo for picture in pictures]
        assert self.stamp is not None
        selection = Selection(most=self.stamp.objects)
        return to_rows(photos, embedded, schema=self.table.schema, selection=selection)

    def _commit(self) -> None:
        """Commits all pending rows: at most one commit for new files and one for changed ones."""
        if self.rows and self.table is not None:
            rows = pa.Table.from_batches(self.rows)
            is_changed = np.array([path in self.changed for path in rows["path"].to_pylist()])
            write_rows(self.table, rows.filter(pa.array(~is_changed)), is_new=not is_remote(self.album))
            write_rows(self.table, rows.filter(pa.array(is_changed)), is_new=False)
            self.rows.clear()
        self.last_commit = time.monotonic()

    def _remove(self, paths: Sequence[str]) -> None:
        assert self.table is not None
        for start in range(0, len(paths), 1000):
            self.table.delete(f"path IN ({', '.join(map(quoted, paths[start : start + 1000]))})")

    @contextmanager
    def _bar(self, total: int) -> Iterator[Callable[[int], None]]:
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
