"""Curves for reports: recall at 1 to 50, and the fraction of masks above an IoU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from find.evaluation.metrics import Overlaps
from find.evaluation.ranking import Ranks

MOST = 50
IOUS = np.linspace(0.0, 1.0, 51)

Curve = dict[str, list[float]]
"""x, and y in percent."""


@dataclass(frozen=True)
class Chart:
    """A chart's title, and the meaning of its x axis."""

    title: str
    axis: str


def recall_curve(ranks: Ranks, gallery: int) -> Curve:
    """Recall at k, for k up to 50 or the size of the gallery."""
    most = min(MOST, gallery)
    return {"x": list(range(1, most + 1)), "y": [round(100 * float(y), 3) for y in ranks.curve(most)]}


def iou_curve(overlaps: Overlaps) -> Curve:
    """Fraction of masks whose IoU is at least x."""
    ious = np.array([record.iou for record in overlaps.records])
    y = (ious[:, None] >= IOUS).mean(axis=0)
    return {"x": [round(float(x), 2) for x in IOUS], "y": [round(100 * float(value), 3) for value in y]}
