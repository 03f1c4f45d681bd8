"""Evaluation of entity tagging in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class TaggingScores:
    """Scores of entities, which count as found if both ends are exact. Fractions (0 to 1)."""

    precision: float
    recall: float
    sentences: float  # sentences with exactly the right entities
    first: float  # sentences whose first entity is found: the head noun of a referring expression

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    @classmethod
    def of(cls, true: Sequence[Spans], found: Sequence[Spans]) -> TaggingScores:
        """Compares the linked entities of sentences with the found ones; both must not be empty."""
        pairs = [(set(map(tuple, a)), set(map(tuple, b))) for a, b in zip(true, found, strict=True)]
        right = sum(len(a & b) for a, b in pairs)
        firsts = [tuple(a[0]) == tuple(b[0]) if a and b else not a and not b for a, b in zip(true, found, strict=True)]
        return cls(
            precision=right / max(sum(len(b) for _, b in pairs), 1),
            recall=right / max(sum(len(a) for a, _ in pairs), 1),
            sentences=sum(a == b for a, b in pairs) / max(len(pairs), 1),
            first=sum(firsts) / max(len(firsts), 1),
        )
