"""Confidence intervals by bootstrap over images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

RESAMPLES = 1000
LEVEL = 0.95
SEED = 0

Intervals = dict[str, list[float]]
"""Figure name -> lower and upper bound, in the unit that JSON and tables use."""


@dataclass(frozen=True)
class Interval:
    """The central 95 % of a figure's resamples, in the figure's own unit."""

    low: float
    high: float

    def scaled(self, factor: float) -> list[float]:
        """Both bounds times `factor`, for JSON."""
        return [factor * self.low, factor * self.high]


def bootstrap(
    statistics: Float[np.ndarray, "images s"],
    figures: Callable[[Float[np.ndarray, "r s"]], Float[np.ndarray, "r f"]],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = SEED,
) -> list[Interval | None]:
    """Percentile intervals (Efron and Tibshirani, "An Introduction to the Bootstrap", section 13.3) of `figures`.

    Each resample draws as many images as there are, with replacement. It is represented by multinomial counts, so the
    sums of all resamples are one matrix product.

    Args:
        statistics: summands of each image; a figure is a function of their sums over images.
        figures: sums of many resamples -> figures, NaN where a figure is undefined.

    Returns:
        One interval per figure; None if it is undefined in all resamples.
    """
    images = len(statistics)
    if not images:
        return []
    sums = draws(images, resamples, seed) @ np.asarray(statistics, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = figures(sums)
    ends = np.array([0.5 - level / 2, 0.5 + level / 2])
    intervals: list[Interval | None] = []
    for column in found.T:
        known = column[~np.isnan(column)]
        intervals.append(Interval(*np.quantile(known, ends).tolist()) if len(known) else None)
    return intervals


def draws(images: int, resamples: int, seed: int) -> Float[np.ndarray, "r images"]:
    """How often each resample contains each image."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(images, np.full(images, 1 / images), size=resamples).astype(np.float64)


def sums_of_images(
    image_ids: Int[np.ndarray, " n"], columns: Sequence[Float[np.ndarray, " n"]]
) -> Float[np.ndarray, "images c"]:
    """Sums of the items of each image; images are in the order of their ids."""
    _, rows = np.unique(image_ids, return_inverse=True)
    sums = np.zeros((int(rows.max()) + 1 if len(rows) else 0, len(columns)))
    for number, column in enumerate(columns):
        np.add.at(sums[:, number], rows, column)
    return sums


def shares(sums: Float[np.ndarray, "r s"]) -> Float[np.ndarray, "r f"]:
    """All columns but the last, divided by the last, which holds counts: means."""
    return sums[:, :-1] / sums[:, -1:]


def named_intervals(names: Sequence[str], intervals: Sequence[Interval | None], *, factor: float) -> Intervals:
    """Intervals times `factor` by figure name, for JSON; figures without an interval are omitted."""
    found = zip(names, intervals, strict=True)
    return {name: interval.scaled(factor) for name, interval in found if interval is not None}
