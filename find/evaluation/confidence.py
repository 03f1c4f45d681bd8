"""Confidence intervals by bootstrap over images: how far a figure would move had other images been drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

RESAMPLES = 1000
LEVEL = 0.95
SEED = 0

Intervals = dict[str, list[float]]
"""Name of a figure -> low and high end, in the unit in which JSON and tables give the figure."""


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of a figure's resamples, in the figure's own unit."""

    low: float
    high: float

    def scaled(self, factor: float) -> list[float]:
        """Both ends times `factor`, as JSON holds them."""
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

    Images are drawn with replacement, as many as there are; a resample is the multinomial number of times that each
    was drawn, so the sums of all resamples are one matrix product.

    Args:
        statistics: what each image adds; a figure is a function of these sums over images.
        figures: sums of many resamples -> figures, NaN where a resample has none.

    Returns:
        One interval a figure; None for one that no resample has.
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
    """How often each image is in each resample."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(images, np.full(images, 1 / images), size=resamples).astype(np.float64)


def sums_of_images(
    image_ids: Int[np.ndarray, " n"], columns: Sequence[Float[np.ndarray, " n"]]
) -> Float[np.ndarray, "images c"]:
    """What the items of each image add up to; images in the order of their ids."""
    _, rows = np.unique(image_ids, return_inverse=True)
    sums = np.zeros((int(rows.max()) + 1 if len(rows) else 0, len(columns)))
    for number, column in enumerate(columns):
        np.add.at(sums[:, number], rows, column)
    return sums


def shares(sums: Float[np.ndarray, "r s"]) -> Float[np.ndarray, "r f"]:
    """Every column but the last, divided by the last: means of what the last one counts."""
    return sums[:, :-1] / sums[:, -1:]


def named_intervals(names: Sequence[str], intervals: Sequence[Interval | None], *, factor: float) -> Intervals:
    """Intervals times `factor` by the names of their figures, as JSON holds them; what has none is left out."""
    found = zip(names, intervals, strict=True)
    return {name: interval.scaled(factor) for name, interval in found if interval is not None}
