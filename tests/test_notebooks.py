"""The notebooks of docs/ run from their first cell to the last, and are stored without what they gave."""

import os
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs: pip install nbclient ipykernel")
nbclient = pytest.importorskip("nbclient", reason="needs: pip install nbclient ipykernel")
pytest.importorskip("ipykernel", reason="needs: pip install nbclient ipykernel")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
FAST = {"quick_start"}


def _command_folder(tmp_path: Path) -> Path:
    """Holds the command findvl of this checkout, whatever is installed."""
    command = tmp_path / "bin" / "findvl"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m find.cli "$@"\n')
    command.chmod(0o755)
    return command.parent


def cells(notebook: Path):
    return nbformat.read(notebook, as_version=4)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(notebook: Path):
    content = cells(notebook)
    nbformat.validate(content)
    assert content.cells[0].cell_type == "markdown" and content.cells[0].source.startswith("# ")
    for cell in content.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
    assert notebook.stat().st_size < 20_000


@pytest.mark.parametrize(
    "notebook",
    [pytest.param(path, marks=[] if path.stem in FAST else [pytest.mark.slow]) for path in NOTEBOOKS],
    ids=lambda path: path.stem,
)
def test_notebooks_run_and_show_pictures(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("PATH", os.pathsep.join([str(_command_folder(tmp_path)), os.environ["PATH"]]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    content = cells(notebook)
    nbclient.NotebookClient(
        content, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()  # raises what a cell raises
    kinds = {kind for cell in content.cells for output in cell.get("outputs", []) for kind in output.get("data", {})}
    assert "image/png" in kinds or notebook.stem == "extend"
