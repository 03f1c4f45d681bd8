"""The published losses, computed for all layers together and for matched masks alone, equal the plain formulation."""

import pytest
import torch
import torch.nn.functional as F
from published_reference.losses import MaskTargets, OfficialCriterion, Targets, sample_maps

from find.interface import Embeddings, Group, Interface, PixelDecoder
from find.tasks import interactive, interleaved
from find.tasks.losses import binary_cross_entropy, dice

B, N, WIDTH, SIDE, LAYERS = 2, 6, 8, 16, 3


class FixedPlaces:
    """Each mask has points of its own, the same for the same number of masks."""

    def matching(self, batch, device):
        return torch.rand(batch, 40, 2, generator=torch.Generator().manual_seed(1))

    def losses(self, logits):
        return torch.rand(len(logits), 30, 2, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def interface():
    decoder = PixelDecoder(
        channels=(4, 4, 4, 4), width=WIDTH, mask_width=WIDTH, layers=1, heads=2, feedforward=8, groups=2
    )
    return Interface(
        pixel_decoder=decoder, text_width=4, width=WIDTH, heads=2, feedforward=8, layers=1, queries=N + 1,
        semantic_width=WIDTH,
    )  # fmt: skip


@pytest.fixture
def criterion():
    task = interleaved.TASK
    return OfficialCriterion(places=FixedPlaces(), interactive=interactive.TASK, words=task, regions=task)


def _layers(groups):
    def embeddings():
        return {group: torch.randn(B, count, WIDTH, requires_grad=True) for group, count in groups.items()}

    return [Embeddings(embeddings(), embeddings()) for _ in range(LAYERS)]


def _targets(valid):
    masks = MaskTargets(torch.rand(B, 3, SIDE, SIDE) > 0.6, torch.tensor(valid))
    labels = torch.randint(4, (B, 3)).masked_fill(~masks.valid, -1)
    return masks, labels


@pytest.mark.parametrize("valid", [[[True] * 3, [True, False, False]], [[False] * 3, [True, True, False]]])
def test_mask_losses_equal_those_of_every_full_mask_drawn_layer_by_layer(interface, criterion, valid):
    masks, labels = _targets(valid)
    layers = _layers({Group.OBJECT: N, Group.IMAGE: 1})
    features = torch.randn(B, WIDTH, SIDE // 2, SIDE // 2, requires_grad=True)
    bank = torch.randn(5, WIDTH)
    result = criterion(interface, layers, (), features, bank, Targets(segments=masks, labels=labels))

    pairs = [(b, t) for b in range(B) for t in range(3) if masks.valid[b, t]]
    xy = FixedPlaces().losses(torch.empty(len(pairs) * LAYERS)).unflatten(0, (len(pairs), LAYERS))
    for number, layer in enumerate(layers):
        full = torch.einsum("bnm,bmhw->bnhw", layer.pixel[Group.OBJECT], features)
        found = []
        for k, (b, t) in enumerate(pairs):
            proposal = result.assigned[number]["mask"][b, t]
            logits = sample_maps(full[b, proposal][None, None], xy[k, number][None])[0, 0]
            wanted = sample_maps(masks.masks[b, t][None, None].float(), xy[k, number][None])[0, 0]
            found.append((binary_cross_entropy(logits, wanted), dice(logits, wanted)))
        plain = [torch.stack(part).mean() for part in zip(*found, strict=True)]
        ours = [result.layers[number].mask.bce, result.layers[number].mask.dice]
        torch.testing.assert_close(torch.stack(ours), torch.stack(plain))
        inputs = (layer.pixel[Group.OBJECT], features)
        for mine, theirs in zip(
            torch.autograd.grad(sum(ours), inputs, retain_graph=True),
            torch.autograd.grad(sum(plain), inputs),
            strict=True,
        ):
            torch.testing.assert_close(mine, theirs)


def test_task_without_targets_is_not_trained_and_changes_no_other(interface, criterion):
    masks, labels = _targets([[True] * 3, [True, True, False]])
    layers = _layers({Group.OBJECT: N, Group.IMAGE: 1, Group.SEGMENT: N, Group.SPATIAL: 3})
    features, bank = torch.randn(B, WIDTH, SIDE // 2, SIDE // 2), torch.randn(5, WIDTH)
    alone = criterion(interface, layers, (), features, bank, Targets(segments=masks, labels=labels))
    both = criterion(interface, layers, (), features, bank, Targets(segments=masks, labels=labels, strokes=masks))
    for one, other in zip(alone.layers, both.layers, strict=True):
        assert one.spatial is None
        assert one.mask == other.mask
        torch.testing.assert_close(
            other.total - one.total, 0.4 * other.spatial.ce + other.spatial.bce + other.spatial.dice
        )


def test_no_target_at_all_gives_a_loss_that_can_be_minimised(interface, criterion):
    masks, labels = _targets([[False] * 3] * 2)
    layers = _layers({Group.OBJECT: N, Group.IMAGE: 1})
    features = torch.randn(B, WIDTH, SIDE // 2, SIDE // 2)
    result = criterion(interface, layers, (), features, torch.randn(5, WIDTH), Targets(segments=masks, labels=labels))
    result.total.backward()
    assert result.layers[-1].mask.bce == 0
    assert F.mse_loss(layers[0].pixel[Group.OBJECT].grad, torch.zeros(B, N, WIDTH)) == 0
