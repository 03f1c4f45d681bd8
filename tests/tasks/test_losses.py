"""Losses against hand calculation and against transformers' Mask2Former."""

import math

import pytest
import torch
from transformers.models.mask2former.modeling_mask2former import (
    pair_wise_dice_loss,
    pair_wise_sigmoid_cross_entropy_loss,
)

from find.tasks.losses import (
    POINTS_AT_ONCE,
    assignment_cross_entropy,
    binary_cross_entropy,
    contrastive,
    dice,
    masked_mean,
    pairwise_mask_losses,
)
from find.tasks.prompted import prompted_losses

LN3 = math.log(3.0)


def pairwise_binary_cross_entropy(logits, targets):
    return pairwise_mask_losses(logits, torch.eye(logits.shape[-1]).expand(len(logits), -1, -1), targets)[0]


def pairwise_dice(logits, targets):
    return pairwise_mask_losses(logits, torch.eye(logits.shape[-1]).expand(len(logits), -1, -1), targets)[1]


def test_dice_by_hand():
    """Sigmoids 3/4 and 1/4 against a mask of the first point: 1 - (2 * 3/4 + 1) / (1 + 1 + 1)."""
    assert dice(torch.tensor([LN3, -LN3]), torch.tensor([1.0, 0.0])).item() == pytest.approx(1 / 6)


def test_dice_of_an_empty_mask_rewards_an_empty_prediction():
    empty = torch.zeros(4)
    assert dice(torch.full((4,), -50.0), empty).item() == pytest.approx(0)
    assert dice(torch.full((4,), 50.0), empty).item() == pytest.approx(1 - 1 / 5)


def test_binary_cross_entropy_by_hand():
    """-log(3/4) at both points; with a soft target of 1/2 at the second: the mean of -log(1/4) and -log(3/4)."""
    logits = torch.tensor([LN3, -LN3])
    right = -math.log(0.75)
    assert binary_cross_entropy(logits, torch.tensor([1.0, 0.0])).item() == pytest.approx(right)
    half = (right - math.log(0.25)) / 2
    assert binary_cross_entropy(logits, torch.tensor([1.0, 0.5])).item() == pytest.approx((right + half) / 2)


def random_pairs() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return 5 * torch.randn(2, 6, 40), torch.rand(2, 3, 40).round(decimals=1)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (pairwise_dice, pair_wise_dice_loss),
        (pairwise_binary_cross_entropy, pair_wise_sigmoid_cross_entropy_loss),
    ],
)
def test_pairwise_losses_equal_those_of_transformers(ours, theirs):
    logits, targets = random_pairs()
    expected = torch.stack([theirs(x, t) for x, t in zip(logits, targets, strict=True)])
    torch.testing.assert_close(ours(logits, targets), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("pairwise", "single"), [(pairwise_dice, dice), (pairwise_binary_cross_entropy, binary_cross_entropy)]
)
def test_pairwise_losses_are_the_losses_of_all_pairs(pairwise, single):
    logits, targets = random_pairs()
    expected = single(logits[:, :, None].expand(-1, -1, 3, -1), targets[:, None].expand(-1, 6, -1, -1))
    torch.testing.assert_close(pairwise(logits, targets), expected, rtol=1e-4, atol=1e-5)


def test_assignment_cross_entropy_by_hand():
    """Three proposals; the first target is assigned one of probability 1/2, the second 1/4; the third is padding."""
    probability = torch.tensor([[[0.5, 0.25, 0.1], [0.25, 0.25, 0.1], [0.25, 0.5, 0.8]]])
    assigned, valid = torch.tensor([[0, 1, 0]]), torch.tensor([[True, True, False]])
    loss = assignment_cross_entropy(probability.log(), assigned, valid)
    assert loss.item() == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_contrastive_by_hand():
    """Rows choose with probabilities 3/4 and 3/4, columns too: every term is log(4/3)."""
    assert contrastive(torch.tensor([[LN3, 0.0], [0.0, LN3]])).item() == pytest.approx(math.log(4 / 3))


def test_contrastive_is_symmetric_and_counts_both_directions():
    """The true pairs have probabilities 1/2 and 3/4 along the rows, 3/4 and 1/2 along the columns."""
    similarity = torch.tensor([[LN3, LN3], [0.0, LN3]])
    rows = (math.log(2) + math.log(4 / 3)) / 2
    columns = (math.log(4 / 3) + math.log(2)) / 2
    assert contrastive(similarity).item() == pytest.approx((rows + columns) / 2)
    torch.testing.assert_close(contrastive(similarity), contrastive(similarity.T))


def test_contrastive_of_perfect_and_of_uninformed_similarities():
    assert contrastive(100 * torch.eye(5)).item() == pytest.approx(0, abs=1e-6)
    assert contrastive(torch.zeros(5, 5)).item() == pytest.approx(math.log(5))


def test_masked_mean_ignores_what_is_not_valid_even_nan():
    values = torch.tensor([1.0, math.nan, 3.0], requires_grad=True)
    mean = masked_mean(values, torch.tensor([True, False, True]))
    mean.backward()
    assert mean.item() == 2
    assert values.grad.tolist() == [0.5, 0.0, 0.5]


def test_no_valid_target_gives_zero_losses_with_zero_gradients():
    """A rank or batch without any target of a task still takes part in the step."""
    torch.manual_seed(0)
    scores = torch.randn(2, 4, 3, requires_grad=True)
    logits = torch.randn(2, 4, 10, requires_grad=True)
    none = torch.zeros(2, 3, dtype=torch.bool)
    places = torch.eye(10).expand(2, -1, -1)
    losses = prompted_losses(scores, logits, places, torch.zeros(2, 3, 10), torch.zeros(2, 3).long(), none)
    assert losses.ce.item() == losses.bce.item() == losses.dice.item() == 0
    (losses.ce + losses.bce + losses.dice).backward()
    assert not scores.grad.any() and not logits.grad.any()


def test_only_valid_targets_and_their_proposals_get_gradient():
    torch.manual_seed(0)
    scores, logits = torch.randn(1, 4, 2, requires_grad=True), torch.randn(1, 4, 10, requires_grad=True)
    valid, assigned = torch.tensor([[False, True]]), torch.tensor([[0, 2]])
    losses = prompted_losses(scores, logits, torch.eye(10)[None], torch.ones(1, 2, 10), assigned, valid)
    (losses.ce + losses.bce + losses.dice).backward()
    assert not scores.grad[0, :, 0].any() and scores.grad[0, :, 1].all()
    assert logits.grad[0, 2].all() and not logits.grad[0, [0, 1, 3]].any()


def test_losses_of_masks_drawn_a_few_points_at_a_time_are_those_of_their_logits():
    """Over a number of points that no part divides, and with logits far beyond where a sigmoid is 0 or 1."""
    g = torch.Generator().manual_seed(0)
    pixel, features = torch.randn(2, 6, 8, generator=g) * 20, torch.randn(2, 8, 2 * POINTS_AT_ONCE + 77, generator=g)
    targets = torch.rand(2, 3, features.shape[2], generator=g)
    logits = pixel @ features
    assert logits.abs().max() > 150
    cross_entropy, overlap = pairwise_mask_losses(pixel, features, targets)
    pairs = logits[:, :, None].expand(-1, -1, 3, -1), targets[:, None].expand(-1, 6, -1, -1)
    torch.testing.assert_close(cross_entropy, binary_cross_entropy(*pairs), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(overlap, dice(*pairs), rtol=1e-4, atol=1e-5)
