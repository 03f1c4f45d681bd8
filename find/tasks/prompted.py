"""What the three prompted segmentation tasks share: each prompt is matched with one proposal, whose mask is the
result."""

from dataclasses import dataclass
from enum import Enum

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from find.interface import Embeddings, GroupName, Interface
from find.tasks.losses import SegmentationLosses, assignment_cross_entropy, binary_cross_entropy, dice, masked_mean


class Space(Enum):
    """Where proposals and queries are compared."""

    SEMANTIC = "semantic"
    PIXEL = "pixel"


class Metric(Enum):
    """How they are compared: cosines times the learned temperature, or bare dot products (the published FIND)."""

    COSINE = "cosine"
    DOT = "dot"


@dataclass(frozen=True)
class PromptedTask:
    """Proposals compared with queries in one space.

    Args:
        name: in logs.
        proposals, queries: the two groups.
        space: in which they are compared.
        metric: how.
    """

    name: str
    proposals: GroupName
    queries: GroupName
    space: Space
    metric: Metric = Metric.COSINE

    def scores(self, interface: Interface, embeddings: Embeddings) -> Float[Tensor, "b n t"]:
        """Logits over the proposals of each query."""
        space = embeddings.semantic if self.space is Space.SEMANTIC else embeddings.pixel
        if self.metric is Metric.DOT:
            return space[self.proposals] @ space[self.queries].mT
        return interface.similarity(space[self.proposals], space[self.queries])


@dataclass(frozen=True)
class SplitTask:
    """Two ways of comparing the same groups, one for each kind of query.

    Args:
        words, regions: the two ways.
        is_region: which queries are regions.
    """

    words: PromptedTask
    regions: PromptedTask
    is_region: Bool[Tensor, "b t"]

    @property
    def name(self) -> str:
        return self.words.name

    @property
    def proposals(self) -> GroupName:
        return self.words.proposals

    @property
    def queries(self) -> GroupName:
        return self.words.queries

    def scores(self, interface: Interface, embeddings: Embeddings) -> Float[Tensor, "b n t"]:
        """Logits over the proposals of each query."""
        words, regions = (task.scores(interface, embeddings) for task in (self.words, self.regions))
        return torch.where(self.is_region[:, None], regions, words)


def gather_rows(x: Float[Tensor, "b n c"], index: Int[Tensor, "b t"]) -> Float[Tensor, "b t c"]:
    """The rows that `index` names."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))


def prompted_losses(
    scores: Float[Tensor, "b n t"],
    pixel: Float[Tensor, "b n m"],
    features: Float[Tensor, "b m p"],
    targets: Float[Tensor, "b t p"],
    assigned: Int[Tensor, "b t"],
    valid: Bool[Tensor, "b t"],
    blank: Int[Tensor, " b"] | None = None,
) -> SegmentationLosses:
    """Cross entropy of the assigned proposal, and its mask losses; means over valid targets. Only assigned masks are
    computed.

    `blank` as in `MaskPoints`.
    """
    blank = None if blank is None else blank[:, None]
    chosen = gather_rows(pixel, assigned) @ features
    return SegmentationLosses(
        ce=assignment_cross_entropy(scores, assigned, valid),
        bce=masked_mean(binary_cross_entropy(chosen, targets, blank), valid),
        dice=masked_mean(dice(chosen, targets, blank), valid),
    )


def best_masks(
    scores: Float[Tensor, "b n t"], pixel: Float[Tensor, "b n m"], mask_features: Float[Tensor, "b m h w"]
) -> tuple[Float[Tensor, "b t h w"], Float[Tensor, "b t"]]:
    """Each query's best proposal: its mask logits, and the probability with which it was chosen."""
    probability, chosen = scores.softmax(dim=1).max(dim=1)
    logits = torch.einsum("btm,bmhw->bthw", gather_rows(pixel, chosen), mask_features)
    return logits, probability
