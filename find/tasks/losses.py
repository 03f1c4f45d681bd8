"""Losses of masks and of embeddings, each for one pair and for all pairs (Mask2Former, 3.3; reference section 11)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

POINTS_AT_ONCE = 1024
"""Of all predictions, on a CPU."""


def binary_cross_entropy(
    logits: Float[Tensor, "... p"], targets: Float[Tensor, "... p"], blank: Int[Tensor, "..."] | None = None
) -> Float[Tensor, "..."]:
    """Mean over the points, without the `blank` ones among them, whose logits and targets are zero."""
    mean = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=-1)
    return mean if blank is None else _without_blank(mean, logits.shape[-1], blank)


def _without_blank(mean: Float[Tensor, "..."], points: int, blank: Int[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Each of them adds softplus(0)."""
    return (mean * points - blank * math.log(2)) / (points - blank)


def dice(
    logits: Float[Tensor, "... p"], targets: Float[Tensor, "... p"], blank: Int[Tensor, "..."] | None = None
) -> Float[Tensor, "..."]:
    """1 - (2 sum(s t) + 1) / (sum(s) + sum(t) + 1), with s the sigmoid of the logits; `blank` as above."""
    s = logits.sigmoid()
    area = s.sum(-1) if blank is None else s.sum(-1) - blank / 2
    return 1 - (2 * (s * targets).sum(-1) + 1) / (area + targets.sum(-1) + 1)


@torch.no_grad()
def pairwise_mask_losses(
    pixel: Float[Tensor, "b n m"],
    features: Float[Tensor, "b m p"],
    targets: Float[Tensor, "b t p"],
    blank: Int[Tensor, " b"] | None = None,
) -> tuple[Float[Tensor, "b n t"], Float[Tensor, "b n t"]]:
    """`binary_cross_entropy` and `dice` of every prediction `pixel @ features` with every target; no gradient.

    Cross entropy is softplus(x) - x t: the second term is linear in the features. On a CPU a few points of all
    predictions are computed at a time, so that the products are large and their results stay in the caches.
    """
    softplus = pixel.new_zeros(pixel.shape[:2])
    area = pixel.new_zeros(pixel.shape[:2])
    overlap = pixel.new_zeros(*pixel.shape[:2], targets.shape[1])
    together = POINTS_AT_ONCE if pixel.device.type == "cpu" else features.shape[2]
    for places, wanted in zip(features.split(together, 2), targets.split(together, 2), strict=True):
        logits = pixel @ places
        softplus += _sum_of_softplus(logits)
        s = logits.sigmoid_()
        area += s.sum(-1)
        overlap += s @ wanted.mT
    cross_entropy = (softplus[..., None] - pixel @ (features @ targets.mT)) / features.shape[2]
    if blank is not None:
        cross_entropy = _without_blank(cross_entropy, features.shape[2], blank[:, None, None])
        area -= blank[:, None] / 2
    return cross_entropy, 1 - (2 * overlap + 1) / (area[..., None] + targets.sum(-1)[:, None] + 1)


def _sum_of_softplus(x: Float[Tensor, "... p"]) -> Float[Tensor, "..."]:
    """Over the points. softplus(x) = max(x, 0) - log sigmoid(|x|), and a sum of logarithms is that of a product.

    A logarithm costs ten multiplications; each of the 64 factors is at least 1/2, so that their product does not
    underflow.
    """
    size = x.abs()
    positive = (x.sum(-1) + size.sum(-1)) / 2
    factors, rest = size.sigmoid_().tensor_split([size.shape[-1] // 64 * 64], dim=-1)
    products = torch.cat([factors.unflatten(-1, (-1, 64)).prod(-1), rest.prod(-1, keepdim=True)], dim=-1)
    return positive - products.log().sum(-1)


def masked_mean(values: Float[Tensor, "..."], valid: Bool[Tensor, "..."]) -> Float[Tensor, ""]:
    """Mean of the valid values; 0, with a gradient of 0, where there is none."""
    return torch.where(valid, values, 0.0).sum() / valid.sum().clamp(min=1)


def assignment_cross_entropy(
    scores: Float[Tensor, "b n t"], assigned: Int[Tensor, "b t"], valid: Bool[Tensor, "b t"]
) -> Float[Tensor, ""]:
    """Cross entropy over the proposals, of each target's assigned proposal, averaged over valid targets."""
    log_probability = scores.log_softmax(dim=1).gather(1, assigned[:, None])[:, 0]
    return masked_mean(-log_probability, valid)


def contrastive(similarity: Float[Tensor, "q i"]) -> Float[Tensor, ""]:
    """Symmetric InfoNCE of a square matrix whose diagonal holds the true pairs (CLIP)."""
    target = torch.arange(len(similarity), device=similarity.device)
    return 0.5 * (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.mT, target))


@dataclass(frozen=True)
class SegmentationLosses:
    """Of one task at one layer, unweighted."""

    ce: Float[Tensor, ""]
    bce: Float[Tensor, ""]
    dice: Float[Tensor, ""]


@dataclass(frozen=True)
class SegmentationWeights:
    """Of one segmentation task: of the class or choice loss, and of the two mask losses."""

    ce: float
    bce: float
    dice: float

    def total(self, losses: SegmentationLosses) -> Float[Tensor, ""]:
        """The weighted sum of the three losses."""
        return self.ce * losses.ce + self.bce * losses.bce + self.dice * losses.dice
