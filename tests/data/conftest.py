"""Fixtures of the data tests."""

from pathlib import Path

import pytest
from tiny_folder import TinyFolder, make_tiny_folder


@pytest.fixture
def tiny(tmp_path: Path) -> TinyFolder:
    return make_tiny_folder(tmp_path / "tiny")
