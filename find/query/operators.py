"""Joined queries: `A & B` finds what matches both, `A - B` what matches A and not B."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from find.errors import InputError

if TYPE_CHECKING:
    from find.query.entity import Phrase, Region
    from find.query.query import Query

    Askable: TypeAlias = "str | Phrase | Region | Query | JoinedQuery"
    """What methods accept as a query. A str is the command-line form, which `Query.parse` reads: {braces} mark a
    phrase."""


class QueryOperators:
    """Gives phrases, regions and queries the operators `&` and `-`; the other side may be a str, as `Askable` says."""

    def __and__(self, other: Askable) -> JoinedQuery:
        if not isinstance(other, (str, QueryOperators)):
            return NotImplemented
        mine, others = JoinedQuery.of(self._asked()), JoinedQuery.of(other)
        return JoinedQuery(mine.include + others.include, mine.exclude + others.exclude)

    def __rand__(self, other: str) -> JoinedQuery:
        return JoinedQuery.of(other) & self._asked() if isinstance(other, str) else NotImplemented

    def __sub__(self, other: Askable) -> JoinedQuery:
        if not isinstance(other, (str, QueryOperators)):
            return NotImplemented
        mine, others = JoinedQuery.of(self._asked()), JoinedQuery.of(other)
        if len(others.include) > 1 or others.exclude:
            raise InputError("what is subtracted is one query: write A - B - C for what fits neither B nor C")
        return JoinedQuery(mine.include, mine.exclude + others.include)

    def __rsub__(self, other: str) -> JoinedQuery:
        return JoinedQuery.of(other) - self._asked() if isinstance(other, str) else NotImplemented

    def _asked(self) -> Askable:
        """Itself: the classes with these operators are the `Askable` ones."""
        return cast("Askable", self)


@dataclass(frozen=True)
class JoinedQuery(QueryOperators):
    """Queries that an image must match, and queries that it must not.

    The score of an image is the mean of its scores for `include`, less half of the greatest of those for `exclude`:
    linear in cosines, like the score of one query, with less weight on exclusions, since even an image without a thing
    has some cosine with it. Single entities, `Phrase("a dog") & Phrase("a car")`, are compared as things, not as
    sentences (over 634 pairs of categories of a synthetic world, a mean average precision of 0.76
    instead of 0.49: benchmark/results/algebra.md).
    """

    include: tuple[Query, ...]
    exclude: tuple[Query, ...] = ()

    @classmethod
    def of(cls, query: Askable) -> JoinedQuery:
        """Converts a query, a phrase, a region, or a str as `Query.parse` reads it."""
        from find.query.query import Query

        if isinstance(query, JoinedQuery):
            return query
        if isinstance(query, str):
            return cls((Query.parse(query),))
        return cls((query if isinstance(query, Query) else Query(query),))

    @property
    def queries(self) -> tuple[Query, ...]:
        """All of them, included ones first."""
        return self.include + self.exclude
