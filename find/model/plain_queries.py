"""Plain English where a model's methods take queries: its tagger finds the entities of what has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from find.query.operators import JoinedQuery
from find.query.query import Query
from find.query.request import split_lead

if TYPE_CHECKING:
    from find.model.model import FIND


def tagged(model: FIND, queries: Sequence[Query]) -> list[Query]:
    """Queries without entities read as plain sentences, without words that only ask ("find the"); without a tagger
    all stay as they are."""
    if model.interface.tagger is None:
        return list(queries)
    return [one if one.entities else Query.from_text(model, split_lead(one.text)[1]) for one in queries]


def tagged_joined(model: FIND, queries: Sequence[JoinedQuery]) -> list[JoinedQuery]:
    """The same of joined queries."""
    return [JoinedQuery(tuple(tagged(model, one.include)), tuple(tagged(model, one.exclude))) for one in queries]
