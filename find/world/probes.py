"""False variants of a true sentence, made of its own units: two entities exchanged, an attribute exchanged between
two, a relation reversed. Only the composition distinguishes them from the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from find.world.composition import Segment
from find.world.grammar import Description, Mention, Statement, Wording, solutions, word_like
from find.world.kinds import Thing
from find.world.language import Change, Negative, Sentence
from find.world.relations import OPPOSITE, Relations
from find.world.spots import OPPOSITE_SPOT

ATTRIBUTES = ("colour", "size", "pattern")
OPPOSITES = OPPOSITE | OPPOSITE_SPOT


def probes(sentence: Sentence, segments: Sequence[Segment], relations: Relations) -> list[Negative]:
    """All of them that are surely false of the scene."""
    made = (*_entities(sentence), *attributes_exchanged(sentence), *relations_reversed(sentence))
    return [
        Negative(Sentence(statement, word_like(statement, sentence.text), means), change)
        for change, statement, means in made
        if next(solutions(statement, segments, relations.possibly), None) is None
    ]


Made = tuple[Change, Statement, tuple[int, ...]]


def _entities(sentence: Sentence) -> Iterator[Made]:
    """Two things that a claim links change places."""
    for number, claim in enumerate(sentence.statement.claims):
        made = exchanged(sentence, claim.subject, claim.object, number)
        if made is not None:
            yield made


def exchanged(sentence: Sentence, i: int, j: int, number: int = 0) -> Made | None:
    """Exchanges two things, each with its full description and the same words; None for anything else."""
    said = sentence.statement
    one, other = said.entities[i], said.entities[j]
    if not _are_things(one, other) or one == other:
        return None
    nouns = {part.entity: part.noun for part in reversed(said.parts) if isinstance(part, Mention)}
    to = {i: j, j: i}
    parts = tuple(
        Mention(to.get(part.entity, part.entity), part.article, nouns[to.get(part.entity, part.entity)])
        if isinstance(part, Mention)
        else part
        for part in said.parts
    )
    claims = tuple(claim.renamed(to) for claim in said.claims)
    change = Change("entities", number, one.words("a"), other.words("a"))
    return change, replace(said, claims=claims, parts=parts), sentence.segments


def attributes_exchanged(sentence: Sentence) -> Iterator[Made]:
    """Two things exchange a colour, a size or a pattern that the sentence mentions for both."""
    said = sentence.statement
    for i, j in combinations(range(len(said.entities)), 2):
        one, other = said.entities[i], said.entities[j]
        for name in ATTRIBUTES if _are_things(one, other) else ():
            mine, theirs = getattr(one, name), getattr(other, name)
            if None not in (mine, theirs) and mine != theirs:
                swapped = {i: replace(one, **{name: theirs}), j: replace(other, **{name: mine})}
                entities = _with(said.entities, swapped)
                change = Change("attributes", i, one.words("a"), swapped[i].words("a"))
                yield change, replace(said, entities=entities), sentence.segments


def relations_reversed(sentence: Sentence) -> Iterator[Made]:
    """A claim says the opposite, and with it those that have its words."""
    said = sentence.statement
    worded = [part.claim for part in said.parts if isinstance(part, Wording)]
    for number in sorted(worded):
        claim = said.claims[number]
        if claim.link in OPPOSITES and isinstance(said.entities[claim.object].kind, Thing):
            turned = OPPOSITES[claim.link]
            alike = [k for k, other in enumerate(said.claims) if k not in worded and other.link is claim.link]
            changed = {k: replace(said.claims[k], link=turned) for k in (number, *alike)}
            change = Change("relation", number, claim.link.value, turned.value)
            yield change, replace(said, claims=_with(said.claims, changed)), sentence.segments


def _are_things(*said: Description) -> bool:
    return all(isinstance(description.kind, Thing) for description in said)


def _with(items: tuple, changes: dict[int, object]) -> tuple:
    return tuple(changes.get(number, item) for number, item in enumerate(items))
