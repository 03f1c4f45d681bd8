"""The targets of fuzzing hold on their seeds, on what once failed, and on some thousand changed seeds."""

import random

import pytest
from seeds import SEEDS
from targets import TARGETS

CHANGED = 60
"""Of each seed; a fuzzer tries millions."""


def changed(seed: bytes, rng: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(rng.randint(1, 4)):
        place, length = rng.randrange(len(data) + 1), rng.randint(0, 4)
        other = SEEDS[rng.choice(sorted(SEEDS))][0]
        data[place : place + length] = rng.choice(
            [b"", rng.randbytes(1), other[place : place + length], b'"', b"9" * 30]
        )
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_every_input_is_read_or_told(name: str):
    rng = random.Random(0)
    for seed in SEEDS[name]:
        TARGETS[name](seed)
        for _ in range(CHANGED):
            TARGETS[name](changed(seed, rng))


def test_every_target_has_seeds():
    assert set(SEEDS) == set(TARGETS)
