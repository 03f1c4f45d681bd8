"""The fixtures of the reference, where they are: `../shared/reference`, or what FIND_REFERENCE names."""

import os
import sys
from pathlib import Path

import pytest
import torch
from published_reference.parity import Reference

sys.path.append(str(Path(__file__).resolve().parents[2] / "foundations"))  # a hub and small text models


@pytest.fixture(scope="session")
def reference_folder(request) -> Path:
    named = os.environ.get("FIND_REFERENCE")
    folder = Path(named) if named else request.getfixturevalue("shared") / "reference"
    if not (folder / "tiny" / "config.json").is_file():
        pytest.skip(f"no reference fixtures in {folder} (set FIND_REFERENCE to their folder)")
    return folder


@pytest.fixture(scope="session")
def reference(reference_folder) -> Reference:
    return Reference(reference_folder)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
