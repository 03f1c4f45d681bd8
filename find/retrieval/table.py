"""The album's table in LanceDB: its columns, rows of embedded images, and the stamp of the model that made them.

An album is a folder (or an object storage URI) with one table, `images`: a row for each photo and each video frame.
Every change is one commit, so a reader sees all of it or nothing.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Protocol, runtime_checkable

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta

from find.errors import DataError, FindError
from find.model.predictions import ImageEmbeddings, QueryEmbeddings
from find.retrieval.connection import TABLE, UnreadableAlbum, check_album, connect, first_line, is_of_store
from find.retrieval.filters import METADATA_COLUMNS
from find.retrieval.objects import ObjectMasks, Selection
from find.retrieval.photos import Photo
from find.retrieval.vector_types import VectorType, boxes_type, column_type, encode, fixed_lists, vector_dim

if TYPE_CHECKING:
    from lancedb.table import Table

    from find.images.images import ImageLike
    from find.model.predictions import EntityMask
    from find.query.query import Query

FORMAT = "find-album-2"
KEY = ("path", "frame")
"""Columns that no two rows share."""

_METADATA_TYPES = {
    "keywords": pa.list_(pa.string()),
    "people": pa.list_(pa.string()),
    "iso": pa.int32(),
    "exposure": pa.float64(),
    "aperture": pa.float64(),
    "focal_length": pa.float64(),
    "latitude": pa.float64(),
    "longitude": pa.float64(),
}
"""Others are texts. Lists are empty, not null, where a file has none, so that NOT finds them."""

_STAMP, _ROOT, _ORIGIN = b"find", b"find.root", b"find.origin"
_KEY = {b"lance-schema:unenforced-primary-key": b"true"}
"""Makes Lance reject a commit of rows whose keys another writer has committed meanwhile."""


class Embedder(Protocol):
    """The interface that an album needs from a model; FIND implements it."""

    @property
    def fingerprint(self) -> str: ...

    def embed_images(self, images: Sequence[ImageLike]) -> ImageEmbeddings: ...

    def embed_queries(self, queries: Sequence[Query]) -> QueryEmbeddings: ...


@runtime_checkable
class Segmenter(Protocol):
    """A model that segments the entities of queries."""

    def segment(self, images: Sequence[ImageLike], queries: Sequence[Query]) -> list[list[EntityMask]]: ...


@dataclass(frozen=True)
class Stamp:
    """The weights and settings that made an album's vectors; stored in the table's schema.

    Attributes:
        fingerprint: hash of the model's weights; vectors of other weights are in another space.
        model: the name under which the weights were loaded, with the revision if there is one; for messages.
        dim: number of values of a vector.
        objects: maximum number of object vectors per image.
        vector_type: how vectors are stored; missing in earlier versions, which always used half precision.
    """

    fingerprint: str
    model: str
    dim: Annotated[int, Meta(ge=1, le=1 << 20)]
    objects: Annotated[int, Meta(ge=1, le=1 << 20)]
    vector_type: VectorType = "float16"

    def check(self, model: Embedder, album: str) -> None:
        """Raises FindError if the model has other weights."""
        fingerprint = model.fingerprint
        if fingerprint != self.fingerprint:
            raise DataError(
                f"{album}: this album was made by other weights ({self.model}, {self.fingerprint[:12]}; yours are "
                f"{fingerprint[:12]}); open it with --weights {self.model}, or make a new album with: findvl index"
            )


def album_schema(stamp: Stamp, root: str) -> pa.Schema:
    """The columns of an album. `root` is the folder of photos, relative to the folder that the album lies in."""
    vector = column_type(stamp.vector_type, stamp.dim)
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False, metadata={_ROOT: root.encode(), **_KEY}),
            pa.field("frame", pa.int32(), nullable=False, metadata=_KEY),
            pa.field("seconds", pa.float32()),
            pa.field("time", pa.timestamp("us")),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("bytes", pa.int64(), nullable=False),
            pa.field("modified", pa.timestamp("us", tz="UTC"), nullable=False),
            pa.field("digest", pa.binary(16), nullable=False),
            pa.field("image", vector, nullable=False),  # unit vector
            pa.field("objects", pa.list_(vector), nullable=False),  # unit vectors, best first
            pa.field("scores", pa.list_(pa.float16()), nullable=False),  # objectness in 0..1
            pa.field("boxes", boxes_type(stamp.vector_type), nullable=False),  # x0, y0, x1, y1 in pixels
            pa.field("masks", pa.binary(), nullable=False),  # ObjectMasks.to_bytes
            *(pa.field(name, _METADATA_TYPES.get(name, pa.string())) for name in METADATA_COLUMNS),
        ],
        metadata={_STAMP: json.dumps({"format": FORMAT, **asdict(stamp)}).encode()},
    )


def to_rows(
    photos: Sequence[Photo], embeddings: ImageEmbeddings, *, schema: pa.Schema, selection: Selection
) -> pa.RecordBatch:
    """The rows of a batch of embedded images; photo k is image k of the embeddings.

    Vectors longer than the schema's are truncated and normalised again (Matryoshka), and encoded in its vector type.
    """
    stored = schema.field("image").type
    dim = vector_dim(stored)
    vectors, scores, boxes, masks = [], [], [], []
    for objects, confidence, logits, frame in zip(
        embeddings.objects, embeddings.scores, embeddings.kept_masks(), embeddings.frames, strict=True
    ):
        kept = selection.choose(objects, confidence, logits > 0)
        drawn = ObjectMasks.of(logits[kept], frame)
        vectors.append(_unit(objects[kept].float().cpu().numpy(), dim))
        scores.append(confidence[kept].float().cpu().numpy().astype(np.float16))
        boxes.append(drawn.boxes)
        masks.append(drawn.to_bytes())
    counts = [len(rows) for rows in vectors]
    columns = {
        "path": [photo.path for photo in photos],
        "frame": [photo.frame for photo in photos],
        "seconds": [photo.seconds for photo in photos],
        "time": [photo.time for photo in photos],
        "width": [frame.width for frame in embeddings.frames],
        "height": [frame.height for frame in embeddings.frames],
        "bytes": [photo.bytes for photo in photos],
        "modified": [photo.modified for photo in photos],
        "digest": [photo.digest for photo in photos],
        "image": fixed_lists(encode(_unit(embeddings.image.float().cpu().numpy(), dim), stored)),
        "objects": lists(fixed_lists(encode(np.concatenate(vectors), stored)), counts),
        "scores": lists(pa.array(np.concatenate(scores)), counts),
        "boxes": _boxes(np.concatenate(boxes), counts, schema.field("boxes").type),
        "masks": masks,
        **{name: [getattr(photo.metadata, name) for photo in photos] for name in METADATA_COLUMNS},
    }
    ordered = [(columns[name], schema.field(name).type) for name in schema.names]  # those that this album has
    arrays = [column if isinstance(column, pa.Array) else pa.array(column, kind) for column, kind in ordered]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def lists(values: pa.Array, counts: Sequence[int]) -> pa.ListArray:
    """Splits consecutive values into lists of these lengths."""
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32()), values)


def _boxes(boxes: np.ndarray, counts: Sequence[int], stored: pa.DataType) -> pa.ListArray:
    if stored.value_type == pa.int32():
        return lists(pa.array(boxes.reshape(-1)), [4 * count for count in counts])
    return lists(fixed_lists(boxes), counts)


def read_stamp(schema: pa.Schema, album: str) -> Stamp:
    """The stamp in a table's schema. Raises FindError if it is missing or of another format."""
    try:
        values = json.loads((schema.metadata or {})[_STAMP])
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise ValueError(f"its stamp is {values!r:.80}")
        stamp = msgspec.convert(values, Stamp)
    except (KeyError, ValueError, RecursionError) as error:
        raise DataError(f"{album}: this is not an album of format {FORMAT}; make one with: findvl index") from error
    for field in album_schema(stamp, ""):
        place = schema.get_field_index(field.name)
        if place < 0 and field.name in METADATA_COLUMNS:  # of an earlier version
            continue
        if place < 0 or schema.field(place).type != field.type:
            has = f"has type {schema.field(place).type}, not {field.type}" if place >= 0 else "is missing"
            raise DataError(
                f"{album}: this table is not a complete album: its column {field.name} {has}; make one with: "
                "findvl index"
            )
    return stamp


def read_root(schema: pa.Schema) -> str:
    """The folder of photos, relative to the folder that the album lies in."""
    return os.fsdecode((schema.field("path").metadata or {}).get(_ROOT, b""))


def write_root(table: Table, root: str) -> None:
    """Sets the folder of photos after they have moved."""
    table.update_field_metadata({"path": "path", "metadata": {_ROOT.decode(): root}})


def create_table(
    album: str | os.PathLike[str], stamp: Stamp, root: str, *, storage: Mapping[str, str] | None = None
) -> Table:
    """Creates an empty album, in one commit.

    Raises FileExistsError if there is one already, perhaps created by another run.
    """
    schema = album_schema(stamp, root)
    schema = schema.with_metadata(schema.metadata | {_ORIGIN: uuid.uuid4().hex.encode()})
    try:
        return connect(album, storage).create_table(TABLE, schema=schema)
    except ValueError as error:
        if "already exists" not in str(error):
            raise
        raise FileExistsError(f"{album} is an album already") from error


def origin(schema: pa.Schema) -> bytes | None:
    """An id that distinguishes an album from a later one at the same path; None for albums of earlier versions."""
    return (schema.metadata or {}).get(_ORIGIN)


def open_table(album: str | os.PathLike[str], *, storage: Mapping[str, str] | None = None) -> tuple[Table, Stamp]:
    """An album's table and its stamp.

    Raises:
        FindError: the album does not exist, the path is a file, or the album cannot be read.
    """
    check_album(album, storage=storage)
    with reading(album):
        table = connect(album, storage).open_table(TABLE)
        schema = table.schema
    return table, read_stamp(schema, str(album))


@contextmanager
def reading(album: str | os.PathLike[str]) -> Iterator[None]:
    """Converts errors from damaged or missing files into an UnreadableAlbum that names the album."""
    try:
        yield
    except FindError:
        raise
    except BaseException as error:
        if not is_of_store(error):
            raise
        raise UnreadableAlbum(
            f"{album}: this album cannot be read; it is damaged, or files are missing ({first_line(error)}); if it "
            "has been indexed since it was opened, open it again"
        ) from error


def _unit(vectors: np.ndarray, dim: int) -> np.ndarray:
    if vectors.shape[1] < dim:
        raise DataError(f"the model's vectors have {vectors.shape[1]} values, the album's {dim}")
    if vectors.shape[1] > dim:
        vectors = vectors[:, :dim] / np.linalg.norm(vectors[:, :dim], axis=1, keepdims=True).clip(1e-12)
    return vectors
