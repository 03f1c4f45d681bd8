"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

CHECKED = os.environ.get("FIND_CHECK_SHAPES", "").split()
"""Packages whose shapes are checked, such as "interface tasks model". It takes about a fifth more time, so only
`test_shapes.py` does it for some tests, and CI for more of them."""
install_import_hook([f"find.{name}" for name in CHECKED], "shapes.checked")

settings.register_profile("find", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("find")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real COCO samples and reference fixtures that may lie beside the checkout."""
    folder = Path(os.environ.get("FIND_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared test data at {folder} (set FIND_SHARED to its place)")
    return folder
