"""Our predictions in detectron2's terms, as its evaluators and its `Visualizer` take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor

from find.errors import InputError
from find.foundations.detectron2 import detectron2_module
from find.integrations.detectron2.classes import Classes
from find.model.predictions import EntityMask, InstancePrediction, PanopticPrediction

if TYPE_CHECKING:
    from detectron2.structures import Instances


def panoptic_seg(prediction: PanopticPrediction, classes: Classes) -> tuple[Int32[Tensor, "h w"], list[dict[str, Any]]]:
    """The map of segment ids (0 = none) and `segments_info`, what detectron2 calls `panoptic_seg`.

    Raises:
        FindError: a segment's label is not an index into `classes`.
    """
    areas = np.bincount(prediction.segment_map.ravel())
    segments = [
        {
            "id": segment.id,
            "category_id": _number(segment.label, classes),
            "isthing": classes.is_thing[segment.label],
            "score": segment.score,
            "area": int(areas[segment.id]) if segment.id < len(areas) else 0,
        }
        for segment in prediction.segments
    ]
    return torch.from_numpy(prediction.segment_map.astype(np.int32)), segments


def instances(prediction: InstancePrediction, classes: Classes) -> Instances:
    """Masks, classes, scores and the boxes around the masks.

    Raises:
        FindError: a label is not an index into `classes`.
    """
    numbers = [_number(int(label), classes) for label in prediction.labels]
    return _instances(
        masks=torch.from_numpy(np.ascontiguousarray(prediction.masks)).bool(),
        numbers=torch.tensor(numbers, dtype=torch.int64),
        scores=torch.from_numpy(np.asarray(prediction.scores, np.float32)),
    )


def entity_instances(masks: Sequence[EntityMask]) -> Instances:
    """Masks of a query's entities or of texts: instance k is entity k, and k is also its class.

    So `Metadata(thing_classes=[the entities' words])` lets `Visualizer` write the words at the masks.

    Raises:
        FindError: there are no masks, so the picture's size is unknown.
    """
    if not masks:
        raise InputError("no masks of entities; ask for at least one")
    return _instances(
        masks=torch.from_numpy(np.stack([answer.mask for answer in masks])),
        numbers=torch.arange(len(masks)),
        scores=torch.tensor([answer.score for answer in masks], dtype=torch.float32),
    )


def _instances(*, masks: Bool[Tensor, "i h w"], numbers: Int[Tensor, " i"], scores: Float[Tensor, " i"]) -> Instances:
    structures = detectron2_module("detectron2.structures")
    found = structures.Instances(tuple(masks.shape[-2:]))
    found.pred_masks = masks
    found.pred_boxes = structures.BitMasks(masks).get_bounding_boxes()
    found.pred_classes = numbers
    found.scores = scores
    return found


def _number(label: int, classes: Classes) -> int:
    if not 0 <= label < len(classes.numbers):
        raise InputError(f"a prediction has class {label}, but there are {len(classes.numbers)} classes")
    return classes.numbers[label]
