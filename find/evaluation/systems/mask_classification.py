"""Mask2Former, EoMT and other universal segmentation models of transformers, with FIND's own panoptic merging."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import AutoImageProcessor, AutoModelForUniversalSegmentation, PreTrainedModel

from find.data.sample import plain_name
from find.errors import CheckpointError
from find.evaluation.evaluate import Task
from find.evaluation.systems.common import pixels_of, resize_logits
from find.foundations.source import Source
from find.images.images import ImageLike
from find.model.predictions import InstancePrediction, PanopticPrediction, PredictedSegment
from find.tasks import generic


class UniversalSegmenter:
    """Panoptic, instance and semantic segmentation by a model that proposes masks, each with a class.

    Its labels are matched with the data set's classes by name ("sky-other-merged" is "sky"). The probability of labels
    without a class counts as background; classes without a label are never found. Proposals are merged into maps by
    Mask2Former's inference, as in FIND (`find.tasks.generic`): masks at the image's size, without the processor's
    padding.
    """

    tasks = (Task.PANOPTIC,)

    def __init__(self, model: PreTrainedModel, processor: object, *, settings: generic.PanopticSettings) -> None:
        self.model = model
        self.processor = processor
        self.settings = settings
        self.about = f"{type(model).__name__}; labels matched with classes by name"
        self._latest: tuple[tuple[ImageLike, ...], list[tuple[Tensor, Tensor]]] = ((), [])

    @torch.inference_mode()
    def panoptic(
        self, images: Sequence[ImageLike], class_names: Sequence[str], is_thing: Sequence[bool]
    ) -> list[PanopticPrediction]:
        predictions = []
        for logits, masks in self._proposals(images, class_names):
            found = generic.panoptic(logits, masks, self._things(is_thing), self.settings)
            segments = enumerate(zip(found.labels, found.scores, strict=True), start=1)
            segments = tuple(PredictedSegment(number, *segment) for number, segment in segments)
            predictions.append(PanopticPrediction(found.segment_map.cpu().numpy(), segments))
        return predictions

    @torch.inference_mode()
    def instances(
        self, images: Sequence[ImageLike], class_names: Sequence[str], is_thing: Sequence[bool]
    ) -> list[InstancePrediction]:
        predictions = []
        for logits, masks in self._proposals(images, class_names):
            found = generic.instances(logits, masks, self._things(is_thing))
            predictions.append(
                InstancePrediction(*(part.cpu().numpy() for part in (found.masks, found.labels, found.scores)))
            )
        return predictions

    @torch.inference_mode()
    def semantic(self, images: Sequence[ImageLike], class_names: Sequence[str]) -> list[np.ndarray]:
        return [
            generic.semantic(logits, masks).argmax(dim=0).cpu().numpy()
            for logits, masks in self._proposals(images, class_names)
        ]

    def _proposals(
        self, images: Sequence[ImageLike], class_names: Sequence[str]
    ) -> list[tuple[Float[Tensor, "n k1"], Float[Tensor, "n H W"]]]:
        """Class logits over `class_names`, and mask logits at each image's size; cached for the last images."""
        known, proposals = self._latest
        if len(known) != len(images) or any(a is not b for a, b in zip(known, images, strict=True)):
            proposals = [self._look(pixels_of(image)) for image in images]
            self._latest = tuple(images), proposals
        return [(self._classes(logits, class_names), masks) for logits, masks in proposals]

    def _look(self, pixels: np.ndarray) -> tuple[Float[Tensor, "n l1"], Float[Tensor, "n H W"]]:
        inputs = self.processor(images=pixels, return_tensors="pt").to(self.model.device)
        if len(inputs["pixel_values"]) != 1:
            raise CheckpointError("this model splits images into patches, as semantic models do; use a panoptic model")
        output = self.model(pixel_values=inputs["pixel_values"])
        canvas = tuple(inputs["pixel_values"].shape[-2:])
        height, width = inner_size(inputs.get("pixel_mask"), canvas, pixels.shape[:2], self.processor)
        masks = resize_logits(output.masks_queries_logits[0], canvas)[:, :height, :width]
        return output.class_queries_logits[0].float(), resize_logits(masks, pixels.shape[:2])

    def _classes(self, logits: Float[Tensor, "n l1"], class_names: Sequence[str]) -> Float[Tensor, "n k1"]:
        labels = {plain_name(name).lower(): number for number, name in self.model.config.id2label.items()}
        columns = [labels.get(plain_name(name).lower()) for name in class_names]
        if all(column is None for column in columns):
            raise CheckpointError(
                f"none of the model's {len(labels)} labels ({', '.join(sorted(labels)[:5])} ...) names a class of the "
                f"data ({', '.join(class_names[:5])} ...)"
            )
        taken = {column for column in columns if column is not None}
        others = [number for number in range(logits.shape[-1]) if number not in taken]
        never = logits.new_full(logits.shape[:1], -torch.inf)
        chosen = [never if column is None else logits[:, column] for column in columns]
        return torch.stack([*chosen, logits[:, others].logsumexp(dim=-1)], dim=-1)

    def _things(self, is_thing: Sequence[bool]) -> Bool[Tensor, " k"]:
        return torch.tensor(list(is_thing), device=self.model.device)


def inner_size(
    mask: Tensor | None, canvas: tuple[int, int], size: tuple[int, int], processor: object
) -> tuple[int, int]:
    """Height and width of the image on the processor's canvas; the rest is padding."""
    if mask is not None:
        return int(mask[0, :, 0].sum()), int(mask[0, 0].sum())
    if getattr(processor, "do_pad", False):  # EoMT fits the longer side into a square and pads the shorter one
        scale = min(canvas[0] / size[0], canvas[1] / size[1])
        return min(canvas[0], round(size[0] * scale)), min(canvas[1], round(size[1] * scale))
    return canvas


def load_universal(name: str, *, prefix: str, device: torch.device) -> UniversalSegmenter:
    """Loads a folder or hub repository with a panoptic model. Raises `FindError` if it is something else."""
    source = Source.parse(name, spec=f"{prefix}:{name}")
    with source.reading("the segmentation model"):
        model = AutoModelForUniversalSegmentation.from_pretrained(source.name, revision=source.revision)
        processor = AutoImageProcessor.from_pretrained(source.name, revision=source.revision)
    return UniversalSegmenter(model.to(device).eval(), processor, settings=generic.PanopticSettings())
