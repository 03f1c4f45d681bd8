"""What segmentation tasks have in common: each target is matched with one proposal, which learns its mask."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from find.interface import Embeddings, GroupName
from find.tasks.losses import SegmentationLosses
from find.tasks.prompted import PromptedTask, SplitTask, prompted_losses
from find.tasks.task import Matching, Step, Targets, Task, expect


class SegmentationTask(Task):
    """Its loss has the task's name in `weights`, and is the mean over the layers.

    Attributes:
        proposals: the group that makes masks.
    """

    proposals: GroupName

    @abstractmethod
    def scores(self, step: Step, layer: Embeddings) -> Float[Tensor, "b n k"]:
        """Logits of the proposals, of what the task chooses among."""

    @abstractmethod
    def costs(self, step: Step, scores: Float[Tensor, "b n k"]) -> Float[Tensor, "b n t"]:
        """Of each proposal for each target, beside the costs of masks."""

    @abstractmethod
    def wanted(self, step: Step) -> tuple[Float[Tensor, "b t p"], Bool[Tensor, "b t"]]:
        """The targets' masks at the step's points, and which of them are not padding."""

    @abstractmethod
    def layer_losses(
        self, step: Step, scores: Float[Tensor, "b n k"], pixel: Float[Tensor, "b n m"], assigned: Int[Tensor, "b t"]
    ) -> SegmentationLosses:
        """Of one layer, as means over this batch's targets."""

    def counts(self, step: Step, valid: Bool[Tensor, "b t"]) -> Sequence[Tensor]:
        """The denominators of the class loss and of the mask losses, two scalars."""
        return valid.sum(), valid.sum()

    def targets(self, step: Step) -> Targets:
        masks, valid = self.wanted(step)
        scores = [self.scores(step, layer) for layer in step.layers]
        with torch.no_grad():
            costs = [self.costs(step, of_layer) for of_layer in scores]
        pixel = [layer.pixel[self.proposals] for layer in step.layers]
        return Targets(self.counts(step, valid), Matching(masks, valid, scores, costs, pixel))

    def losses(self, step: Step) -> Mapping[str, SegmentationLosses]:
        matching = expect(step.targets[self.name].matching, Matching)
        found = zip(matching.scores, matching.pixel, step.assigned[self.name], strict=True)
        layers = [self.layer_losses(step, *of_layer) for of_layer in found]
        ce, masks = (share / len(layers) for share in step.shares[self.name])
        (name,) = self.weights
        return {
            name: SegmentationLosses(
                ce=ce * sum(layer.ce for layer in layers),
                bce=masks * sum(layer.bce for layer in layers),
                dice=masks * sum(layer.dice for layer in layers),
            )
        }


class PromptedSegmentation(SegmentationTask):
    """Every prompt refers to some segments of its image, whose union is its target, and selects one proposal."""

    @abstractmethod
    def comparison(self, step: Step) -> PromptedTask | SplitTask:
        """How prompts are compared with proposals."""

    @abstractmethod
    def meant(self, step: Step) -> Bool[Tensor, "b t s"]:
        """The segments that each prompt refers to; none for padding."""

    def scores(self, step: Step, layer: Embeddings) -> Float[Tensor, "b n t"]:
        return self.comparison(step).scores(step.model.interface, layer)

    def costs(self, step: Step, scores: Float[Tensor, "b n t"]) -> Float[Tensor, "b n t"]:
        return -scores.softmax(dim=1)

    def wanted(self, step: Step) -> tuple[Float[Tensor, "b t p"], Bool[Tensor, "b t"]]:
        segments, shares = self.meant(step), step.points.segments
        return (segments.to(shares.dtype) @ shares).clamp(max=1), segments.any(-1)

    def layer_losses(
        self, step: Step, scores: Float[Tensor, "b n t"], pixel: Float[Tensor, "b n m"], assigned: Int[Tensor, "b t"]
    ) -> SegmentationLosses:
        matching, points = expect(step.targets[self.name].matching, Matching), step.points
        return prompted_losses(scores, pixel, points.features, matching.masks, assigned, matching.valid, points.blank)
