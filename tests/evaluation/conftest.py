"""The small data set as fixtures."""

from pathlib import Path

import pytest
from small_folder import write_folder

from find.data.coco import CocoFolder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set with every kind of annotation."""
    write_folder(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def folder(root: Path) -> CocoFolder:
    return CocoFolder(root, "val2017")
