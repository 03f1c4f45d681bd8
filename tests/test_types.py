"""Claims about types: mypy is strict, but for a list of modules in pyproject.toml that can only shrink."""

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
MOST_EXEMPT = 20
"""Modules that may be exempt; to be lowered with each that becomes strict, never raised."""


@pytest.fixture
def settings():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]


def test_modules_are_strict_but_for_those_that_are_listed(settings, tmp_path):
    """Without the list, the modules with errors are exactly those of the list: one that is strict must leave it."""
    pytest.importorskip("mypy", reason="needs: pip install mypy")
    if tuple(map(int, version("numpy").split(".")[:2])) < (2, 2):
        pytest.skip("types are checked against the types of current libraries")
    (overrides,) = settings.pop("overrides")
    lines = [f"{key} = {', '.join(value) if isinstance(value, list) else value}" for key, value in settings.items()]
    (tmp_path / "mypy.ini").write_text("\n".join(["[mypy]", *lines]), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", tmp_path / "mypy.ini", "--no-error-summary"]
    run = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    errors = [line for line in run.stdout.splitlines() if ": error: " in line]
    wrong = {line.partition(":")[0].removesuffix(".py").replace("/", ".").removesuffix(".__init__") for line in errors}
    listed = set(overrides["module"])
    of_others = [line for line in errors if line.partition(":")[0].removesuffix(".py").replace("/", ".") not in listed]
    assert not wrong - listed, "\n".join(of_others)
    assert not listed - wrong, f"these are strict now; take them off the list: {sorted(listed - wrong)}"


def test_the_list_of_exempt_modules_only_shrinks(settings):
    (overrides,) = settings["overrides"]
    assert len(overrides["module"]) <= MOST_EXEMPT
    assert overrides["module"] == sorted(set(overrides["module"]))


def test_the_package_says_that_it_has_types():
    assert (ROOT / "find" / "py.typed").is_file()
