"""A FIND model with detectron2's model interface: lists of dictionaries in, lists of dictionaries out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from torch import Tensor

from find.errors import InputError
from find.evaluation.system import GenericSegmenter
from find.integrations.detectron2.classes import Classes
from find.integrations.detectron2.outputs import instances, panoptic_seg
from find.model.predictions import InstancePrediction, PanopticPrediction

ORDERS = ("BGR", "RGB")


class Predictor:
    """What `inference_on_dataset` calls: segments the pictures of its inputs into the classes of a data set.

    An input has `image` [3, h, w] in 0..255 and may have `height` and `width`, the size that the answer is to have,
    as detectron2's `DatasetMapper` gives them. An output has `instances`, and `panoptic_seg` if the data set has stuff.
    Masks come at the size of `image`; only if that is another than height x width they are resized, to the nearest
    pixel. The model resizes pictures itself: let the loader keep them as they are (`augmentations=[]`).

    Args:
        model: a `find.FIND`, or another object with `panoptic` and `instances`.
        dataset: its name in detectron2's `MetadataCatalog`.
        order: of the channels of the inputs' images; detectron2's own default is "BGR".

    Raises:
        FindError: the catalog knows no classes of the data set.
    """

    def __init__(self, model: GenericSegmenter, dataset: str, *, order: str = "BGR") -> None:
        if order not in ORDERS:
            raise InputError(f"the order of the channels is {order!r}; it must be one of {', '.join(ORDERS)}")
        self.model = model
        self.classes = Classes.of_dataset(dataset)
        self.panoptic = not all(self.classes.is_thing)
        self.order = order

    def __call__(self, inputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        images = [self._picture(given["image"]) for given in inputs]
        sizes = [_wanted(given) for given in inputs]
        asked = images, self.classes.names, self.classes.is_thing
        found = self.model.instances(*asked)
        outputs = [
            {"instances": instances(_resize_instances(prediction, size), self.classes)}
            for prediction, size in zip(found, sizes, strict=True)
        ]
        if self.panoptic:
            for output, prediction, size in zip(outputs, self.model.panoptic(*asked), sizes, strict=True):
                output["panoptic_seg"] = panoptic_seg(_resize_panoptic(prediction, size), self.classes)
        return outputs

    def _picture(self, image: Tensor) -> UInt8[np.ndarray, "h w 3"]:
        pixels = image.flip(0) if self.order == "BGR" else image
        return pixels.permute(1, 2, 0).round().clamp(0, 255).to("cpu", torch.uint8).contiguous().numpy()


def _wanted(given: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width that the answer is to have."""
    height, width = given["image"].shape[-2:]
    return given.get("height", height), given.get("width", width)


def _resize_instances(prediction: InstancePrediction, size: tuple[int, int]) -> InstancePrediction:
    return replace(prediction, masks=_nearest(prediction.masks, size))


def _resize_panoptic(prediction: PanopticPrediction, size: tuple[int, int]) -> PanopticPrediction:
    """Segments that vanish are left out: panopticapi refuses a segment without pixels."""
    segment_map = _nearest(prediction.segment_map, size)
    there = set(np.unique(segment_map).tolist())
    segments = tuple(segment for segment in prediction.segments if segment.id in there)
    return PanopticPrediction(segment_map=segment_map, segments=segments)


def _nearest(pixels: Shaped[np.ndarray, "*n h w"], size: tuple[int, int]) -> Shaped[np.ndarray, "*n H W"]:
    if pixels.shape[-2:] == size:
        return pixels
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, pixels.shape[-2:], strict=True)
    )
    return pixels[..., rows[:, None], columns]
