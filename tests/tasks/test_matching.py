"""Hungarian matching against brute force, scipy and transformers' matcher."""

from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from transformers.models.mask2former.modeling_mask2former import Mask2FormerHungarianMatcher

from find.errors import FindError
from find.tasks.generic import class_cost
from find.tasks.matching import BCE_COST, CLASS_COST, DICE_COST, hungarian, matching_cost
from find.tasks.points import segments_at


def test_known_answer_that_greed_misses():
    """Target 0 likes proposal 0 best, but the cheapest pairs together are 0-1 and 1-0 (cost 2 + 1, not 1 + 9)."""
    cost = torch.tensor([[[1.0, 1.0], [2.0, 9.0], [8.0, 8.0]]])
    assert hungarian([cost], [torch.ones(1, 2, dtype=torch.bool)])[0].tolist() == [[1, 0]]


def test_equals_brute_force():
    torch.manual_seed(0)
    cost = torch.randn(4, 5, 3)
    found = hungarian([cost], [torch.ones(4, 3, dtype=torch.bool)])[0]
    for row, matched in zip(cost, found.tolist(), strict=True):
        best = min(permutations(range(5), 3), key=lambda rows: sum(row[r, t].item() for t, r in enumerate(rows)))
        assert tuple(matched) == best


def test_many_tasks_at_once_equal_scipy_on_each_images_valid_targets():
    """Costs of different shapes go together; padding targets cost nothing, whatever their numbers are."""
    torch.manual_seed(1)
    costs = [torch.randn(2, 6, 4), torch.randn(2, 9, 1), torch.randn(3, 5, 5)]
    valid = [torch.rand(c.shape[0], c.shape[2]) < 0.6 for c in costs]
    padded = [c.masked_fill(~v[:, None], float("nan")) for c, v in zip(costs, valid, strict=True)]
    for cost, use, found in zip(costs, valid, hungarian(padded, valid), strict=True):
        for row, columns, matched in zip(cost, use, found, strict=True):
            rows, cols = linear_sum_assignment(row[:, columns].numpy())
            expected = torch.zeros(columns.sum(), dtype=torch.long)
            expected[cols] = torch.from_numpy(rows)
            assert matched[columns].tolist() == expected.tolist()
            assert not matched[~columns].any()


@pytest.mark.parametrize("seed", range(3))
def test_cost_and_assignment_equal_transformers_matcher(seed):
    """The same random points on both sides; theirs samples logits and one-hot masks, ours the segment map."""
    torch.manual_seed(seed)
    n, s, classes = 9, 4, 5
    logits, class_logits = 3 * torch.randn(1, n, 8, 12), torch.randn(1, n, classes + 1)
    labels = torch.randint(0, classes, (1, s))
    segments = torch.randint(-1, s, (1, 32, 48))
    masks = (segments == torch.arange(s)[:, None, None]).float()

    theirs = Mask2FormerHungarianMatcher(CLASS_COST, BCE_COST, DICE_COST, num_points=300)
    torch.manual_seed(seed)
    rows, columns = theirs(logits, class_logits, [masks], [labels[0]])[0]

    torch.manual_seed(seed)
    xy = torch.rand(1, 300, 2)
    drawn = F.grid_sample(logits, 2 * xy[:, None] - 1, align_corners=False)[:, :, 0]
    wanted = segments_at(segments, xy, s)
    cost = matching_cost(class_cost(class_logits, labels), drawn, torch.eye(300)[None], wanted)
    found = hungarian([cost], [torch.ones(1, s, dtype=torch.bool)])[0][0]
    assert found[columns].tolist() == rows.tolist()


def test_permuting_targets_permutes_the_assignment():
    torch.manual_seed(2)
    cost, order = torch.randn(1, 6, 4), torch.tensor([3, 1, 0, 2])
    every = torch.ones(1, 4, dtype=torch.bool)
    assert torch.equal(hungarian([cost[..., order]], [every])[0], hungarian([cost], [every])[0][:, order])


def test_more_targets_than_proposals_is_an_error_that_names_the_image():
    cost, valid = torch.zeros(2, 3, 4), torch.tensor([[True, True, True, False], [True] * 4])
    with pytest.raises(FindError, match="image 1 of the batch has 4 targets for 3 proposals; build the interface"):
        hungarian([cost], [valid])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_cost_that_is_not_a_number_is_an_error(value):
    cost = torch.zeros(1, 3, 2)
    cost[0, 1, 1] = value
    with pytest.raises(FindError, match="NaN or infinite"):
        hungarian([cost], [torch.ones(1, 2, dtype=torch.bool)])


def test_no_target_at_all_is_fine():
    found = hungarian([torch.zeros(2, 3, 1)], [torch.zeros(2, 1, dtype=torch.bool)])
    assert found[0].tolist() == [[0], [0]]
