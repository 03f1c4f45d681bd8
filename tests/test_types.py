"""Claims about types: mypy is strict, and no module is exempt."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def settings():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]


def test_types_are_strict():
    pytest.importorskip("mypy", reason="needs: pip install mypy")
    if tuple(map(int, version("numpy").split(".")[:2])) < (2, 2):
        pytest.skip("types are checked against the types of current libraries")
    command = [sys.executable, "-m", "mypy", "--no-error-summary"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_module_is_exempt(settings):
    assert settings["strict"] is True
    assert {Path(name).name for name in settings["files"]} >= {"query", "interface", "tasks", "model", "retrieval"}
    ours, others = settings["overrides"]
    assert (ours["module"], *sorted(ours.keys() - {"module"})) == ("find.model.model", "disable_error_code")
    assert others.keys() == {"module", "follow_imports"} and not [name for name in others["module"] if "find" in name]


def test_the_package_says_that_it_has_types():
    assert (ROOT / "find" / "py.typed").is_file()
