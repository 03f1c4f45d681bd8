"""Searches of several requests in one call of the model; near-duplicates and frames of a film folded into one hit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from find.query.operators import JoinedQuery
from find.retrieval.duplicates import find_folded
from find.retrieval.exemplars import without_pictures
from find.retrieval.relevance import relevant
from find.retrieval.vectors import QueryVectors

if TYPE_CHECKING:
    from find.retrieval.album import Album
    from find.retrieval.hits import Hit

MOST_MOMENTS = 60
"""Maximum number of frames of a film that are listed, the best ones."""
MOST_HITS = 2000
"""Hits that are folded at most: long films may hold more frames."""


@dataclass(frozen=True)
class ToSearch:
    """What a request asks for; `own` are files of the album that are left out of the hits."""

    query: JoinedQuery
    k: int
    where: str | None
    dim: int | None
    own: set[Path]
    fold: bool


@dataclass(frozen=True)
class Group:
    """A hit; where hits are folded and it is of a film, the film's frames that were found, by time."""

    hit: Hit
    moments: tuple[Hit, ...] = ()


def search_each(album: Album, items: Sequence[ToSearch], queries: Sequence[JoinedQuery]) -> list[list[Group]]:
    """One call of the model for all; `queries` are those of the items with the entities that were found in them."""
    embedded = QueryVectors.embed(album.model, [one for query in queries for one in query.queries], album.stamp.dim)
    ends = np.cumsum([len(query.queries) for query in queries])
    vectors = [embedded[end - len(query.queries) : end] for query, end in zip(queries, ends, strict=True)]
    answers: dict[int, list[Group]] = {}
    for where, dim in {(item.where, item.dim) for item in items}:
        numbers = [number for number, item in enumerate(items) if (item.where, item.dim) == (where, dim)]
        most = max((2 if items[number].fold else 1) * items[number].k + len(items[number].own) for number in numbers)
        found = album.search_vectors(
            [queries[number] for number in numbers], [vectors[number] for number in numbers], most, where=where, dim=dim
        )
        for number, hits in zip(numbers, found, strict=True):
            item = items[number]
            if item.fold:
                answers[number] = _folded(album, item, queries[number], vectors[number], hits, most)
            else:
                answers[number] = [Group(hit) for hit in without_pictures(hits, item.own, item.k)]
    return [answers[number] for number in range(len(items))]


def relevant_groups(groups: Sequence[Group], least: float | None) -> list[Group]:
    """Those of at least this relevance; of a film, the moments that are."""
    kept = []
    for group in groups:
        hits = relevant(group.moments or [group.hit], least)
        if hits:
            is_kept = any(hit.frame == group.hit.frame for hit in hits)  # which is not equal: it lists near-duplicates
            best = group.hit if is_kept else max(hits, key=lambda hit: hit.score)
            kept.append(Group(best, tuple(hits) if group.moments else ()))
    return kept


def _folded(
    album: Album, item: ToSearch, query: JoinedQuery, vectors: QueryVectors, first: list[Hit], asked: int
) -> list[Group]:
    """The best `item.k` groups; `first` are the `asked` best hits, and further ones are sought if they are too few."""
    frames: dict[str, list[Hit]] = {}

    def search(count: int) -> list[Hit]:
        if count <= asked or len(first) < asked:
            return first[:count]
        return album.search_vectors([query], [vectors], count, where=item.where, dim=item.dim)[0]

    def best(count: int) -> list[Hit]:
        """The best `count` hits, of each film the best frame."""
        return _of_each_film(lambda most: without_pictures(search(most + len(item.own)), item.own, most), count, frames)

    allowed = album.ranking.allowed(item.where, None)
    kept = find_folded(album, best, item.k, allowed=allowed)
    return [
        Group(hit, tuple(sorted(frames[hit.name][:MOST_MOMENTS], key=lambda one: one.seconds or 0)))
        if hit.seconds is not None
        else Group(hit)
        for hit in kept
    ]


def _of_each_film(find: Callable[[int], list[Hit]], count: int, frames: dict[str, list[Hit]]) -> list[Hit]:
    """The best hits, frames of one film counted once; `frames` gets all of each film that were found, best first."""
    most = count
    while True:
        hits = find(most)
        frames.clear()
        kept = []
        for hit in hits:
            if hit.seconds is not None:
                frames.setdefault(hit.name, []).append(hit)
            if hit.seconds is None or len(frames[hit.name]) == 1:
                kept.append(hit)
        if len(kept) >= count or len(hits) < most or most >= MOST_HITS:
            return kept[:count]
        most *= 2
