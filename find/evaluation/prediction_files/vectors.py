"""Vectors of images, texts and queries for the retrieval tasks, in an npz file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from find.data.coco import CocoFolder
from find.data.dataset_issue import DatasetIssue, Report, Severity
from find.data.source import ZIP_ERRORS
from find.errors import DataError

error = partial(DatasetIssue, Severity.ERROR)


@dataclass
class Vectors:
    """Vectors of images and their objects, of texts, and of queries and their entities; queries by their key."""

    images: dict[int, tuple[Float[np.ndarray, " d"], Float[np.ndarray, "n d"]]] = field(default_factory=dict)
    texts: dict[str, Float[np.ndarray, " d"]] = field(default_factory=dict)
    queries: dict[str, tuple[Float[np.ndarray, " d"], Float[np.ndarray, "e d"]]] = field(default_factory=dict)

    def width(self) -> int:
        """Length of the vectors; 0 if there are none."""
        first = [image for image, _ in self.images.values()][:1] + list(self.texts.values())[:1]
        return len(first[0]) if first else 0

    def check(
        self,
        path: Path,
        folder: CocoFolder,
        report: Report,
        *,
        image_ids: Sequence[int],
        texts: Sequence[str],
        queries: Mapping[str, int],
    ) -> None:
        """Reports missing and unknown items, wrong widths, NaN and infinity; `queries`: key -> number of entities."""
        for image_id in self.images:
            if image_id not in folder.table.rows:
                report(error("unknown image id", path.name, f"image {image_id}",
                             f"it is not in {folder.table.source}",
                             "Remove it, or give the right split"))  # fmt: skip
        for kind, wanted, given in (
            ("image", image_ids, self.images),
            ("text", texts, self.texts),
            ("query", list(queries), self.queries),
        ):
            for name in wanted:
                if name not in given:
                    report(error(f"missing {kind}", path.name, f"{kind} {name}", "there is no vector of it",
                                 "Embed all that `findvl bench queries` lists"))  # fmt: skip
        for key, count in queries.items():
            entities = self.queries[key][1] if key in self.queries else ()
            if len(entities) not in (0, count):
                report(error("wrong number of entities", path.name, f"query {key}",
                             f"it has {count} entities and {len(entities)} entity vectors",
                             "Give one vector per entity in reading order, or none at all"))  # fmt: skip
        counts = {len(objects) for _, objects in self.images.values()}
        if len(counts) > 1:
            report(error("uneven objects", path.name, "images", f"images have {min(counts)} to {max(counts)} objects",
                         "Give every image the same number of object vectors (repeat one if necessary)"))  # fmt: skip
        width = self.width()
        for kind, name, vectors in self._all():
            if vectors.shape[-1] != width:
                report(error("wrong width", path.name, f"{kind} {name}",
                             f"the vector has {vectors.shape[-1]} numbers, others {width}",
                             "Use one embedding space for images, texts and queries"))  # fmt: skip
            if not np.isfinite(vectors).all():
                report(error("vector holds NaN or infinity", path.name, f"{kind} {name}",
                             f"{int((~np.isfinite(vectors)).sum())} of its values are not finite",
                             "Look for a division by zero in the model"))  # fmt: skip

    def _all(self):
        for image_id, (image, objects) in self.images.items():
            yield "image", image_id, image
            yield "objects of image", image_id, objects
        for text, vector in self.texts.items():
            yield "text", text, vector
        for key, (query, entities) in self.queries.items():
            yield "query", key, query
            if len(entities):
                yield "entities of query", key, entities


def read_vectors(path: Path, report: Report) -> Vectors:
    """Reads an npz file. A key given twice is reported.

    Raises:
        FindError: the file is missing or broken, lacks an array, or its arrays do not fit together.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file.")
    return _from_arrays(read_arrays(path), path, report)


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an npz file, all or those with the given names. Raises `FindError` for any other file."""
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it holds one array without a name")
        with file:
            return {name: file[name] for name in file if names is None or name in names}
    except (OSError, KeyError, TypeError, SyntaxError, MemoryError, *ZIP_ERRORS) as problem:
        raise DataError(f"{path}: not an npz file of plain arrays ({problem}). Write it with numpy.savez.") from problem


def write_vectors(path: Path, vectors: Vectors) -> None:
    """Writes an npz file (see docs/bench-formats.md)."""
    arrays: dict[str, np.ndarray] = {}
    if vectors.images:
        arrays["image_ids"] = np.array(list(vectors.images), np.int64)
        arrays["image"] = np.stack([image for image, _ in vectors.images.values()])
        arrays["objects"] = np.stack([objects for _, objects in vectors.images.values()])
    if vectors.texts:
        arrays["texts"] = np.array(list(vectors.texts))
        arrays["text"] = np.stack(list(vectors.texts.values()))
    if vectors.queries:
        most = max(len(entities) for _, entities in vectors.queries.values())
        width = len(next(iter(vectors.queries.values()))[0])
        entities = np.zeros((len(vectors.queries), most, width), np.float32)
        padding = np.ones((len(vectors.queries), most), bool)
        for row, (_, given) in enumerate(vectors.queries.values()):
            entities[row, : len(given)] = given
            padding[row, : len(given)] = False
        arrays["queries"] = np.array(list(vectors.queries))
        arrays["query"] = np.stack([query for query, _ in vectors.queries.values()])
        arrays |= {"entities": entities, "padding": padding}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def _from_arrays(arrays: Mapping[str, np.ndarray], path: Path, report: Report) -> Vectors:
    vectors = Vectors()

    def array(name: str, rows: int, dimensions: int) -> np.ndarray:
        if name not in arrays:
            raise DataError(f"{path}: there is no array {name!r}. docs/bench-formats.md lists the arrays.")
        found = arrays[name]
        if found.ndim != dimensions or len(found) != rows or found.dtype.kind not in "fb":
            raise DataError(
                f"{path}: the array {name!r} is {found.dtype} of shape {list(found.shape)}; it must hold {rows} rows "
                f"of numbers in {dimensions} dimensions."
            )
        return found if found.dtype.kind == "b" else found.astype(np.float32)

    def add(kind: str, rows: dict, key: object, value: object) -> None:
        if key in rows:
            report(error("duplicate", path.name, f"{kind} {key}", "it is given twice", "Keep one of them"))
        rows.setdefault(key, value)

    def keys(name: str, kinds: str) -> list:
        found = arrays[name]
        if found.ndim != 1 or found.dtype.kind not in kinds:
            what = "strings" if kinds == "U" else "whole numbers"
            raise DataError(
                f"{path}: the array {name!r} is {found.dtype} of shape {list(found.shape)}; it must hold {what} in one "
                "dimension."
            )
        return found.tolist()

    if "image_ids" in arrays:
        ids = keys("image_ids", "iu")
        images = array("image", len(ids), 2)
        objects = array("objects", len(ids), 3) if "objects" in arrays else images[:, None]
        for key, image, own in zip(ids, images, objects, strict=True):
            add("image", vectors.images, key, (image, own))
    if "texts" in arrays:
        texts = keys("texts", "U")
        for key, text in zip(texts, array("text", len(texts), 2), strict=True):
            add("text", vectors.texts, key, text)
    if "queries" in arrays:
        names = keys("queries", "U")
        queries = array("query", len(names), 2)
        entities = array("entities", len(names), 3) if "entities" in arrays else queries[:, None][:, :0]
        padding: Bool[np.ndarray, "q e"] = (
            array("padding", len(names), 2).astype(bool) if "padding" in arrays else np.zeros(entities.shape[:2], bool)
        )
        if padding.shape != entities.shape[:2]:
            raise DataError(
                f"{path}: 'padding' has {padding.shape[1]} places for entities, 'entities' {entities.shape[1]}; one "
                "place stands for one entity."
            )
        for key, query, own, unused in zip(names, queries, entities, padding, strict=True):
            add("query", vectors.queries, key, (query, own[~unused]))
    if not (vectors.images or vectors.texts or vectors.queries):
        raise DataError(f"{path}: the file holds none of the arrays image_ids, texts and queries.")
    return vectors
