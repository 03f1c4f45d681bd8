"""Classes given by queries: checks that a query has one entity, and derives the class name from it."""

from __future__ import annotations

import re

from find.model.validation import check_one_thing
from find.query.entity import Phrase
from find.query.operators import JoinedQuery

ARTICLE = re.compile(r"^(a|an|the|some)\s+", re.IGNORECASE)
UNNAMED = "object"
"""The class name of examples without a name."""


def class_name(query: JoinedQuery) -> str:
    """Its phrase without the article; examples show an "object"."""
    entities = query.include[0].entities
    return phrase_name(entities[0]) if len(entities) == 1 and isinstance(entities[0], Phrase) else UNNAMED


def phrase_name(phrase: Phrase) -> str:
    """ "a red car" is "red car"."""
    words = " ".join(phrase.text.split())
    return ARTICLE.sub("", words) or words


def written(query: JoinedQuery) -> str:
    """A joined query in one line, for people."""
    like = " & ".join(one.text for one in query.include)
    return " - ".join([like, *(one.text for one in query.exclude)])


def check_class(query: JoinedQuery) -> None:
    """Raises InputError for a query that does not have exactly one entity."""
    check_one_thing(query, "a class is", "and each class its own query")
