"""Two processes that share the interface learn what two that each have all of it learn, and leave the same files."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from find.model.model import FIND

pytestmark = pytest.mark.slow  # each run starts two processes


def fit(config: Path, folder: Path, *options: str) -> list[dict[str, str]]:
    """Runs `findvl fit` in two processes; gives the rows of metrics.csv."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "find.cli.main",
    ]
    words = ["fit", "-c", str(config), "--trainer.default_root_dir", str(folder), "--trainer.devices", "2", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command + words, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def losses(rows: list[dict[str, str]]) -> list[float]:
    return [float(row["train/loss"]) for row in rows if row["train/loss"]]


@pytest.fixture
def config(write_config) -> Path:
    def change(settings: dict[str, dict]) -> None:
        settings["data"]["batch_size"] = 2
        settings["trainer"]["limit_train_batches"] = 3
        settings["trainer"]["callbacks"][0]["init_args"] = {"every_n_train_steps": 2}

    return write_config(change)


def test_sharded_weights_learn_as_whole_ones_do(config, tmp_path):
    whole = fit(config, tmp_path / "whole", "--trainer.strategy", "ddp")
    shared = fit(config, tmp_path / "shared", "--trainer.strategy", "sharded")
    assert losses(shared) == pytest.approx(losses(whole), rel=1e-4) and len(losses(whole)) == 3
    one, other = (FIND.from_pretrained(tmp_path / run / "model") for run in ("whole", "shared"))
    for name, value in one.interface.state_dict().items():
        torch.testing.assert_close(other.interface.state_dict()[name], value, rtol=1e-3, atol=1e-4, msg=name)

    checkpoint = tmp_path / "shared" / "last.ckpt"
    resumed = fit(config, tmp_path / "resumed", "--trainer.strategy", "sharded", "--ckpt_path", str(checkpoint))
    assert losses(resumed)[-1] == pytest.approx(losses(shared)[-1], rel=1e-4)
