"""Shapes in signatures are claims: tests of the interface and of tasks pass while each call is checked (about 14 s)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = "images interface query retrieval tasks model"


@pytest.mark.skipif("FIND_CHECK_SHAPES" in os.environ, reason="shapes are checked in this run already")
def test_signatures_say_the_shapes_that_there_are():
    folders = [str(ROOT / "tests" / name) for name in ("interface", "tasks")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *folders]
    command += ["-k", "not learn and not plugin and not tagg"]  # they take longest, and have few shapes of their own
    environment = os.environ | {"FIND_CHECK_SHAPES": PACKAGES}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_shape_is_told():
    script = """
import sys
sys.path.insert(0, "tests")
from jaxtyping import install_import_hook
install_import_hook(["find.interface"], "shapes.checked")
import torch
from find.interface import Slots
Slots.of(torch.zeros(2, 3, dtype=torch.bool))
Slots.of(torch.zeros(2, 3))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "TypeCheckError" in done.stderr
    assert 'File "<string>", line 9' in done.stderr  # the second call
