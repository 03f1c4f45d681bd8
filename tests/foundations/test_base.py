"""What holds for every foundation: it never learns, its fingerprint names its weights, images must fit."""

import pytest
import torch
from torch import nn

from find.errors import FindError
from find.foundations import Frozen, fingerprint, load_vision
from find.foundations.base import check_divisible


class _Normed(Frozen):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.freeze()

    def forward(self, x):
        return self.layers(x)


def test_a_frozen_module_stays_in_eval_mode_inside_a_parent_that_trains():
    frozen = _Normed()
    parent = nn.Sequential(nn.Conv2d(3, 3, 1), frozen).train()
    before = fingerprint(frozen)
    images = torch.randn(8, 3, 5, 5) + 3
    parent(images).sum().backward()
    assert fingerprint(frozen) == before
    assert parent.training and not any(m.training for m in frozen.modules())
    assert all(p.grad is None for p in frozen.parameters())
    assert torch.equal(parent(images), parent(images))


def test_a_fingerprint_is_of_names_and_values_and_of_nothing_else():
    torch.manual_seed(0)
    a = nn.Linear(3, 3)
    b = nn.Linear(3, 3)
    assert fingerprint(a) != fingerprint(b)
    b.load_state_dict(a.state_dict())
    assert fingerprint(a) == fingerprint(b.requires_grad_(False).eval())
    assert fingerprint(nn.Sequential(a)) != fingerprint(a)
    with torch.no_grad():
        b.weight[0, 0] = torch.nextafter(b.weight[0, 0], torch.tensor(9.0))
    assert fingerprint(a) != fingerprint(b)


@pytest.mark.parametrize("shape", [(1, 3, 64, 65), (1, 3, 31, 32), (1, 3, 0, 32), (3, 32, 32), (1, 4, 32, 32)])
def test_images_that_do_not_fit_are_refused(shape):
    with pytest.raises(FindError, match="images"):
        check_divisible(torch.zeros(shape), 32)


@pytest.mark.parametrize("spec", ["", "tinny", "open_clip:", "tim:resnet18", "tiny:1", "random:"])
def test_an_unknown_spec_is_refused_with_the_known_ones(spec):
    with pytest.raises(FindError, match="open_clip:NAME/PRETRAINED"):
        load_vision(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("open_clip:RN5O/openai", "RN5O"),
        ("open_clip:RN50", "openai"),
        ("open_clip:local-dir:/nowhere", "open_clip_config.json"),
    ],
)
def test_a_model_that_open_clip_cannot_load_is_told_by_name(spec, message):
    with pytest.raises(FindError, match=message):
        load_vision(spec)
