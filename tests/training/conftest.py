"""A small run on real images: camvid-coco at 96 pixels, the untrained tiny pair and a small interface."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from small_run import CONFIG

from find.data.batch import Batch
from find.images.canvas import Resizing
from find.training.datamodule import FindDataModule

RESIZING = Resizing(CONFIG.shortest_side, CONFIG.longest_side, divisor=32)
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
Settings = dict[str, dict]


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data(shared) -> FindDataModule:
    module = FindDataModule(shared / "camvid-coco", resizing=RESIZING, batch_size=3)
    module.setup()
    return module


@pytest.fixture(scope="session")
def batch(data) -> Batch:
    return next(iter(data.train_dataloader()))


@pytest.fixture
def write_config(shared, tmp_path) -> Callable[..., Path]:
    """Writes `configs/tiny.yaml`, cut down to two small steps an epoch, into a folder; `change` may edit it first."""

    def write(change: Callable[[Settings], object] = lambda settings: None) -> Path:
        settings = yaml.safe_load((CONFIGS / "tiny.yaml").read_text())
        settings["model"] |= {"config": CONFIG.to_dict(), "nested_widths": [8]}
        settings["data"] |= {"root": str(shared / "camvid-coco"), "batch_size": 3}
        settings["data"]["cache_in_memory"] = False
        settings["trainer"] |= {
            "accelerator": "cpu",
            "devices": 1,
            "precision": "32-true",
            "max_epochs": 1,
            "limit_train_batches": 2,
            "limit_val_batches": 1,
            "log_every_n_steps": 1,
            "default_root_dir": str(tmp_path / "run"),
        }
        change(settings)
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(settings))
        return file

    return write
