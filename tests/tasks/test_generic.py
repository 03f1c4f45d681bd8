"""Panoptic, instance and semantic answers made by hand, and the class loss."""

import math
from dataclasses import dataclass

import pytest
import torch

from find.tasks.generic import (
    BACKGROUND_WEIGHT,
    PanopticSettings,
    best_classes,
    class_cost,
    instances,
    losses,
    mask_confidence,
    only_best_pairs,
    panoptic,
    semantic,
)

SKY, CAR, NOTHING = 0, 1, 2
THINGS = torch.tensor([False, True])
SURE = 12.0


def sure_of(*classes: int) -> torch.Tensor:
    """Class logits [n, 3] that leave no doubt."""
    return SURE * torch.nn.functional.one_hot(torch.tensor(classes), 3).float()


def masks_of(*pictures: str) -> torch.Tensor:
    """Mask logits from drawings: rows separated by '/', '#' inside, '.' outside."""
    return torch.stack(
        [torch.tensor([[SURE if c == "#" else -SURE for c in row] for row in p.split("/")]) for p in pictures]
    )


def test_stuff_of_one_class_becomes_one_segment_things_stay_apart():
    found = panoptic(
        sure_of(SKY, CAR, SKY, CAR),
        masks_of("##../....", "..#./....", "..../##..", "..../...#"),
        THINGS,
        PanopticSettings(),
    )
    assert found.segment_map.tolist() == [[1, 1, 2, 0], [1, 1, 0, 3]]
    assert found.labels == [SKY, CAR, CAR]
    assert found.scores == pytest.approx([1, 1, 1], abs=1e-4)


def test_a_pixel_goes_to_the_higher_score_times_probability():
    """Both claim the middle; the second is surer of its class, so it wins it, and the first keeps 2 of 3 pixels."""
    logits = torch.tensor([[0.0, 3.0, 0.0], [0.0, 9.0, 0.0]])
    found = panoptic(logits, masks_of("###..", "..###"), THINGS, PanopticSettings(score=0.5, overlap=0.6))
    assert found.segment_map.tolist() == [[1, 1, 2, 2, 2]]


def test_a_segment_that_wins_too_little_of_its_mask_is_dropped_and_its_pixels_stay_empty():
    logits = torch.tensor([[0.0, 3.0, 0.0], [0.0, 9.0, 0.0]])
    found = panoptic(logits, masks_of("###..", "..###"), THINGS, PanopticSettings(score=0.5, overlap=0.7))
    assert found.segment_map.tolist() == [[0, 0, 1, 1, 1]]
    assert len(found.labels) == 1


@pytest.mark.parametrize(
    "logits",
    [sure_of(NOTHING, NOTHING), torch.zeros(2, 3), torch.tensor([[1.0, 0.0, 0.0]] * 2)],
    ids=["all background", "undecided", "below the score"],
)
def test_nothing_kept_gives_an_empty_map(logits):
    found = panoptic(logits, masks_of("##", "#."), THINGS, PanopticSettings())
    assert not found.segment_map.any() and found.labels == [] and found.scores == []


def test_kept_proposal_with_an_empty_mask_makes_no_segment():
    found = panoptic(sure_of(CAR, CAR), masks_of("..", "#."), THINGS, PanopticSettings())
    assert found.segment_map.tolist() == [[1, 0]]
    assert len(found.labels) == 1


def test_panoptic_agrees_with_itself_when_proposals_are_permuted():
    torch.manual_seed(0)
    logits, masks = 4 * torch.randn(12, 3), 4 * torch.randn(12, 6, 7)
    settings = PanopticSettings(score=0.4, overlap=0.1)
    order = torch.randperm(12)
    one = panoptic(logits, masks, THINGS, settings)
    two = panoptic(logits[order], masks[order], THINGS, settings)
    assert len(one.labels) > 2
    label_of = [torch.tensor([-1, *found.labels])[found.segment_map.long()] for found in (one, two)]
    assert torch.equal(*label_of)
    assert sorted(one.labels) == sorted(two.labels)


def test_instances_are_scored_by_class_times_mask_and_sorted():
    """Of two certain cars the one that doubts its mask comes second; stuff never appears."""
    masks = masks_of("#.", ".#", "##")
    masks[0] = masks[0] * math.log(3) / SURE  # probability 3/4 inside
    found = instances(sure_of(CAR, CAR, SKY), masks, THINGS)
    assert found.labels[:2].tolist() == [CAR, CAR] and SKY not in found.labels.tolist()
    assert found.masks[:2].tolist() == [[[False, True]], [[True, False]]]
    assert found.scores[:2].tolist() == pytest.approx([1, 0.75], abs=1e-3)


def test_instances_without_mask_or_without_things_are_none():
    assert len(instances(sure_of(CAR), masks_of(".."), THINGS).scores) == 0
    assert len(instances(sure_of(CAR), masks_of("##"), torch.tensor([False, False])).scores) == 0


def test_instances_are_limited_to_the_best():
    torch.manual_seed(0)
    logits, masks = torch.randn(20, 3), torch.randn(20, 4, 4)
    few, all_ = (instances(logits, masks, THINGS, limit=limit) for limit in (3, 100))
    assert len(few.scores) == 3 and len(all_.scores) == 20
    assert (all_.scores.diff() <= 0).all()


def published_instances(logits, masks, is_thing, limit):
    """Instances as Mask2Former and the published FIND infer them: (label, score, area), best first."""
    classes = logits.shape[1] - 1
    scores, places = logits.softmax(dim=-1)[:, :-1].flatten().topk(limit)
    found = []
    for score, place in zip(scores, places, strict=True):
        proposal, label = divmod(int(place), classes)
        if is_thing[label]:
            mask = masks[proposal] > 0
            sure = (masks[proposal].sigmoid() * mask).sum() / (mask.sum() + 1e-6)
            found.append((label, float(score * sure), int(mask.sum())))
    return sorted(found, key=lambda one: -one[1])


@pytest.mark.parametrize("seed", range(5))
def test_in_published_conventions_stuff_takes_places_of_things(seed):
    """Twelve proposals, three things and three surer stuff classes: fewer than the best 20 are left."""
    torch.manual_seed(seed)
    logits, masks = torch.randn(12, 7) * 2 + torch.tensor([0, 0, 0, 2, 2, 2, 0.0]), torch.randn(12, 5, 4)
    things = torch.tensor([True, True, True, False, False, False])
    found = instances(only_best_pairs(logits, limit=20), masks, things)
    wanted = published_instances(logits, masks, things, 20)
    assert 0 < len(wanted) < 15 < len(instances(logits, masks, things, limit=20).labels) == 20
    assert found.labels.tolist() == [label for label, _, _ in wanted]
    assert found.scores.tolist() == pytest.approx([score for _, score, _ in wanted], rel=1e-5)
    assert found.masks.sum((1, 2)).tolist() == [area for _, _, area in wanted]


def test_the_best_pairs_of_a_batch_are_those_of_each_image():
    logits = torch.randn(3, 8, 5)
    together = only_best_pairs(logits, limit=6)
    for row, one in zip(logits, together, strict=True):
        torch.testing.assert_close(only_best_pairs(row, limit=6), one)
        assert ((one[:, :-1].exp() > 0).sum(), one.exp().sum()) == (6, pytest.approx(8, abs=1e-5))
        torch.testing.assert_close(only_best_pairs(row, limit=1000).softmax(-1), row.softmax(-1))


def test_semantic_by_hand():
    """Two proposals, class probabilities (1/2, 1/4 | 1/4) and (0, 1 | 0); the second covers the right pixel only."""
    logits = torch.tensor([[0.5, 0.25, 0.25], [1e-9, 1.0, 1e-9]]).log()
    masks = torch.tensor([[[0.0, SURE]], [[-99.0, 0.0]]])
    expected = torch.tensor([[[0.25, 0.5]], [[0.125, 0.25 + 0.5]]])
    torch.testing.assert_close(semantic(logits, masks), expected, rtol=0, atol=1e-4)


# --- masks drawn in pieces ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Enlarged:
    """Each mask number becomes a square of `times` pixels, drawn at most `most` masks or columns at a time."""

    height: int
    width: int
    times: int
    most: int

    def parts(self, logits):
        yield from self._full(logits).split(self.most)

    def strips(self, logits):
        for start in range(0, self.width, self.most):
            columns = slice(start, min(start + self.most, self.width))
            yield columns, self._full(logits)[..., columns]

    def _full(self, logits):
        return logits.repeat_interleave(self.times, 1).repeat_interleave(self.times, 2)


@pytest.mark.parametrize("most", [1, 2, 5, 7, 100])
@pytest.mark.parametrize("seed", range(3))
def test_answers_do_not_depend_on_the_pieces_in_which_masks_are_drawn(most, seed):
    torch.manual_seed(seed)
    logits, masks = 3 * torch.randn(12, 3), 4 * torch.randn(12, 6, 7)
    pieces = Enlarged(18, 21, 3, most)
    full = pieces._full(masks)
    settings = PanopticSettings(score=0.4, overlap=0.1)
    one, two = panoptic(logits, full, THINGS, settings), panoptic(logits, masks, THINGS, settings, drawing=pieces)
    assert len(one.labels) > 1 and one.segment_map.dtype == two.segment_map.dtype == torch.int32
    assert torch.equal(one.segment_map, two.segment_map) and one.labels == two.labels and one.scores == two.scores
    one, two = instances(logits, full, THINGS, limit=8), instances(logits, masks, THINGS, limit=8, drawing=pieces)
    assert torch.equal(one.masks, two.masks) and torch.equal(one.labels, two.labels)
    torch.testing.assert_close(one.scores, two.scores)
    assert torch.equal(best_classes(logits, masks, drawing=pieces), semantic(logits, full).argmax(dim=0))


def test_nothing_to_draw_gives_answers_of_the_pictures_size():
    pieces = Enlarged(18, 21, 3, 5)
    masks = torch.zeros(2, 6, 7)
    found = panoptic(sure_of(NOTHING, NOTHING), masks, THINGS, PanopticSettings(), drawing=pieces)
    assert found.segment_map.shape == (18, 21) and not found.segment_map.any()
    found = instances(sure_of(CAR, CAR), masks, torch.tensor([False, False]), drawing=pieces)
    assert found.masks.shape == (0, 18, 21)


def test_a_proposal_of_two_classes_is_two_instances_with_one_mask():
    found = instances(torch.tensor([[2.0, 1.0, 0.0]]), masks_of("#."), torch.tensor([True, True]))
    assert found.labels.tolist() == [0, 1] and found.masks.tolist() == [[[True, False]]] * 2


def test_mask_confidence_is_the_mean_probability_inside():
    masks = torch.tensor([[[math.log(3), 50.0], [-1.0, -50.0]], [[-1.0, -1.0], [-1.0, -1.0]]])
    assert mask_confidence(masks[None]).tolist() == [pytest.approx([(0.75 + 1) / 2, 0])]


def test_class_cost_is_minus_the_probability_and_ignores_padding():
    logits = torch.tensor([[[0.5, 0.25, 0.25]]]).log()
    assert class_cost(logits, torch.tensor([[1, 0, -1]]))[0, 0, :2].tolist() == pytest.approx([-0.25, -0.5])


def test_class_loss_by_hand():
    """One matched proposal (weight 1) of probability 1/2, one background (weight 0.1) of probability 1/4."""
    logits = torch.tensor([[[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]]).log()
    masks, labels = torch.zeros(1, 2, 4), torch.tensor([[SKY, -1]])
    found = losses(logits, masks, torch.eye(4)[None], torch.ones(1, 2, 4), labels, torch.tensor([[0, 0]]))
    assert found.ce.item() == pytest.approx((math.log(2) + BACKGROUND_WEIGHT * math.log(4)) / (1 + BACKGROUND_WEIGHT))
    assert found.bce.item() == pytest.approx(math.log(2))
    assert found.dice.item() == pytest.approx(1 - 5 / 7)


def test_image_without_segments_teaches_background_only():
    logits = torch.zeros(1, 2, 3, requires_grad=True)
    masks = torch.zeros(1, 2, 4, requires_grad=True)
    padding = torch.tensor([[-1]])
    found = losses(logits, masks, torch.eye(4)[None], torch.zeros(1, 1, 4), padding, torch.tensor([[0]]))
    (found.ce + found.bce + found.dice).backward()
    assert found.ce.item() == pytest.approx(math.log(3))
    assert found.bce.item() == found.dice.item() == 0 and not masks.grad.any()
    assert (logits.grad[..., NOTHING] < 0).all()
