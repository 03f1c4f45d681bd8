"""A small world to run the benchmark on, and the folder of the small text models of the foundations' tests."""

import sys
from pathlib import Path

import pytest

from find.world import generate_world

sys.path.append(str(Path(__file__).resolve().parents[1] / "foundations"))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight val images with every kind of annotation."""
    out = tmp_path_factory.mktemp("bench") / "world"
    return generate_world(out, images=2, val_images=8, seed=5, size=96, workers=1)
