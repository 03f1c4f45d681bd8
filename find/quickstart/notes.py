"""Notes below the results table: a training cut short, and figures below those of an untrained model."""

from __future__ import annotations

from collections.abc import Mapping

from find.evaluation.results import PUBLISHED_TASKS
from find.evaluation.table import COLUMNS, Metrics
from find.quickstart.training import TrainingRecord

COMPARED: Mapping[str, str] = {
    "panoptic": "PQ",
    "grounding": "cIoU",
    "interactive": "mIoU@1",
    "retrieval": "IR@5",
    "interleaved_segmentation": "cIoU",
    "interleaved_retrieval": "IR@5",
}
"""The figure of each task by which a training is compared with none."""
WITHOUT_TRAINING = ("untrained", "clip")
TOLERATED = 1.0
"""Percent by which a trained model may stay below one without training before a note says so."""


def notes(columns: Mapping[str, Metrics], training: TrainingRecord | None) -> list[str]:
    """Sentences for readers; an empty list if there is nothing to explain."""
    if training is None:
        return []
    found = []
    if not training.is_complete:
        found.append(
            f"The training of “{COLUMNS['trained']}” was {training.summary} by the cap of {training.cap:g} minutes; "
            "all steps would give much better figures."
        )
    worse = _below(columns)
    if worse:
        why = (
            "an interface starts from random weights, and its first steps disturb what the frozen models do by "
            "themselves; the steps that would make up for that were not made"
            if not training.is_complete
            else f"{training.steps} steps are too few for that; train longer (--steps)"
        )
        found.append(f"“{COLUMNS['trained']}” is below a model without training in {', '.join(worse)}: {why}.")
    return found


def _below(columns: Mapping[str, Metrics]) -> list[str]:
    """Tasks with the figures of the trained model and of the better one without training."""
    found = []
    for task, metric in COMPARED.items():
        figures = {name: columns[name][task][metric] for name in ("trained", *WITHOUT_TRAINING)}
        trained = figures.pop("trained")
        others = {name: value for name, value in figures.items() if value is not None}
        if trained is None or not others:
            continue
        best = max(others, key=others.__getitem__)
        if trained < others[best] - TOLERATED:
            title = PUBLISHED_TASKS[task].title.lower()
            found.append(f"{title} ({metric} {trained:.1f}, {COLUMNS[best]} {others[best]:.1f})")
    return found
