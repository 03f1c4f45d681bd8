"""Indexing on many machines: Ray Data reads and embeds new photographs. In a folder, their rows are written in parallel
as fragments of the album's table, and one commit makes many of them visible; on object storage they are merged.

The rest (changed and deleted files, videos, the sketch of a large album) is done by the usual index afterwards, so the
album equals the one that the usual index makes, row for row.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lance
import pyarrow as pa
import ray
import torch
from lance.fragment import FragmentMetadata, write_fragments

from find.errors import CheckpointError, FindError, InputError
from find.retrieval.connection import TABLE, has_table, is_remote
from find.retrieval.indexing import IndexReport, index
from find.retrieval.objects import Selection
from find.retrieval.photos import PhotoFile, Picture, find_files, read_ahead
from find.retrieval.table import Embedder, Stamp, open_table, read_root, to_rows
from find.retrieval.writing import IndexSettings, begin, known_files, open_to_write, resolve_root, write_rows, writing
from find.utils.memory import OutOfMemory

FRAGMENT_ROWS = 8192
"""Rows that a worker gathers before it writes them (40 MB)."""


@dataclass(frozen=True)
class Cluster:
    """Ray's resources for indexing.

    Args:
        actors: models that embed at the same time.
        cpus, gpus: of one actor.
        commit_images: photographs per commit in a folder; an interruption may lose this many.
    """

    actors: int = 1
    cpus: float = 1
    gpus: float = 0
    commit_images: int = 100_000


def index_with_ray(
    load: Callable[[], Embedder],
    photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    album: str | os.PathLike[str],
    *,
    name: str = "",
    settings: IndexSettings | None = None,
    cluster: Cluster | None = None,
    progress: bool = True,
) -> IndexReport:
    """`find.retrieval.indexing.index` on the Ray cluster that this process is connected to (a local one if none).

    Photos and album must be at the same place on all machines (a shared folder; the album may be on object storage).
    In a folder, rows are committed once for each `cluster.commit_images` photographs. On object storage, where others
    may write at the same time, they are merged by their keys, FRAGMENT_ROWS at a time. Interrupted, the same call does
    the rest.

    Args:
        load: returns the model, on each machine; it must be picklable.
        cluster: actors and their share of a machine.

    Raises:
        FindError: as `index` does; or a worker has other weights than this process.
    """
    settings, cluster = settings or IndexSettings(), cluster or Cluster()
    model = load()
    with writing(album):
        added = _add_new(load, model, photos, album, name, settings, cluster, progress)
    report = index(model, photos, album, name=name, settings=settings, progress=progress)
    report.added, report.unchanged = report.added + added, report.unchanged - added
    return report


def _add_new(
    load: Callable[[], Embedder],
    model: Embedder,
    photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    album: str | os.PathLike[str],
    name: str,
    settings: IndexSettings,
    cluster: Cluster,
    progress: bool,
) -> int:
    """Embeds photographs that the album lacks; returns their number."""
    if has_table(album, storage=settings.storage):
        table, stamp = open_to_write(model, album, settings)
        root = resolve_root(album, read_root(table.schema))
        if not root.is_dir():
            return 0  # the photos have moved, which the usual index minds
        folder, known = find_files(photos, root=root), known_files(album, table)
    else:
        table, folder, known = None, find_files(photos), {}
    new = [file for file in folder.files if file.path not in known and not file.is_video]
    if not new:
        return 0
    if table is None:
        dim = settings.dim or _width(model, new)
        table, stamp = begin(model, album, folder.root, name=name, dim=dim, settings=settings)
    work = _Work(load, str(album), stamp, table.schema.serialize().to_pybytes(), settings)
    added = 0
    for start in range(0, len(new), cluster.commit_images):
        written = _embed_all(new[start : start + cluster.commit_images], work, cluster, progress)
        fragments = [FragmentMetadata.from_json(part["fragment"]) for part in written if part["fragment"]]
        if fragments:
            version = lance.dataset(work.uri).version
            lance.LanceDataset.commit(work.uri, lance.LanceOperation.Append(fragments), read_version=version)
        added += sum(part["rows"] for part in written)
    return added


def _width(model: Embedder, files: Sequence[PhotoFile]) -> int:
    """The width of the model's vectors, from the first photograph that it takes."""
    for batch in read_ahead(files, 1, 1):
        for picture in batch:
            if isinstance(picture, Picture):
                try:
                    return model.embed_images([picture.pixels]).image.shape[1]
                except FindError:
                    continue
    raise InputError(f"{files[0].file}: none of {len(files)} images can be used")


@dataclass(frozen=True)
class _Work:
    """An actor's settings, sent to it."""

    load: Callable[[], Embedder]
    album: str
    stamp: Stamp
    schema: bytes
    settings: IndexSettings

    @property
    def uri(self) -> str:
        """Of the table."""
        return f"{self.album.rstrip('/')}/{TABLE}.lance"


class _EmbedFiles:
    """An actor: the model, and files to rows. Rows travel packed, since Ray would make tensors of vectors."""

    def __init__(self, work: _Work) -> None:
        self.work, self.model = work, work.load()
        self.schema = pa.ipc.read_schema(pa.py_buffer(work.schema))
        if self.model.fingerprint != work.stamp.fingerprint:
            raise CheckpointError(
                f"this machine's weights are {self.model.fingerprint[:12]}, those of the one that started the work "
                f"{work.stamp.fingerprint[:12]}"
            )

    def __call__(self, batch: pa.Table) -> pa.Table:
        files = [PhotoFile(**row | {"file": Path(row["file"])}) for row in batch.to_pylist()]
        rows: list[pa.RecordBatch] = []
        for pictures in read_ahead(files, self.work.settings.batch_size, self.work.settings.workers):
            rows += self._rows([picture for picture in pictures if isinstance(picture, Picture)])
        return pa.table({"rows": pa.array([_pack(rows, self.schema)], pa.binary())})

    def _rows(self, pictures: Sequence[Picture]) -> list[pa.RecordBatch]:
        """Pictures that the model rejects are left to the usual index, which reports them."""
        if not pictures:
            return []
        try:
            embedded = self.model.embed_images([picture.pixels for picture in pictures])
            if not (torch.isfinite(embedded.image).all() and torch.isfinite(embedded.objects).all()):
                raise CheckpointError("the model gives vectors that are not finite")
            selection = Selection(most=self.work.stamp.objects)
            photos = [picture.photo for picture in pictures]
            return [to_rows(photos, embedded, schema=self.schema, selection=selection)]
        except OutOfMemory:
            raise
        except FindError:
            return [row for picture in pictures for row in self._rows([picture])] if len(pictures) > 1 else []


def _embed_all(files: Sequence[PhotoFile], work: _Work, cluster: Cluster, progress: bool) -> list[dict]:
    """Embeds files and writes their rows; returns the results of `_write`."""
    size = work.settings.batch_size
    blocks = [_file_table(files[start : start + size]) for start in range(0, len(files), size)]
    context = ray.data.DataContext.get_current()
    before = context.execution_options.preserve_order, context.enable_progress_bars
    context.execution_options.preserve_order, context.enable_progress_bars = True, progress
    try:
        rows = ray.data.from_arrow(blocks).map_batches(
            _EmbedFiles,
            fn_constructor_args=(work,),
            batch_size=None,
            batch_format="pyarrow",
            concurrency=cluster.actors,
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus,
        )
        written = rows.map_batches(
            _write,
            fn_kwargs={"work": work},
            batch_size=max(1, FRAGMENT_ROWS // size),
            batch_format="pyarrow",
            concurrency=1 if is_remote(work.album) else None,  # merges at the same time would fail each other
        )
        return written.take_all()
    except (ray.exceptions.RayError, OSError) as error:
        raise FindError(
            f"Ray could not do the work: {_cause(error)}; images committed so far are kept, the same command resumes "
            "from there"
        ) from error
    finally:
        context.execution_options.preserve_order, context.enable_progress_bars = before


def _write(batch: pa.Table, *, work: _Work) -> pa.Table:
    """Writes packed rows to the album, on any machine; returns their number and, for a file that is not yet part of the
    table, the fragment for the commit."""
    packed = [row for part in batch["rows"] for row in pa.ipc.open_stream(part.as_buffer())]
    rows = pa.Table.from_batches(packed, pa.ipc.read_schema(pa.py_buffer(work.schema)))
    told = [("", len(rows))]
    if is_remote(work.album):
        write_rows(open_table(work.album, storage=work.settings.storage)[0], rows, is_new=False)
    elif len(rows):
        parts = write_fragments(rows, work.uri, mode="append")
        told = [(json.dumps(part.to_json()), part.num_rows) for part in parts]
    return pa.table(dict(zip(("fragment", "rows"), map(list, zip(*told, strict=True)), strict=True)))


def _file_table(files: Sequence[PhotoFile]) -> pa.Table:
    return pa.table(
        {
            "file": [str(file.file) for file in files],
            "path": [file.path for file in files],
            "bytes": [file.bytes for file in files],
            "modified": pa.array([file.modified for file in files], pa.timestamp("us", tz="UTC")),
            "is_video": [file.is_video for file in files],
        }
    )


def _pack(rows: Sequence[pa.RecordBatch], schema: pa.Schema) -> bytes:
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, schema) as writer:
        for row in rows:
            writer.write_batch(row)
    return stream.getvalue().to_pybytes()


def _cause(error: BaseException | None) -> str:
    """The last line of the innermost error that says something: Ray wraps what a worker raised several times."""
    told = type(error).__name__
    while error is not None:
        told = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), told)
        error = error.__cause__
    return told.removeprefix("find.errors.FindError: ")[:500]
