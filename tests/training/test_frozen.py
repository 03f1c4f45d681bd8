"""Foundations do not learn: no graph, no moments, statistics that stand still, their own precision; all else learns."""

from dataclasses import replace

import pytest
import torch
from small_run import CONFIG
from transformers import SwinConfig

from find.model.config import FINDConfig
from find.training.module import FINDModule
from find.training.optimisation import adamw

CONVENTIONS = {"memories": 4, "image_from_objects": True, "corner_aligned_points": True, "dot_products": True}


def interface(**changes) -> FINDConfig:
    return replace(CONFIG, interface=replace(CONFIG.interface, **changes))


@pytest.fixture
def swin(tmp_path) -> str:
    """With stochastic depth."""
    sizes = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4], "window_size": 4}
    SwinConfig(**sizes, image_size=64, drop_path_rate=0.9, hidden_dropout_prob=0.5).save_pretrained(tmp_path / "swin")
    return f"random:transformers:{tmp_path / 'swin'}"


@pytest.mark.parametrize("vision", ["batch norm", "stochastic depth"])
def test_they_stay_in_eval_mode_and_have_no_graph(vision, swin, batch):
    """Normalisation by the batch and dropped layers would make two forwards differ."""
    spec = "random:timm:test_resnet" if vision == "batch norm" else swin
    model = FINDModule(replace(CONFIG, vision=spec)).train().find
    before = {name: value.clone() for name, value in model.vision.state_dict().items()}
    one, two = (model.vision(batch.images) for _ in range(2))
    for first, second in zip(one.maps, two.maps, strict=True):
        assert torch.equal(first, second) and not first.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in model.vision.state_dict().items())
    read = model.language(model.language.tokenize(["a dog"]))
    assert not read.tokens.requires_grad
    assert not any(part.training for frozen in (model.vision, model.language) for part in frozen.modules())
    assert model.interface.training


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        interface(layers=1, decoder_width=64),
        interface(layers=2),
        interface(residual=False),
        FINDConfig.from_dict(interface(residual=False).to_dict() | {"conventions": CONVENTIONS}, source="test"),
    ],
    ids=["as it is", "one layer", "two layers", "no residual", "the published conventions"],
)
def test_what_may_learn_has_a_gradient_and_moments_and_nothing_else_has(config, batch, data):
    """DDP waits for the gradient of every weight that may learn."""
    module = FINDModule(config).train()
    names = [category.words for category in data.categories]
    optimizer = adamw(module.find.interface, learning_rate=1e-3, weight_decay=0.1)
    torch.stack(list(module.criterion(module.find, batch, names).values())).sum().backward()
    optimizer.step()
    learning = {name for name, value in module.named_parameters() if value.requires_grad}
    assert learning == {name for name, value in module.named_parameters() if value.grad is not None}
    assert learning == {name for name, value in module.named_parameters() if value in optimizer.state}
    assert all(name.startswith("find.interface.") for name in learning)


def test_their_precision_is_their_own(batch):
    """Whatever the interface computes in."""
    texts = ["a red dog", "grass"]
    for dtype in ("float32", "bfloat16"):
        model = FINDModule(replace(CONFIG, vision_dtype=dtype, language_dtype=dtype)).find
        assert {p.dtype for p in model.interface.parameters()} == {torch.float32}
        plain = (model.vision(batch.images).maps[0], model.language(model.language.tokenize(texts)).tokens)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = (model.vision(batch.images).maps[0], model.language(model.language.tokenize(texts)).tokens)
        for one, other in zip(plain, mixed, strict=True):
            assert torch.equal(one, other) and one.dtype == other.dtype
