"""Plain English as people type it, read with a model's tagger: requests, things, and what must not be there.

`tagged_queries` reads a sentence word for word, as evaluation needs it; these functions serve people, and say what
they left out or did not understand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from find.errors import InputError, printable, warn_caller
from find.model.tagging import can_tag, tagged_queries
from find.query.operators import JoinedQuery
from find.query.query import Query
from find.query.request import Request, negation, split_lead

if TYPE_CHECKING:
    from find.query.operators import Askable


@dataclass(frozen=True)
class Reading:
    """A joined query as it was understood.

    Attributes:
        query: with the entities that the tagger found; a query with braces or brackets stays as it is.
        lines: for people: as what each plain sentence was read.
        excluded: what plain sentences say must not be there, which `query` excludes last.
        left_out: their words that only ask.
        warnings: for people: what was not understood.
    """

    query: JoinedQuery
    lines: tuple[str, ...] = ()
    excluded: tuple[Query, ...] = ()
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """For people who see `query`: what differs from the sentence that they wrote."""
        left_out = [f'"{printable(words)}" left out' for words in self.left_out]
        return [*left_out, *(f"without {one.format()}" for one in self.excluded), *self.warnings]


def read_things(model: object, asked: JoinedQuery) -> Reading:
    """Reads each query by itself. Words that only ask ("show me pictures of") are left out of plain sentences."""
    read = [_Sentence.read(model, one, Request(*split_lead(one.text))) for one in asked.queries]
    return _reading(asked, read)


def read_search(model: object, asked: JoinedQuery) -> Reading:
    """Reads what an album is searched for: a "without a dog" at the end of a plain sentence excludes a query, too.

    Raises:
        InputError: a plain sentence that only says what must not be there.
    """
    read = []
    for query in asked.include:
        request = Request.read(query.text)
        if not request.wanted and not query.entities and can_tag(model):
            _refuse(query.text, request)
        sentence = _Sentence.read(model, query, request)
        if not all(len(thing.entities) == 1 for thing in sentence.unwanted):  # not a thing, but a sentence of its own
            sentence = _Sentence.read(model, query, Request(*split_lead(query.text)))
        read.append(sentence)
    read += [_Sentence.read(model, one, Request(*split_lead(one.text))) for one in asked.exclude]
    reading = _reading(asked, read)
    vague = () if all(one.entities for one in reading.query.include) or not can_tag(model) else (VAGUE,)
    return replace(reading, warnings=(*reading.warnings, *vague))


def read_for_search(model: object, query: Askable) -> JoinedQuery:
    """A str as `read_search` reads it, with warnings of what was not understood; queries as they are."""
    asked = JoinedQuery.of(query)
    return _warned(read_search(model, asked), asked) if isinstance(query, str) else asked


def read_for_masks(model: object, asked: JoinedQuery) -> JoinedQuery:
    """As `read_things` reads it, with warnings of what was not understood; queries with entities as they are."""
    if all(query.entities for query in asked.queries):
        return asked
    return _warned(read_things(model, asked), asked)


def _warned(reading: Reading, asked: JoinedQuery) -> JoinedQuery:
    for warning in reading.warnings:
        warn_caller(f"query {printable(asked.include[0].text[:60])!r}: {warning}")
    return reading.query


VAGUE = (
    "no thing was found in the query, so images are ranked by the sentence as a whole, which says little; "
    "put braces around what to find, such as {a red dog}"
)


@dataclass(frozen=True)
class _Sentence:
    """A query, as it was asked and as it was read, and what it says must not be there."""

    asked: Query
    query: Query
    lead: str = ""
    unwanted: tuple[Query, ...] = ()

    @classmethod
    def read(cls, model: object, asked: Query, request: Request) -> _Sentence:
        if asked.entities or not can_tag(model):
            return cls(asked, asked)
        query, *unwanted = tagged_queries(model, [Query(text) for text in (request.wanted, *request.unwanted)])
        return cls(asked, query, request.lead, tuple(unwanted))

    @property
    def line(self) -> str | None:
        """'read as: {a car}, without {a dog}'; None where nothing was found or had to be."""
        if self.asked.entities or not self.query.entities:
            return None
        without = "".join(f", without {one.format()}" for one in self.unwanted)
        left_out = f' (left out: "{printable(self.lead)}"; braces keep all words)' if self.lead else ""
        return f"read as: {self.query.format()}{without}{left_out}"

    @property
    def warning(self) -> str | None:
        """What of it denies something, and is not understood. Words in braces may be part of a name."""
        connections = self.query.text if not self.query.entities else " ".join(self.query.connections)
        plain = "" if self.asked.entities else self.query.text
        word = negation(plain) or negation(connections)
        return word and (
            f'"{word}" excludes nothing here; what must not be in an image is a query of its own: '
            '--without "{a dog}" of findvl search'
        )


def _reading(asked: JoinedQuery, read: list[_Sentence]) -> Reading:
    count = len(asked.include)
    include, exclude = [one.query for one in read[:count]], [one.query for one in read[count:]]
    excluded = tuple(query for one in read for query in one.unwanted)
    return Reading(
        JoinedQuery(tuple(include), (*exclude, *excluded)),
        tuple(line for one in read if (line := one.line)),
        excluded,
        tuple(one.lead for one in read if one.lead),
        tuple(dict.fromkeys(warning for one in read if (warning := one.warning))),
    )


def _refuse(text: str, request: Request) -> None:
    thing = request.unwanted[0] if request.unwanted else "a dog"
    raise InputError(
        f"the query {printable(text[:60])!r} only says what must not be there; say what should be there, and exclude "
        f'the rest: "{{the grass}}" --without "{{{printable(thing[:40])}}}" (if it is the name of a thing, put it into '
        "braces)"
    )
