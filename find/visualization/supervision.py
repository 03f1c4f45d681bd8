"""Masks as `Detections` of supervision, to draw, track and count with it (`pip install 'findvl[supervision]'`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from find.errors import InputError
from find.model.predictions import EntityMask, InstancePrediction, PanopticPrediction
from find.query.query import Query
from find.utils.extras import extra

if TYPE_CHECKING:
    from supervision import Detections


def entities_to_supervision(masks: Sequence[EntityMask], names: Query | Sequence[str]) -> Detections:
    """What `FIND.segment`, `ground` or `interact` found in one image.

    Args:
        names: the query, or a name for each mask. The class is the number of the entity.
    """
    names = names.entity_names if isinstance(names, Query) else list(names)
    if len(names) != len(masks):
        raise InputError(f"{len(masks)} masks but {len(names)} names; give one for each mask")
    found = _stack([mask.mask for mask in masks])
    return detections(found, [mask.score for mask in masks], range(len(masks)), names)


def instances_to_supervision(prediction: InstancePrediction, class_names: Sequence[str]) -> Detections:
    """What `FIND.instances` found in one image, best first."""
    labels = prediction.labels.tolist()
    return detections(prediction.masks, prediction.scores, labels, [class_names[label] for label in labels])


def panoptic_to_supervision(prediction: PanopticPrediction, class_names: Sequence[str]) -> Detections:
    """The segments that `FIND.panoptic` found in one image."""
    segments = prediction.segments
    masks = _stack([prediction.segment_map == segment.id for segment in segments])
    labels = [segment.label for segment in segments]
    return detections(masks, [segment.score for segment in segments], labels, [class_names[label] for label in labels])


def detections(
    masks: Bool[np.ndarray, "n H W"],
    scores: Sequence[float],
    labels: Sequence[int],
    names: Sequence[str],
    *,
    boxes: Sequence[tuple[int, int, int, int]] | None = None,
) -> Detections:
    """Masks with their scores, classes and names (`data["class_name"]`, which supervision's annotators show).

    Boxes are x0, y0, x1, y1 with x1 and y1 just outside, as everywhere here; by default the masks' own. Masks without a
    pixel are left out: supervision has no box for them.
    """
    with extra("supervision", "a conversion to Detections"):
        import supervision
    seen = masks.any(axis=(1, 2)) if len(masks) else np.zeros(0, bool)
    if not seen.any():
        return supervision.Detections.empty()
    own = supervision.mask_to_xyxy(masks[seen]) + np.array([0, 0, 1, 1])
    return supervision.Detections(
        xyxy=np.asarray(own if boxes is None else np.array(boxes)[seen], np.float32),
        mask=masks[seen],
        confidence=np.asarray(scores, np.float32)[seen],
        class_id=np.asarray(labels, int)[seen],
        data={"class_name": np.array(names)[seen]},
    )


def _stack(masks: Sequence[Bool[np.ndarray, "H W"]]) -> Bool[np.ndarray, "n H W"]:
    return np.stack(masks) if len(masks) else np.zeros((0, 0, 0), bool)
