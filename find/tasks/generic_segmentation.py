"""Generic segmentation as a task: object proposals are matched with the segments of an image and their classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor

from find.errors import InputError
from find.interface import Embeddings, Group, Prompt
from find.tasks import generic
from find.tasks.losses import SegmentationLosses, SegmentationWeights
from find.tasks.segmentation import SegmentationTask
from find.tasks.task import Step


class GenericSegmentation(SegmentationTask):
    """Panoptic, instance and semantic masks of named classes."""

    name = "panoptic"
    prototype = generic.PROTOTYPE
    weights: ClassVar = {"panoptic": SegmentationWeights(2, 5, 5)}
    proposals = Group.OBJECT

    def texts(self, step: Step) -> Sequence[str]:
        return step.class_texts

    def prompt(self, step: Step) -> Prompt:
        return generic.prompt()

    def scores(self, step: Step, layer: Embeddings) -> Float[Tensor, "b n k1"]:
        return generic.class_logits(step.model.interface, layer.semantic[Group.OBJECT], step.texts[self.name])

    def costs(self, step: Step, scores: Float[Tensor, "b n k1"]) -> Float[Tensor, "b n s"]:
        return generic.class_cost(scores, step.batch.labels)

    def wanted(self, step: Step) -> tuple[Float[Tensor, "b s p"], Bool[Tensor, "b s"]]:
        return step.points.segments, step.batch.labels >= 0

    def counts(self, step: Step, valid: Bool[Tensor, "b s"]) -> Sequence[Tensor]:
        proposals = step.final.semantic[Group.OBJECT].shape[1]
        return generic.class_weights(step.batch.labels, proposals), valid.sum()

    def layer_losses(
        self, step: Step, scores: Float[Tensor, "b n k1"], pixel: Float[Tensor, "b n m"], assigned: Int[Tensor, "b s"]
    ) -> SegmentationLosses:
        points = step.points
        return generic.losses(
            scores, pixel, points.features, points.segments, step.batch.labels, assigned, points.blank
        )

    def predict(self, model: Any, images: Any, prompts: Sequence[Any], *, batch_size: int = 16) -> Any:
        """A prompt is a set of classes, the same for each image; the result is panoptic (`FIND.panoptic`)."""
        if any(classes != prompts[0] for classes in prompts):
            raise InputError("panoptic segmentation takes one set of classes for all images of a call")
        return model.panoptic(images, prompts[0], batch_size=batch_size) if prompts else []
