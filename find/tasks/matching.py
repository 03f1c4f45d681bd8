"""Hungarian matching of proposals with targets: costs of all tasks and layers leave the device in one transfer."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from find.errors import DivergenceError, InputError
from find.tasks.losses import pairwise_mask_losses
from find.utils.transfer import to_host, upload

CLASS_COST, BCE_COST, DICE_COST = 2.0, 5.0, 5.0
"""Weights of the three costs, for every task (Mask2Former; reference section 11)."""


def matching_cost(
    class_cost: Float[Tensor, "b n t"],
    pixel: Float[Tensor, "b n m"],
    features: Float[Tensor, "b m p"],
    targets: Float[Tensor, "b t p"],
    blank: Int[Tensor, " b"] | None = None,
) -> Float[Tensor, "b n t"]:
    """Weighted sum of the class cost and the two mask costs of the logits `pixel @ features`; `blank` as in
    `MaskPoints`."""
    cross_entropy, dice = pairwise_mask_losses(pixel, features, targets, blank)
    return CLASS_COST * class_cost + (BCE_COST * cross_entropy + DICE_COST * dice)


def hungarian(
    costs: Sequence[Float[Tensor, "_ _ _"]], valid: Sequence[Bool[Tensor, "_ _"]]
) -> list[Int[Tensor, "_ _"]]:
    """For each cost tensor, the proposal assigned to each target (0 at targets that are not valid).

    Raises:
        DivergenceError: a cost is not a number.
        FindError: an image has more targets than there are proposals.
    """
    costs = [cost.detach().float() for cost in costs]
    host = to_host([*costs, *valid])
    assigned = []
    for cost, flag in zip(host[: len(costs)], host[len(costs) :], strict=True):
        batch, proposals, targets = cost.shape
        result = torch.zeros(batch, targets, dtype=torch.long)
        for row, (own, use) in enumerate(zip(cost, flag, strict=True)):
            columns = use.nonzero()[:, 0]
            if len(columns) > proposals:
                raise InputError(
                    f"image {row} of the batch has {len(columns)} targets for {proposals} proposals; "
                    "build the interface with more queries or keep fewer targets an image"
                )
            picked = own[:, columns]
            if not picked.isfinite().all():
                raise DivergenceError(
                    "a matching cost is NaN or infinite: the forward diverged; lower the learning rate"
                )
            rows, cols = linear_sum_assignment(picked.numpy())
            result[row, columns[torch.from_numpy(cols)]] = torch.from_numpy(rows)
        assigned.append(result)
    together = upload(torch.cat([result.flatten() for result in assigned]), costs[0].device)
    parts = together.split([result.numel() for result in assigned])
    return [part.view(result.shape) for part, result in zip(parts, assigned, strict=True)]
