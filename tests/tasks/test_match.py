"""Claims about the match head's loss: what labels tell of matches, what they leave open, and that it can be learned."""

import pytest
import torch
import torch.nn.functional as F

from find.interface import MatchHead
from find.tasks.match import Matches

DOG, CAT = 0, 1


def masks_of(*rows: list[int]) -> torch.Tensor:
    """Logits of objects at eight points, positive inside."""
    return torch.stack([torch.tensor([1.0 if point in row else -1.0 for point in range(8)]) for row in rows])


@pytest.fixture
def two_images() -> Matches:
    """Two dogs and a cat, of which the entity means the first dog; and a cat, which the other image's entity means."""
    segments = torch.zeros(2, 3, 8)
    segments[0, 0, :2] = segments[0, 1, 2:4] = segments[0, 2, 4:6] = segments[1, 0, :4] = 1
    labels = torch.tensor([[DOG, DOG, CAT], [CAT, -1, -1]])
    meant = torch.zeros(2, 2, 3, dtype=torch.bool)
    meant[0, 0, 0] = meant[1, 0, 0] = True
    objects = [[0, 1], [2, 3], [4, 5], [6, 7], [0]]
    masks = torch.stack([masks_of(*objects), masks_of([0, 1, 2, 3], [4, 5, 6, 7], [], [0, 1], [2, 3, 4, 5])])
    return Matches.of(masks, segments, labels, meant)


def test_own_segments_match_and_others_of_their_category_are_left_open(two_images):
    # an object of its segment, one of the other dog, the cat, what lies on no segment, half of its segment
    assert two_images.is_match[0, 0].tolist() == [True, False, False, False, True]
    assert two_images.counts[0, 0].tolist() == [True, False, True, False, True]
    assert not two_images.is_match[0, 1].any() and two_images.means_one.tolist() == [[True, False]] * 2


def test_another_image_tells_only_of_categories_that_it_does_not_show(two_images):
    """The second image has no dog; the first one has a cat, which may be as the second one's sentence says."""
    assert two_images.is_elsewhere[:, 0].tolist() == [False, True]
    known = [True, False, True, True, True]  # half of the last one lies on a segment, of an empty one nothing is wrong
    assert two_images.counts_elsewhere[0, 0].tolist() == known
    assert not two_images.counts_elsewhere[1, 0].any()


def test_what_is_left_open_does_not_change_the_loss(two_images):
    torch.manual_seed(0)
    head = MatchHead(semantic_width=6, width=4)
    entities, objects = (F.normalize(torch.randn(2, n, 6), dim=-1) for n in (2, 5))
    numbers = torch.rand(2, 5, 5)
    first = two_images.loss(head, entities, objects, numbers)
    other = entities.clone()
    other[:, 1] = F.normalize(torch.randn(2, 6), dim=-1)  # means nothing in its image
    assert torch.equal(two_images.loss(head, other, objects, numbers), first)
    changed = objects.clone()
    changed[0, 2] = F.normalize(torch.randn(6), dim=-1)  # a cat, which the first entity is not
    assert not torch.equal(two_images.loss(head, entities, changed, numbers), first)


def test_the_loss_is_the_cross_entropy_of_objects_and_presence():
    """One entity, one object that is it, and an image that does not show it; computed by hand."""
    head = MatchHead(semantic_width=4, width=2)
    entities = F.normalize(torch.tensor([[[1.0, 0, 0, 0]], [[0, 1.0, 0, 0]]]), dim=-1)
    objects = F.normalize(torch.tensor([[[1.0, 1, 0, 0]], [[0, 0, 1.0, 0]]]), dim=-1)
    segments = torch.ones(2, 1, 4)
    meant = torch.tensor([[[True]], [[False]]])
    matches = Matches.of(torch.ones(2, 1, 4), segments, torch.tensor([[DOG], [CAT]]), meant)
    here, there = 20 * 0.5**0.5 - 10, -10.0  # of an untrained head: a logistic of the cosine
    each = F.softplus(torch.tensor([-here, there])).sum().item() / 2
    assert matches.loss(head, entities, objects, torch.rand(2, 1, 5)).item() == pytest.approx(4 * each, rel=1e-4)


def test_no_gradient_reaches_the_vectors_and_the_head_learns(two_images):
    torch.manual_seed(0)
    head = MatchHead(semantic_width=6, width=8)
    entities, objects = (F.normalize(torch.randn(2, n, 6), dim=-1).requires_grad_() for n in (2, 5))
    numbers = torch.rand(2, 5, 5)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        loss = two_images.loss(head, entities, objects, numbers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert entities.grad is None and objects.grad is None
    assert losses[-1] < 0.2 * losses[0]


def test_every_parameter_of_the_head_gets_a_gradient(two_images):
    """Distributed training waits for gradients of all of them."""
    head = MatchHead(semantic_width=6, width=8)
    torch.nn.init.normal_(head.out.weight)
    vectors = F.normalize(torch.randn(2, 2, 6), dim=-1), F.normalize(torch.randn(2, 5, 6), dim=-1)
    two_images.loss(head, *vectors, torch.rand(2, 5, 5)).backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
