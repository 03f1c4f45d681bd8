"""Numbers drawn for an image: known ones, uniform, independent of each other and of what is beside the image."""

import pytest
import torch
from scipy import stats

from find.tasks.counter_rng import uniform


def splitmix64(x: int) -> int:
    """The finaliser, in Python's own whole numbers."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, -1])
def test_known_numbers(seed):
    start = splitmix64((splitmix64(seed % 2**64) + 5) % 2**64)
    expected = [(splitmix64((start + k * 0x9E3779B97F4A7C15) % 2**64) >> 40) / 2**24 for k in range(1, 9)]
    assert uniform(torch.tensor([seed]), 5, 4, 2).flatten().tolist() == expected


def test_they_do_not_depend_on_the_batch_nor_on_how_many_are_drawn():
    seeds = torch.tensor([4, 9, 4])
    many = uniform(seeds, 0, 100)
    assert torch.equal(many[0], many[2]) and torch.equal(uniform(seeds[1:2], 0, 7)[0], many[1, :7])


def test_they_are_uniform_and_streams_and_seeds_are_independent():
    """Neighbouring seeds and streams are the hardest."""
    rows = torch.cat([uniform(torch.arange(20), stream, 2000) for stream in (0, 1)])
    assert (rows >= 0).all() and (rows < 1).all()
    assert stats.kstest(rows.flatten().numpy(), "uniform").pvalue > 0.01
    correlation = torch.corrcoef(rows) - torch.eye(len(rows))
    assert correlation.abs().max() < 5 / 2000**0.5
