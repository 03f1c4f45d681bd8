"""Search by example: the images of an album that resemble given photos or regions, and not others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

import torch

from find.errors import InputError
from find.images.images import read_image
from find.query.entity import Region
from find.query.operators import JoinedQuery
from find.query.query import Query
from find.retrieval.duplicates import find_folded
from find.retrieval.hits import Hit
from find.retrieval.matryoshka import cut
from find.retrieval.vectors import QueryVectors

if TYPE_CHECKING:
    from find.retrieval.album import Album
    from find.retrieval.table import Embedder

Exemplar: TypeAlias = Union[str, "os.PathLike[str]", Region]
"""A photo file, compared as a whole, or a region of a photo, compared with objects."""


def more_like(
    album: Album,
    wanted: Exemplar | Sequence[Exemplar],
    k: int = 10,
    *,
    unwanted: Exemplar | Sequence[Exemplar] = (),
    where: str | None = None,
    values: Mapping[str, object] | None = None,
    dim: int | None = None,
    include_query: bool = False,
    fold_duplicates: bool = False,
) -> list[Hit]:
    """The `k` images of an album that are most similar to the examples, best first.

    The score is the mean cosine similarity with the wanted examples, minus half of the highest one with the unwanted,
    as for a joined query (`find.query.operators.JoinedQuery`). A whole photo is compared by its image vector, a region
    with the nearest object.

    Args:
        wanted: photos or regions of photos, which need not be in the album.
        unwanted: likewise, examples that hits should not resemble.
        where, values, dim: as in `Album.search`.
        include_query: also return the examples themselves.
        fold_duplicates: as in `Album.search`.

    Raises:
        InputError: `wanted` is empty, an example cannot be read, or the album was opened without a model.
    """
    include, exclude = _listed(wanted), _listed(unwanted)
    if not include:
        raise InputError("give at least one photo, or a region of one, that the images should be like")
    if album.model is None:
        raise InputError(f"{album.name}: this album was opened without a model; give it to Album.open to search")
    examples = [*include, *exclude]
    queries = tuple(Query(e if isinstance(e, Region) else f"like {Path(e).name}") for e in examples)
    query = JoinedQuery(queries[: len(include)], queries[len(include) :])
    places = [] if include_query else [_place(e.image if isinstance(e, Region) else e) for e in examples]
    pictures = {place for place in places if place is not None}
    vectors = _embed(album.model, examples, queries, album.stamp.dim)

    def best(count: int) -> list[Hit]:
        most = count + len(pictures)
        (hits,) = album.search_vectors([query], [vectors], most, where=where, values=values, dim=dim)
        return without_pictures(hits, pictures, count)

    if not fold_duplicates:
        return best(k)
    return find_folded(album, best, k, allowed=album.ranking.allowed(where, values))


def pictures_of(queries: Iterable[Query]) -> set[Path]:
    """The files that the queries' regions are taken from."""
    regions = (entity for query in queries for entity in query.entities if isinstance(entity, Region))
    return {place for region in regions if (place := _place(region.image)) is not None}


def without_pictures(hits: Sequence[Hit], pictures: set[Path], k: int) -> list[Hit]:
    """The first `k` hits that are not these files."""
    return [hit for hit in hits if hit.path not in pictures][:k]


def _place(image: object) -> Path | None:
    """The path under which an album would list the file; None for an image in memory."""
    if not isinstance(image, (str, os.PathLike)):
        return None
    path = Path(image)
    return path.parent.resolve() / path.name


def _listed(examples: Exemplar | Sequence[Exemplar]) -> list[Exemplar]:
    return [examples] if isinstance(examples, (str, os.PathLike, Region)) else list(examples)


def _embed(model: Embedder, examples: Sequence[Exemplar], queries: Sequence[Query], dim: int) -> QueryVectors:
    """One row per example: a photo's vector as the sentence, a region's vector as an entity."""
    sentences = torch.zeros(len(examples), dim)
    entities = torch.zeros(len(examples), 1, dim)
    is_region = torch.tensor([isinstance(example, Region) for example in examples])
    photos = [read_image(example) for example in examples if not isinstance(example, Region)]
    if photos:
        sentences[~is_region] = cut(model.embed_images(photos).image.float().cpu(), dim)
    if is_region.any():
        asked = [query for query, example in zip(queries, examples, strict=True) if isinstance(example, Region)]
        entities[is_region] = QueryVectors.embed(model, asked, dim).entities[:, :1]
    return QueryVectors(sentences, entities, ~is_region[:, None])
