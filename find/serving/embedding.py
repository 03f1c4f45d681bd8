"""Embedding requests: queries and pictures of several requests are embedded in one model call each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from find.query.query import Query
from find.serving import messages

if TYPE_CHECKING:
    from find.model.model import FIND

Pixels = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class ToEmbed:
    """Queries and pictures of one request."""

    queries: Sequence[Query]
    pictures: Sequence[Pixels]


def embed_all(model: FIND, fingerprint: str, items: Sequence[ToEmbed]) -> list[messages.EmbedAnswer]:
    queries = [query for item in items for query in item.queries]
    pictures = [picture for item in items for picture in item.pictures]
    asked = iter(_queries(model, queries) if queries else ())
    shown = iter(_pictures(model, pictures) if pictures else ())
    return [
        messages.EmbedAnswer(
            model=fingerprint,
            queries=[next(asked) for _ in item.queries],
            pictures=[next(shown) for _ in item.pictures],
        )
        for item in items
    ]


def _queries(model: FIND, queries: Sequence[Query]) -> list[messages.EmbeddedQuery]:
    found = model.embed_queries(queries)
    rows = zip(found.query.tolist(), found.entities.tolist(), queries, strict=True)
    return [
        messages.EmbeddedQuery(vector=vector, entities=entities[: len(query.entities)])
        for vector, entities, query in rows
    ]


def _pictures(model: FIND, pictures: Sequence[Pixels]) -> list[messages.EmbeddedPicture]:
    found = model.embed_images(pictures, masks=False)
    rows = zip(found.image.tolist(), found.objects.tolist(), found.scores.tolist(), strict=True)
    return [messages.EmbeddedPicture(vector=v, objects=objects, scores=scores) for v, objects, scores in rows]
