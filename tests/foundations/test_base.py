"""What holds for every foundation: it never learns, its fingerprint names its weights, images must fit."""

import pytest
import torch
from torch import nn

from find.errors import FindError
from find.foundations import Frozen, fingerprint, load_vision
from find.foundations.base import check_divisible
from find.utils.entry_points import declared


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


@pytest.mark.parametrize("spec", ["", "tinny", "tim:resnet18", "random:"])
def test_an_unknown_spec_is_refused_with_the_known_ones(spec):
    with pytest.raises(FindError, match="detectron2, focal, open_clip, timm, tiny, transformers"):
        load_vision(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("open_clip:", "open_clip:NAME/PRETRAINED"),
        ("tiny:1", "nothing may follow"),
        ("random:tiny:1", "nothing may follow"),
    ],
)
def test_a_name_that_lacks_or_is_too_much_is_told(spec, message):
    with pytest.raises(FindError, match=message):
        load_vision(spec)


def test_a_package_adds_encoders_by_entry_points(tmp_path, monkeypatch):
    declare(tmp_path, "mine", "[find.vision_encoders]\nmyenc = mine_encoders:vision\nbroken = nowhere:vision\n")
    (tmp_path / "mine_encoders.py").write_text("def vision(spec, *, dtype): return spec, dtype\n")
    monkeypatch.syspath_prepend(tmp_path)
    declared.cache_clear()
    try:
        spec, dtype = load_vision("random:myenc:SMALL", dtype=torch.bfloat16)
        assert (spec.name, spec.untrained, dtype) == ("SMALL", True, torch.bfloat16)
        with pytest.raises(FindError, match="nowhere:vision cannot be imported"):
            load_vision("broken:X")
    finally:
        declared.cache_clear()


def test_two_packages_with_one_name_are_refused(tmp_path, monkeypatch):
    declare(tmp_path, "mine", "[find.vision_encoders]\ntimm = mine_encoders:vision\n")
    monkeypatch.syspath_prepend(tmp_path)
    declared.cache_clear()
    try:
        with pytest.raises(FindError, match=r"'timm' in find\.vision_encoders: .*uninstall one"):
            load_vision("timm:resnet18")
    finally:
        declared.cache_clear()


def declare(folder, package, entry_points):
    """What an installed package leaves in site-packages, as far as entry points go."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


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
