"""Exact ranking metrics; ties count against the model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from find.errors import DataError
from find.evaluation.confidence import SEED, Intervals, bootstrap, named_intervals, shares, sums_of_images

CUTOFFS = (1, 5, 10)

TIE = 1e-6
"""Cosines of float32 vectors that differ by less count as ties: this is about the size of rounding errors."""


@dataclass(frozen=True)
class RecallScores:
    """Fraction of `count` queries whose target is among the best 1, 5 and 10 (0 to 1)."""

    at_1: float
    at_5: float
    at_10: float
    count: int

    def to_json(self, prefix: str) -> dict[str, float]:
        """The figures in percent; `prefix` is IR (image retrieval) or TR (text retrieval)."""
        return {
            f"{prefix}@1": 100 * self.at_1,
            f"{prefix}@5": 100 * self.at_5,
            f"{prefix}@10": 100 * self.at_10,
        }


@dataclass(frozen=True, eq=False)
class Ranks:
    """The rank of each query's target (1 = best), with the query's image, id and kind."""

    ranks: Int[np.ndarray, " q"]
    image_ids: Int[np.ndarray, " q"]
    items: Int[np.ndarray, " q"]  # ids of the sentences or captions
    held_out: Bool[np.ndarray, " q"]  # shows a combination held out from training

    def __len__(self) -> int:
        return len(self.ranks)

    def where(self, chosen: Bool[np.ndarray, " q"]) -> Ranks:
        """Some of them."""
        return Ranks(self.ranks[chosen], self.image_ids[chosen], self.items[chosen], self.held_out[chosen])

    @cached_property
    def scores(self) -> RecallScores | None:
        """Recall at 1, 5 and 10; None without queries."""
        return recall(self.ranks)

    def curve(self, most: int) -> Float[np.ndarray, " most"]:
        """Recall (0 to 1) at 1, 2 .. `most`."""
        return (self.ranks[:, None] <= np.arange(1, most + 1)).mean(axis=0)

    def intervals(self, prefix: str, *, seed: int = SEED) -> Intervals:
        """95 % intervals of the figures, in percent, by their names in `RecallScores.to_json`."""
        if not len(self):
            return {}
        found = [self.ranks <= k for k in CUTOFFS]
        statistics = sums_of_images(self.image_ids, [*found, np.ones(len(self))])
        names = [f"{prefix}@{k}" for k in CUTOFFS]
        return named_intervals(names, bootstrap(statistics, shares, seed=seed), factor=100)


def pessimistic_ranks(
    scores: Float[np.ndarray, "q i"],
    relevant: Bool[np.ndarray, "q i"],
    allowed: Bool[np.ndarray, "q i"] | None = None,
    *,
    tie: float = 0.0,
) -> Int[np.ndarray, " q"]:
    """Rank (1 = best) of each query's best relevant item; in a tie the relevant item ranks last.

    So a model that gives all items the same score finds nothing, rather than everything. If a query has several
    relevant items, the best one counts and the others are not competitors.

    Args:
        scores: higher is better.
        relevant: the relevant items of each query; at least one.
        allowed: the items in each query's gallery; all if not given. Relevant items must be allowed.
        tie: scores at most this far below the relevant item's count as ties. The product of the same two vectors may
            differ in the last digit, depending on their place in a matrix.

    Raises:
        FindError: a score is not a number, or a query has no relevant item in its gallery.
    """
    if np.isnan(scores).any():
        raise DataError(f"{int(np.isnan(scores).sum())} of {scores.size} retrieval scores are not numbers (NaN)")
    if allowed is None:
        allowed = np.ones_like(relevant)
    answers = relevant & allowed
    if not answers.any(axis=1).all():
        query = int(np.argmin(answers.any(axis=1)))
        raise DataError(f"retrieval query {query} has no relevant item in its gallery")
    best = np.where(answers, scores, -np.inf).max(axis=1, keepdims=True)
    return 1 + ((scores >= best - tie) & allowed & ~relevant).sum(axis=1)


def recall(ranks: Int[np.ndarray, " q"]) -> RecallScores | None:
    """Recall at 1, 5 and 10 from ranks (1 = best); None if there are none."""
    if not len(ranks):
        return None
    at_1, at_5, at_10 = (float((ranks <= k).mean()) for k in CUTOFFS)
    return RecallScores(at_1=at_1, at_5=at_5, at_10=at_10, count=len(ranks))
