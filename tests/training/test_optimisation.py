"""The learning rate follows the share of the run that is done, of its steps or of its minutes."""

import pytest
import torch
from torch import nn

from find.training.optimisation import Pace, Progress, adamw, parameter_groups, warmup_cosine


@pytest.mark.parametrize(
    ("progress", "factor"), [(0, 0), (0.05, 0.5), (0.1, 1), (0.55, 0.5), (0.325, 0.853553), (1, 0), (1.5, 0)]
)
def test_warmup_cosine_known_values(progress, factor):
    assert warmup_cosine(progress, warmup=0.1) == pytest.approx(factor, abs=1e-6)


def test_without_warmup_the_rate_starts_at_its_top():
    assert warmup_cosine(0.0, warmup=0.0) == 1


def test_progress_counts_steps():
    progress = Progress(steps=8, minutes=None)
    assert [progress.at(step) for step in (0, 2, 8, 9)] == [0, 0.25, 1, 1]


def test_progress_counts_minutes_from_the_first_step_where_they_run_out_first():
    now = 1000.0
    progress = Progress(steps=100, minutes=2, clock=lambda: now)
    now = 5000.0  # building took long: it does not count
    assert progress.at(0) == 0
    now += 30
    assert progress.at(1) == 0.25  # a quarter of two minutes, only a hundredth of the steps
    assert progress.at(50) == 0.5  # the steps are ahead
    now += 90
    assert progress.at(51) == 1


def test_minutes_before_an_interruption_count():
    now = 1000.0
    progress = Progress(steps=100, minutes=2, spent=60, clock=lambda: now)
    now = 5000.0  # building took long: it does not count
    assert progress.seconds == 60
    assert progress.at(10) == 0.5
    now += 30
    assert (progress.seconds, progress.at(11)) == (90, 0.75)


def test_the_share_of_the_next_step_is_exact_by_steps_and_foreseen_by_minutes():
    now = 0.0
    by_steps, by_minutes = Progress(steps=3, minutes=None), Progress(steps=100, minutes=1, clock=lambda: now)
    assert [by_steps.after(step) for step in range(3)] == [1 / 3, 2 / 3, 1]
    for step, share in enumerate((0.01, 0.5, 0.75, 1.0)):  # steps of 15 seconds, the first one unforeseen
        by_minutes.at(step)
        assert by_minutes.after(step) == share
        now += 15


def test_time_to_go_is_that_of_the_steps_or_of_the_minutes_whichever_ends_first():
    now = 0.0
    progress = Progress(steps=100, minutes=2, clock=lambda: now)
    assert Progress(steps=100, minutes=None).to_go(60, pace=1.5) == 60
    progress.at(0)
    now = 30.0
    assert progress.to_go(20, pace=0.5) == 40
    assert progress.to_go(20, pace=15) == 90
    assert Progress(steps=float("inf"), minutes=None).to_go(3, pace=1) == float("inf")


def test_a_run_ended_early_if_its_minutes_came_before_its_steps():
    assert Progress(steps=400, minutes=6).ended_early(120)
    assert not Progress(steps=400, minutes=6).ended_early(400)
    assert not Progress(steps=400, minutes=None).ended_early(120)
    assert not Progress(steps=float("inf"), minutes=6).ended_early(120)  # minutes were its only end


def test_pace_is_that_of_the_last_steps():
    times = iter([0, 100, 101, 102, 103, 104])  # the first step took long
    pace = Pace(over=3, clock=lambda: next(times))
    assert pace.seconds is None
    for _ in range(6):
        pace.mark()
    assert pace.seconds == 1


class Learner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.norm = nn.LayerNorm(3)
        self.query_features = nn.Parameter(torch.zeros(2, 3))
        self.level_embed = nn.Parameter(torch.zeros(2, 3))
        self.scale = nn.Parameter(torch.zeros(()))
        self.frozen = nn.Parameter(torch.zeros(3, 3), requires_grad=False)


def test_only_matrices_decay_and_frozen_parameters_are_left_out():
    learner = Learner()
    decayed, kept = parameter_groups(learner, weight_decay=0.1)
    names = {id(parameter): name for name, parameter in learner.named_parameters()}
    assert [names[id(p)] for p in decayed["params"]] == ["linear.weight"] and decayed["weight_decay"] == 0.1
    assert kept["weight_decay"] == 0
    expected = {"query_features", "level_embed", "scale", "linear.bias", "norm.weight", "norm.bias"}
    assert {names[id(p)] for p in kept["params"]} == expected


def test_optimizer_takes_every_trainable_parameter_once():
    learner = Learner()
    groups = adamw(learner, learning_rate=1e-3, weight_decay=0.1).param_groups
    taken = [id(p) for group in groups for p in group["params"]]
    assert len(taken) == len(set(taken)) == 7
    assert {group["lr"] for group in groups} == {1e-3}
