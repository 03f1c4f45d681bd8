"""The targets of fuzzing hold on their seeds, on what once failed, and on some thousand changed seeds."""

import random

import pytest
from json_mutation import mutated_bytes
from seeds import SEEDS
from targets import JSON_STARTS, TARGETS

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


@pytest.mark.parametrize(("name", "start"), JSON_STARTS.items())
def test_every_changed_document_is_read_or_reported(name: str, start: int):
    rng, tried = random.Random(0), 0
    for seed in SEEDS[name]:
        for _ in range(CHANGED):
            content = mutated_bytes(seed[start:], 4096, rng)
            if content is not None:
                TARGETS[name](seed[:start] + content)
                tried += 1
    assert tried >= CHANGED * len(SEEDS[name]) / 2


def test_every_target_has_seeds():
    assert set(SEEDS) == set(TARGETS)
