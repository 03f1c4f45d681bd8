"""A model of few parameters for tests: the untrained tiny pair and a small interface, on 96 pixels."""

from find.model.config import FINDConfig, InterfaceConfig

CONFIG = FINDConfig(
    vision="random:tiny",
    language="random:tiny",
    interface=InterfaceConfig(
        width=32,
        heads=4,
        feedforward=48,
        layers=3,
        queries=25,
        semantic_width=24,
        mask_width=16,
        decoder_width=32,
        decoder_layers=1,
        region_points=8,
    ),
    shortest_side=96,
    longest_side=96,
)
