"""The layers of the package and the homes of heavy libraries: import-linter's contracts in pyproject.toml."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOOSE_MODULES = 8


def test_import_contracts_hold(capsys: pytest.CaptureFixture[str]):
    linter = pytest.importorskip("importlinter.cli", reason="needs: pip install import-linter")
    status = linter.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == linter.EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_few_modules_lie_outside_the_packages():
    assert len(list((ROOT / "find").glob("*.py"))) <= LOOSE_MODULES
