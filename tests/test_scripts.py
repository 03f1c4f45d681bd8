"""Claims about scripts/environment.sh: which Python the two commands take."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENT = Path(__file__).resolve().parents[1] / "scripts" / "environment.sh"


def find_python(folder: Path, pythons: dict[str, str], **variables: str) -> subprocess.CompletedProcess:
    """Asks for a Python where only these programs are on the path: each says whether it fits, and nothing else."""
    for name, fits in pythons.items():
        (folder / name).write_text(f"#!/bin/sh\n{fits}\n")
        (folder / name).chmod(0o755)
    (folder / "dirname").symlink_to(shutil.which("dirname"))
    return subprocess.run(
        [shutil.which("bash"), "-c", f"source {ENVIRONMENT}; find_python"],
        env={"PATH": str(folder)} | variables,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("pythons", "chosen"),
    [
        ({"python3": "true", "python3.12": "true"}, "python3"),
        ({"python3": "false", "python3.12": "true"}, "python3.12"),
        ({"python3": "false", "uv": "true"}, ">=3.10,<3.14"),
    ],
)
def test_a_fitting_python_goes_first_and_uv_fetches_one_where_there_is_none(tmp_path, pythons, chosen):
    assert find_python(tmp_path, pythons).stdout.strip() == chosen


def test_without_one_the_mend_is_told(tmp_path):
    result = find_python(tmp_path, {"python3": "false"})
    assert result.returncode == 1 and "Python 3.10, 3.11, 3.12 or 3.13 is needed" in result.stderr


def test_one_that_was_named_and_does_not_fit_is_not_passed_over(tmp_path):
    result = find_python(tmp_path, {"python3": "true", "old": "false"}, FIND_PYTHON="old")
    assert result.returncode == 1 and "FIND_PYTHON=old" in result.stderr


def test_the_range_is_read_from_the_version_itself(tmp_path):
    """What `is_fitting` asks a real Python: this one runs the tests, so it fits."""
    os.symlink(sys.executable, tmp_path / "python3")
    assert find_python(tmp_path, {}).stdout.strip() == "python3"
