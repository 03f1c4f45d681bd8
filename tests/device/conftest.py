"""A small model twice, on the CPU and on the pretended device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pretended import pretended, to_device
from small_run import CONFIG

from find.model.model import FIND
from find.world import generate_world

THRESHOLDS = {"panoptic_score": 0.0, "panoptic_overlap": 0.0}  # an untrained model is sure of nothing


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def build() -> FIND:
    """With a pair term, so that sentences are answered as chains."""
    torch.manual_seed(0)
    interface = replace(CONFIG.interface, pair_width=8)
    return FIND.build(replace(CONFIG, interface=interface, **THRESHOLDS)).eval()


@pytest.fixture(scope="package")
def on_cpu() -> FIND:
    return build()


@pytest.fixture(scope="package")
def moved() -> FIND:
    model = build()
    with pretended():
        return to_device(model)


@pytest.fixture
def there(moved: FIND) -> Iterator[FIND]:
    """The same model on the device."""
    with pretended():
        yield moved


@pytest.fixture(scope="package")
def pictures() -> list[np.ndarray]:
    """Three of one size and one of another."""
    random = np.random.default_rng(0)
    sizes = [(64, 96), (64, 96), (64, 96), (80, 60)]
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few drawn scenes, of six pictures for training and four for evaluation."""
    root = tmp_path_factory.mktemp("world") / "world"
    return generate_world(root, images=6, val_images=4, size=96, workers=1, progress=False)
