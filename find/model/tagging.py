"""Turns plain sentences into queries with a model's tagger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeGuard

from find.query.query import Query

if TYPE_CHECKING:
    from find.model.model import FIND


def can_tag(model: object) -> TypeGuard[FIND]:
    """Whether a model finds the entities of plain sentences; exported models and published checkpoints do not."""
    from find.model.model import FIND  # which reads plain queries itself

    return isinstance(model, FIND) and model.interface.tagger is not None


def tagged_queries(model: object, queries: Sequence[Query]) -> list[Query]:
    """Queries without entities get those that the model's tagger finds in them; without a tagger they stay as they
    are."""
    if not can_tag(model):
        return list(queries)
    return [query if query.entities else Query.from_text(model, query.text) for query in queries]
