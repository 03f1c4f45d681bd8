"""A package adds encoders, a task, data and protocols: it is installed, trained and evaluated as users do it.

About 25 s on one core, of which 50 training steps take 15.
"""

import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder with the package's wheel unpacked; environments that uv made have no pip."""
    site, wheels = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(command, cwd=PLUGIN, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


@pytest.fixture(scope="module")
def call(installed: Path):
    """Runs Python modules as users do, with FIND and the package installed; gives what each one printed."""

    def run(*commands: list[str]) -> list[str]:
        path = os.pathsep.join(map(str, (installed, ROOT, Path(__file__).parent)))
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
        command = [sys.executable, "-m", "commands", json.dumps(commands)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=installed.parent)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("beads") / "data"


@pytest.fixture(scope="module")
def trained(call, data: Path, tmp_path_factory) -> Path:
    """The folder of a run of 50 steps on the package's own data."""
    run = tmp_path_factory.mktemp("run")
    options = ["--data.root", str(data), "--trainer.default_root_dir", str(run), "--trainer.accelerator", "cpu"]
    call(
        ["findvl_beads.make_data", str(data), "--images", "48", "--val-images", "8"],
        ["find.cli", "fit", "-c", str(PLUGIN / "train.yaml"), *options],
    )
    return run


@pytest.fixture(scope="module")
def printed(call, data: Path, trained: Path) -> list[str]:
    """What `findvl test`, `findvl bench run` and the checks of the parts print."""
    weights = str(trained / "model")
    configs = ["-c", str(PLUGIN / "train.yaml"), "-c", str(PLUGIN / "test.yaml"), "--trainer.accelerator", "cpu"]
    tested = ["find.cli", "test", *configs, "--data.root", str(data)]
    bench = ["--data", "beads", "--root", str(data), "--limit", "2", "--device", "cpu", "--out", str(trained / "bench")]
    return call(
        [*tested, "--weights", weights, "--out", str(trained / "figures.json")],
        ["find.cli", "bench", "run", "--model", weights, "--tasks", "pointing,counting", *bench],
        ["parts_of_plugin", str(data)],
    )


def test_only_the_package_itself_is_installed(installed: Path):
    assert sorted(path.name.partition("-")[0] for path in installed.iterdir()) == ["findvl_beads", "findvl_beads"]


def test_its_loss_falls(trained: Path):
    with (trained / "metrics.csv").open(newline="") as file:
        steps = [row for row in csv.DictReader(file) if row["train/loss"]]
    losses, counting = ([float(row[f"train/{name}"]) for row in steps] for name in ("loss", "counting"))
    assert len(losses) == 50
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert sum(counting[-10:]) < 0.8 * sum(counting[:10])  # of the package's own task
    model = json.loads((trained / "model" / "config.json").read_text())
    assert "filters:32" in json.dumps(model) and "hashing:64" in json.dumps(model)


def test_its_rows_are_in_the_table_and_its_figures_in_the_json(printed: list[str], trained: Path):
    out = trained / "figures.json"
    table, *_ = printed
    assert "pointing  hit" in table and "distance (pixels, lower is better)" in table
    figures = json.loads(out.read_text())
    assert set(figures["metrics"]) == {"panoptic", "counting", "pointing"}
    assert "mae (things, lower is better)" in table
    assert figures["counting"]["mae"] < 2  # of one to four beads of a kind
    assert 0 <= figures["pointing"]["hit"] <= 100 and figures["pointing"]["distance"] >= 0
    assert figures["details"]["pointing"]["tolerance"] == 2.0 and figures["details"]["pointing"]["images"] == 8
    low, high = figures["intervals"]["pointing"]["hit"]
    assert low <= figures["pointing"]["hit"] <= high
    assert figures["panoptic"]["mIoU"] > 15  # three colours on grey, after 50 steps
    assert "| pointing | distance (pixels, lower is better) |" in out.with_suffix(".md").read_text()


def test_the_benchmark_runs_its_protocols_by_their_names(printed: list[str], trained: Path):
    _, table, _ = printed
    assert "| pointing | hit |" in table and "| counting | mae (things, lower is better) |" in table
    results = json.loads((trained / "bench" / "results.json").read_text())
    assert set(results["metrics"]) == {"pointing", "counting"}


def test_each_part_keeps_the_contract_of_its_base_class(printed: list[str]):
    assert printed[-1].endswith("all well\n")
