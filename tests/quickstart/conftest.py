"""A small real model with untrained weights: its answers are poor, but they are answers."""

import pytest
import torch

from find.model.config import FINDConfig, InterfaceConfig
from find.model.model import FIND


@pytest.fixture(scope="session")
def untrained_model() -> FIND:
    sizes = InterfaceConfig(
        width=32,
        heads=2,
        feedforward=32,
        layers=1,
        queries=6,
        semantic_width=16,
        mask_width=8,
        decoder_width=32,
        decoder_layers=1,
        region_points=8,
        residual=False,
    )
    torch.manual_seed(0)
    return FIND.build(
        FINDConfig(vision="random:tiny", language="random:tiny", interface=sizes, shortest_side=64, longest_side=128)
    )
