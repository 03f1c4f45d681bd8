"""The album: a table with the embeddings of every image of a folder, which any query can search."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int64

from find.errors import FindError, InputError
from find.query.entity import Region
from find.query.operators import JoinedQuery
from find.query.query import Query
from find.retrieval.duplicates import THRESHOLD, Duplicates, find_duplicates, find_folded
from find.retrieval.exemplars import pictures_of, without_pictures
from find.retrieval.filters import COLUMNS
from find.retrieval.hits import Hit, ScorePart
from find.retrieval.indexing import IndexReport, index
from find.retrieval.photos import Skipped
from find.retrieval.ranking import Ranking, score_parts
from find.retrieval.relevance import check_relevance, judged, match_head_of, relevant
from find.retrieval.rows import HIT_COLUMNS, file_below, hit_of_row
from find.retrieval.table import Embedder, Segmenter, Stamp, open_table, origin, read_root, reading
from find.retrieval.vector_types import decoded
from find.retrieval.vectors import QueryVectors, Vectors, take_rows
from find.retrieval.writing import EXACT_ROWS, IndexSettings, resolve_root

if TYPE_CHECKING:
    import pandas as pd
    from lancedb.table import Table

    from find.interface import MatchHead
    from find.model.predictions import EntityMask
    from find.query.operators import Askable


class Album:
    """Embedded images, and the model that embedded them. Made by `Album.build` or `Album.open`.

    An `Album` is a snapshot of the table at the time it was opened; `latest` includes what has been indexed since. When
    a later run compacts the table, the files that it replaces stay for an hour; after that an older `Album` can no
    longer be read.

    Attributes:
        model: embeds queries; None for an album that is only read.
        stamp: the weights and settings that made its vectors.
        root: the folder of photos.
        report: what `build` did; None for an opened album.
        ranking: the table's vectors, and which rows a filter lets through.
    """

    def __init__(
        self,
        *,
        name: str,
        table: Table,
        stamp: Stamp,
        model: Embedder | None,
        photos: str | os.PathLike[str] | None = None,
        exact_rows: int = EXACT_ROWS,
        storage: Mapping[str, str] | None = None,
        report: IndexReport | None = None,
    ) -> None:
        self.name, self.table, self.stamp, self.model, self._photos = name, table, stamp, model, photos
        self.root = Path(photos).resolve() if photos else resolve_root(name, read_root(table.schema))
        self.exact_rows, self.storage = exact_rows, storage
        self.report = report
        self.ranking = Ranking(name=name, table=table, stamp=stamp, exact_rows=exact_rows, storage=storage)

    def __len__(self) -> int:
        return len(self.ranking)

    def __repr__(self) -> str:
        return f"Album({self.name!r}, {len(self)} images)"

    # --- making and opening ---------------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        model: Embedder,
        photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        path: str | os.PathLike[str],
        *,
        name: str = "",
        settings: IndexSettings | None = None,
        progress: bool = True,
    ) -> Album:
        """Indexes photos (see `find.retrieval.indexing.index`) and opens the album; its `report` says what was done."""
        settings = settings or IndexSettings()
        report = index(model, photos, path, name=name, settings=settings, progress=progress)
        album = cls.open(path, model, storage=settings.storage)
        album.report = report
        return album

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        model: Embedder | None = None,
        *,
        photos: str | os.PathLike[str] | None = None,
        storage: Mapping[str, str] | None = None,
        exact_rows: int = EXACT_ROWS,
    ) -> Album:
        """Opens an album. One that is being indexed can be opened, too: it holds what has been committed so far.

        Args:
            path: its folder, or a URI of object storage.
            model: the weights that made it; None to read it only.
            photos: the folder of photos, if it has moved.
            storage: LanceDB's options of object storage.
            exact_rows: albums of more images are searched in two stages.

        Raises:
            FindError: the album does not exist, is damaged, or was made by other weights (whose vectors are in another
                space).
        """
        table, stamp = open_table(path, storage=storage)
        if model is not None:
            stamp.check(model, str(path))
        table.checkout(table.version)  # commits of other processes must not change row numbers in this snapshot
        return cls(
            name=str(path),
            table=table,
            stamp=stamp,
            model=model,
            photos=photos,
            exact_rows=exact_rows,
            storage=storage,
        )

    def latest(self) -> Album:
        """The album as it is now; this object itself if nothing has been written since it was opened.

        Raises FindError as `open` does if it was deleted or re-made with other weights.
        """
        table, _ = open_table(self.name, storage=self.storage)
        with reading(self.name):
            if (table.version, origin(table.schema)) == (self.table.version, origin(self.table.schema)):
                return self
        return Album.open(self.name, self.model, photos=self._photos, storage=self.storage, exact_rows=self.exact_rows)

    def load(self) -> None:
        """Reads ahead what the first search would otherwise read."""
        with reading(self.name):
            self.ranking.load()

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files that `build` could not embed; none for an opened album."""
        return tuple(self.report.skipped) if self.report else ()

    # --- searching ------------------------------------------------------------------------------------------------

    def search(
        self,
        query: Askable,
        k: int = 10,
        *,
        where: str | None = None,
        values: Mapping[str, object] | None = None,
        dim: int | None = None,
        include_query: bool = False,
        min_relevance: float | None = None,
        fold_duplicates: bool = False,
    ) -> list[Hit]:
        """The `k` images (fewer in a smaller album) that match the query best, best first.

        Args:
            query: a query, a phrase or a region, or several joined: `A & B`, `A - B`. A str is read as `findvl search`
                does: "{a red dog} on [photo.jpg@120,80]" by `Query.parse`, "a red dog but no cars" by the tagger.
            where, values: which images are searched; see `find.retrieval.filters.filter_sql`.
            dim: compare the first values of the vectors only; for models trained for that (Matryoshka).
            include_query: also return the images that the query's own regions are taken from.
            min_relevance: of the `k` best, return only those whose probability of relevance (`Hit.relevance`, 0..1) is
                at least this, so perhaps none. Needs a model with a match head, and entities in the query.
            fold_duplicates: do not list near-duplicates of a hit separately; `Hit.duplicates` lists them.

        Images with equal scores keep the album's order. A query without entities is scored by its sentence alone.
        """
        return self.search_all(
            [query],
            k,
            where=where,
            values=values,
            dim=dim,
            include_query=include_query,
            min_relevance=min_relevance,
            fold_duplicates=fold_duplicates,
        )[0]

    def search_all(
        self,
        queries: Sequence[Askable],
        k: int = 10,
        *,
        where: str | None = None,
        values: Mapping[str, object] | None = None,
        dim: int | None = None,
        include_query: bool = False,
        min_relevance: float | None = None,
        fold_duplicates: bool = False,
    ) -> list[list[Hit]]:
        """`search` for many queries at once."""
        if isinstance(queries, str):
            raise InputError(f"search_all takes a list of queries; write [{queries!r}], or search({queries!r})")
        if self.model is None:
            raise InputError(f"{self.name}: this album was opened without a model; give it to Album.open to search")
        from find.model.requests import read_for_search

        joined = [read_for_search(self.model, query) for query in queries]
        if not joined:
            return []
        check_relevance(min_relevance, self._match_head, joined)
        vectors = QueryVectors.embed(self.model, [query for one in joined for query in one.queries], self.stamp.dim)
        ends = np.cumsum([len(one.queries) for one in joined])
        pieces = [vectors[end - len(one.queries) : end] for one, end in zip(joined, ends, strict=True)]
        _check_count(k)
        own = [set() if include_query else pictures_of(one.queries) for one in joined]
        if fold_duplicates:
            allowed = self.ranking.allowed(where, values)

            def best(number: int, count: int) -> list[Hit]:
                hits = self._found(joined[number], pieces[number], count + len(own[number]), allowed, dim_or_all)
                return without_pictures(hits, own[number], count)

            dim_or_all = self.ranking.checked_dim(dim)
            with reading(self.name):
                kept = [find_folded(self, partial(best, number), k, allowed=allowed) for number in range(len(joined))]
        else:
            most = k + max(map(len, own))
            found = self.search_vectors(joined, pieces, most, where=where, values=values, dim=dim)
            kept = [without_pictures(hits, pictures, k) for hits, pictures in zip(found, own, strict=True)]
        return [relevant(hits, min_relevance) for hits in kept]

    def search_vectors(
        self,
        queries: Sequence[JoinedQuery],
        vectors: Sequence[QueryVectors],
        k: int = 10,
        *,
        where: str | None = None,
        values: Mapping[str, object] | None = None,
        dim: int | None = None,
    ) -> list[list[Hit]]:
        """`search_all` for embedded queries; `vectors[n]` has one row for each query of `queries[n]`."""
        _check_count(k)
        dim = self.ranking.checked_dim(dim)
        allowed = self.ranking.allowed(where, values)
        with reading(self.name):
            return [self._found(query, mine, k, allowed, dim) for query, mine in zip(queries, vectors, strict=True)]

    def more_like(
        self,
        hit: Hit,
        thing: int | None = None,
        k: int = 10,
        *,
        entity: int = 0,
        where: str | None = None,
        values: Mapping[str, object] | None = None,
        dim: int | None = None,
    ) -> list[Hit]:
        """The images with the most similar object, except the hit's own; the score is its cosine similarity.

        Args:
            thing: the number of one of the hit's objects; None for the one that the query's `entity` matched.
        """
        _check_count(k)
        number = hit._object(entity, 0) if thing is None else thing
        if not 0 <= number < len(hit.found.vectors):
            raise InputError(f"{hit.name} has {len(hit.found.vectors)} objects, none is {number}")
        dim = self.ranking.checked_dim(dim)
        label = f"object {number} of {hit.path.name}"
        query = Query(Region(hit.path, mask=hit.object_mask(number), label=label)) if hit.seconds is None else None
        vector = torch.from_numpy(hit.found.vectors[number].astype(np.float32))[None]
        vectors = QueryVectors(torch.zeros_like(vector), vector[None], torch.zeros(1, 1, dtype=torch.bool))
        allowed = self.ranking.allowed(where, values)
        with reading(self.name):
            hits = self._found(JoinedQuery.of(query or Query(label)), vectors, k + 1, allowed, dim)
        return [found for found in hits if (found.name, found.frame) != (hit.name, hit.frame)][:k]

    def image(self, name: str, frame: int = 0) -> Hit:
        """One image by its path below the folder of photos, as a hit without a query. Raises FindError if missing."""
        rows = self.ranking.allowed("path = :name AND frame = :frame", {"name": name, "frame": frame})
        if rows is None or not len(rows):
            raise InputError(f"{self.name}: there is no image {name!r}" + (f" with a frame {frame}" if frame else ""))
        with reading(self.name):
            return self._hit(take_rows(self.table, rows, HIT_COLUMNS).to_pylist()[0], 0.0, ())

    def sample(self, count: int) -> list[Hit]:
        """At most `count` images, evenly spread over the album, in its order; hits without a query."""
        _check_count(count)
        numbers = np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(np.int64)
        if not len(numbers):
            return []
        with reading(self.name):
            table = self.table.take_offsets(numbers.tolist()).with_row_id().select(list(HIT_COLUMNS)).to_arrow()
        return [self._hit(record, 0.0, ()) for record in decoded(table).sort_by("_rowid").to_pylist()]

    def ground(self, query: Askable, hits: Sequence[Hit]) -> list[list[EntityMask]]:
        """A mask of each entity of the query in each hit, computed by the model (`Hit.mask` reads the stored ones).

        Raises:
            FindError: the query has no entity or joins several queries, or an image was deleted meanwhile.
        """
        query, *others = JoinedQuery.of(query).queries
        if others:
            raise InputError("ground draws the entities of one query at a time, not of several joined by & or -")
        pictures = [hit.pixels() for hit in hits]
        if not pictures:
            return []
        if not isinstance(self.model, Segmenter):
            raise InputError(f"{self.name}: this album was opened without a model that segments; give it to Album.open")
        return self.model.segment(pictures, [query] * len(pictures))

    # --- reading --------------------------------------------------------------------------------------------------

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows as an Arrow table with the columns of `find.retrieval.table.album_schema`; vectors are decoded to
        half precision."""
        known = self.table.schema.names
        for name in columns or ():
            if name not in known:
                raise InputError(f"{self.name}: there is no column {name}; there are {', '.join(known)}")
        with reading(self.name):
            return decoded(self.table.search().select(list(columns or known)).to_arrow())

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The rows as a data frame; by default the columns with file metadata, without vectors and masks."""
        try:
            return self.to_arrow(columns or [name for name in COLUMNS if name in self.table.schema.names]).to_pandas()
        except ModuleNotFoundError as error:
            raise FindError("a data frame needs pandas; install it with: pip install pandas") from error

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """The images' files, in the order of the rows."""
        return tuple(self.file_of(name) for name in self.to_arrow(["path"])["path"].to_pylist())

    def file_of(self, name: str) -> Path:
        """The file of an image, from its path below the folder of photos."""
        return file_below(self.root, name, album=self.name)

    def duplicates(self, threshold: float = THRESHOLD) -> Duplicates:
        """Groups of images that are copies of each other: resized, compressed, brighter or slightly cropped.

        Args:
            threshold: pairs whose vectors' cosine is lower are not compared by their pixels.
        """
        return find_duplicates(self, threshold)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _found(
        self, query: JoinedQuery, vectors: QueryVectors, k: int, allowed: Int64[np.ndarray, " r"] | None, dim: int
    ) -> list[Hit]:
        """The best `k` rows among the allowed ones."""
        rows, scores = self.ranking.best(query, vectors, k, allowed, dim)
        if not len(rows):
            return []
        table = take_rows(self.table, rows, ["image", *HIT_COLUMNS])
        asked, images = vectors.cut(dim), Vectors.of(table, self.stamp.objects).cut(dim)
        parts = score_parts(query, asked, images)
        records = table.drop(["image"]).to_pylist()
        likely: list[float | None] = [None] * len(parts)
        if self._match_head is not None:
            sure = torch.nn.utils.rnn.pad_sequence([torch.tensor(r["scores"]) for r in records], batch_first=True)
            likely, parts = judged(self._match_head, query, asked, images, sure, parts)
        return [
            replace(self._hit(record, float(score), part), relevance=one)
            for record, score, part, one in zip(records, scores, parts, likely, strict=True)
        ]

    @cached_property
    def _match_head(self) -> MatchHead | None:
        return match_head_of(self.model)

    def _hit(self, record: dict[str, Any], score: float, parts: tuple[ScorePart, ...]) -> Hit:
        return hit_of_row(record, score, parts, album=self.name, root=self.root)


def _check_count(k: int) -> None:
    if k < 1:
        raise InputError(f"k is the number of images to find, not {k}")
