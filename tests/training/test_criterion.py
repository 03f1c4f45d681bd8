"""One training step over all tasks: what learns, what stays frozen, and that it learns."""

from dataclasses import replace

import pytest
import torch
from small_run import CONFIG

from find.errors import InputError
from find.model.model import FIND
from find.tasks.losses import SegmentationWeights
from find.tasks.points import RandomPoints
from find.training.criterion import Criterion, merged_weights
from find.training.optimisation import adamw

TASKS = {"panoptic", "grounding", "interactive", "interleaved", "caption", "sentence", "retrieval", "entity"}


@pytest.fixture
def model() -> FIND:
    torch.manual_seed(0)
    return FIND.build(CONFIG).train()


@pytest.fixture(scope="module")
def class_names(data) -> list[str]:
    return [category.words for category in data.categories]


def total(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(losses.values())).sum()


def test_every_task_has_a_finite_loss_and_reaches_every_parameter(model, batch, class_names):
    losses = Criterion()(model, batch, class_names)
    assert set(losses) == TASKS
    assert all(loss.isfinite() and loss > 0 for loss in losses.values()), losses
    total(losses).backward()
    idle = {n for n, p in model.interface.named_parameters() if p.grad is None or not p.grad.any()}
    assert idle == set()
    assert all(p.grad.isfinite().all() for p in model.interface.parameters())
    assert all(p.grad is None for part in (model.vision, model.language) for p in part.parameters())


def test_a_pair_term_learns_from_false_sentences_and_by_itself(batch, class_names):
    """Its own loss reaches all of it, and falls; no other loss does."""
    torch.manual_seed(0)
    config = replace(CONFIG, interface=replace(CONFIG.interface, pair_width=8))
    model = FIND.build(config).train()
    term, criterion = model.interface.pair_term, Criterion(nested_widths=[8])
    losses = criterion(model, batch, class_names)
    assert set(losses) == {*TASKS, "composition"}
    total({name: loss for name, loss in losses.items() if name != "composition"}).backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in term.parameters())
    losses["composition"].backward()
    assert all(parameter.grad.any() for parameter in term.parameters())
    optimizer = adamw(model.interface, learning_rate=3e-3, weight_decay=0.0)
    for _ in range(15):
        optimizer.zero_grad()
        loss = criterion(model, batch, class_names)["composition"]
        loss.backward()
        optimizer.step()
    assert loss < 0.85 * losses["composition"]


def test_a_tagger_learns_by_its_own_loss_alone(batch, class_names):
    torch.manual_seed(0)
    model = FIND.build(replace(CONFIG, interface=replace(CONFIG.interface, tagger_width=8))).train()
    losses = Criterion()(model, batch, class_names)
    assert set(losses) == {*TASKS, "tagger"}
    total({name: loss for name, loss in losses.items() if name != "tagger"}).backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in model.interface.tagger.parameters())
    losses["tagger"].backward()
    assert all(parameter.grad.any() for parameter in model.interface.tagger.parameters())
    adamw(model.interface.tagger, learning_rate=1e-3, weight_decay=0.0).step()
    assert Criterion()(model, batch, class_names)["tagger"] < losses["tagger"]


def test_a_step_in_mixed_precision_with_a_pair_term_has_the_losses_of_single_precision(batch, class_names):
    torch.manual_seed(0)
    model = FIND.build(replace(CONFIG, interface=replace(CONFIG.interface, pair_width=8))).train()
    exact = Criterion()(model, batch, class_names)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = Criterion()(model, batch, class_names)
    assert mixed["composition"].item() == pytest.approx(exact["composition"].item(), rel=0.05)
    total(mixed).backward()
    assert all(p.grad.isfinite().all() for p in model.interface.parameters() if p.grad is not None)


def test_foundations_do_not_change_when_the_interface_learns(model, batch, class_names):
    frozen = {n: v.clone() for n, v in model.state_dict().items() if not n.startswith("interface.")}
    before = {n: v.clone() for n, v in model.interface.state_dict().items()}
    optimizer = adamw(model.interface, learning_rate=1e-2, weight_decay=0.05)
    for _ in range(2):
        optimizer.zero_grad()
        total(Criterion()(model, batch, class_names)).backward()
        optimizer.step()
    after = model.state_dict()
    assert frozen and all(torch.equal(after[name], value) for name, value in frozen.items())
    assert not any(torch.equal(model.interface.state_dict()[n], v) for n, v in before.items())


def test_weights_scale_their_own_task_only(model, batch, class_names):
    torch.manual_seed(0)
    plain = Criterion()(model, batch, class_names)
    doubled = {"grounding": SegmentationWeights(4, 6, 6), "caption": 4.0}
    torch.manual_seed(0)
    found = Criterion(weights=doubled)(model, batch, class_names)
    for name, loss in plain.items():
        factor = 2 if name in ("grounding", "caption") else 1
        torch.testing.assert_close(found[name], factor * loss, rtol=1e-4, atol=1e-5)


def test_some_weights_of_a_loss_may_be_changed_and_wrong_names_are_told(model):
    tasks = list(model.tasks.values())
    own = merged_weights(tasks, {})
    assert own["grounding"] == SegmentationWeights(2, 3, 3) and own["retrieval"] == 4
    for change in ({"grounding": {"dice": 5}}, {"grounding.dice": 5}):
        assert merged_weights(tasks, change) == own | {"grounding": SegmentationWeights(2, 3, 5)}
    wrong = {
        "no task has a loss 'captoin'; did you mean 'caption'": {"captoin": 1.0},
        "loss_weights.caption is .*; this loss has one weight, a number": {"caption": {"dice": 1.0}},
        "loss_weights.grounding is .*; this loss has the weights ce, bce, dice": {"grounding.dic": 1.0},
        "loss_weights.panoptic is 3.0; this loss has the weights ce, bce, dice": {"panoptic": 3.0},
    }
    for message, change in wrong.items():
        with pytest.raises(InputError, match=message):
            merged_weights(tasks, change)


def test_deep_supervision_is_the_mean_over_the_layers(model, batch, class_names):
    """All layers but the last see no change of the final prediction: retrieval stays what it was."""
    torch.manual_seed(0)
    plain = Criterion()(model, batch, class_names)
    torch.manual_seed(0)
    deep = Criterion(deep_supervision=True)(model, batch, class_names)
    for name in ("caption", "sentence", "retrieval", "entity"):
        torch.testing.assert_close(deep[name], plain[name], rtol=1e-4, atol=1e-5)
    assert deep["panoptic"] != plain["panoptic"]


@torch.no_grad()
def test_nested_losses_are_those_of_embeddings_that_hold_all_in_their_first_numbers(model, batch, class_names):
    """A semantic space of which only 8 numbers are used loses nothing when it is cut to 8."""
    plain, nested = Criterion(), Criterion(nested_widths=(8,))
    whole, cut = plain(model, batch, class_names), nested(model, batch, class_names)
    retrieval = ("caption", "sentence", "retrieval", "entity")
    assert all(abs(cut[name] - whole[name]) > 1e-3 for name in retrieval)
    model.interface.heads.semantic.weight[8:] = 0
    model.interface.residual.projection.weight[8:] = 0
    whole, cut = plain(model, batch, class_names), nested(model, batch, class_names)
    for name in TASKS:
        torch.testing.assert_close(cut[name], whole[name], rtol=1e-4, atol=1e-5)


def test_random_points_estimate_what_every_place_measures(model, batch, class_names):
    torch.manual_seed(0)
    places = Criterion()(model, batch, class_names)
    torch.manual_seed(0)
    points = Criterion(sampling=RandomPoints(4000))(model, batch, class_names)
    for name in ("panoptic", "grounding", "interactive", "interleaved"):
        assert points[name].item() == pytest.approx(places[name].item(), rel=0.1)


def test_forty_steps_on_three_images_lower_every_loss(model, batch, class_names):
    optimizer = adamw(model.interface, learning_rate=3e-3, weight_decay=0.0)
    torch.manual_seed(0)
    curve = []
    for _ in range(40):
        optimizer.zero_grad()
        losses = Criterion()(model, batch, class_names)
        total(losses).backward()
        torch.nn.utils.clip_grad_norm_(model.interface.parameters(), 5.0)
        optimizer.step()
        curve.append({name: loss.item() for name, loss in losses.items()})
    first, last = curve[0], curve[-1]
    assert sum(last.values()) < 0.6 * sum(first.values()), (first, last)
    assert all(last[name] < first[name] for name in TASKS), (first, last)
