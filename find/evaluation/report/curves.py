"""Curves of a run's answers for its report: recall at 1, 2 .. 50, and the share of masks of at least some IoU."""

from __future__ import annotations

import numpy as np

from find.evaluation.metrics import Overlaps
from find.evaluation.ranking import Ranks
from find.evaluation.results import Evaluation

MOST = 50
IOUS = np.linspace(0.0, 1.0, 51)

Curve = dict[str, list[float]]


def curves(found: Evaluation) -> dict[str, dict[str, Curve]]:
    """By task and name: x and y (percent) of each curve."""
    drawn: dict[str, dict[str, Curve]] = {}
    if "retrieval" in found.results:
        drawn["retrieval"] = {
            "images by a text": _recall(found.results["retrieval"].image_ranks, found.results["retrieval"].gallery),
            "texts by an image": _recall(found.results["retrieval"].text_ranks, found.results["retrieval"].image.count),
        }
    if "interleaved_retrieval" in found.results:
        gallery = found.results["interleaved_retrieval"].gallery
        drawn["interleaved_retrieval"] = {
            "with entity term": _recall(gallery.strict.combined, gallery.size),
            "sentence term alone": _recall(gallery.strict.sentence_term, gallery.size),
        }
    if "grounding" in found.results:
        drawn["grounding"] = {"all": _shares(found.results["grounding"].overlaps)}
    if "interleaved_segmentation" in found.results:
        overlaps = found.results["interleaved_segmentation"].overlaps
        parts = {
            "phrases": overlaps.where(lambda record: not record.is_region),
            "regions": overlaps.where(lambda record: record.is_region),
        }
        drawn["interleaved_segmentation"] = {name: _shares(part) for name, part in parts.items() if len(part)}
    if "interactive" in found.results:
        drawn["interactive"] = {"one click": _shares(found.results["interactive"].first_click)}
    return drawn


def _recall(ranks: Ranks, gallery: int) -> Curve:
    most = min(MOST, gallery)
    return {"x": list(range(1, most + 1)), "y": [round(100 * float(y), 3) for y in ranks.curve(most)]}


def _shares(overlaps: Overlaps) -> Curve:
    """Share of masks whose IoU is at least x."""
    ious = np.array([record.iou for record in overlaps.records])
    y = (ious[:, None] >= IOUS).mean(axis=0)
    return {"x": [round(float(x), 2) for x in IOUS], "y": [round(100 * float(value), 3) for value in y]}
