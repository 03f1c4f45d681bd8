"""A run that was killed in the middle of an epoch goes on as if it had not been."""

from contextlib import suppress
from pathlib import Path

import lightning as L
import pytest
import torch
from small_run import CONFIG

from find.data.transforms import HorizontalFlip, LargeScaleJitter
from find.images.canvas import Resizing
from find.tasks.points import RandomPoints
from find.training.callbacks import LastCheckpoint
from find.training.datamodule import FindDataModule
from find.training.module import FINDModule
from find.world import generate_world

EPOCHS, STEPS = 2, 3


class Killed(Exception):
    """Stands for the plug that is pulled."""


class Watch(L.Callback):
    """Keeps what each step saw, drew and lost; pulls the plug before a step."""

    def __init__(self, kill_before: int | None = None) -> None:
        self.kill_before = kill_before
        self.seen: dict[int, tuple[list[int], float, float]] = {}

    def on_train_batch_start(self, trainer: L.Trainer, *_: object) -> None:
        if trainer.global_step == self.kill_before:
            raise Killed

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs, batch, number: int) -> None:
        drawn = [
            batch.image_ids,
            batch.captions,
            batch.drawn["grounding"].texts,
            batch.drawn["interleaved_segmentation"].queries,
            batch.images.double().mean().item(),
        ]
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.seen[trainer.global_step] = (drawn, rate, torch.rand(()).item(), outputs["loss"].item())


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("world") / "data"
    return generate_world(root, images=10, val_images=2, size=96, workers=1, progress=False)


def fit(world: Path, folder: Path, *, workers: int, kill_before: int | None = None, resume_at: bool = False) -> dict:
    L.seed_everything(7)
    watch = Watch(kill_before)
    module = FINDModule(CONFIG, learning_rate=3e-3, warmup=0.2, mask_sampling=RandomPoints(100))
    data = FindDataModule(
        world,
        batch_size=3,
        num_workers=workers,
        resizing=Resizing(96, 96, divisor=32),
        transforms=[LargeScaleJitter(96), HorizontalFlip()],
    )
    trainer = L.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        max_epochs=EPOCHS,
        callbacks=[watch, LastCheckpoint(every_n_train_steps=1)],
    )
    with suppress(Killed):
        trainer.fit(module, datamodule=data, ckpt_path=folder / "last.ckpt" if resume_at else None)
    return watch.seen


@pytest.mark.parametrize(("workers", "kills"), [(0, (1, 3, 4)), (2, (4,))], ids=["alone", "with persistent workers"])
def test_it_sees_draws_and_loses_what_it_would_have(world, tmp_path, workers, kills):
    """Killed in the first epoch, at its end and in the second."""
    whole = fit(world, tmp_path / "whole", workers=workers)
    assert list(whole) == list(range(1, EPOCHS * STEPS + 1))
    for done in kills:
        folder = tmp_path / str(done)
        before = fit(world, folder, workers=workers, kill_before=done)
        after = fit(world, folder, workers=workers, resume_at=True)
        assert list(before) == list(range(1, done + 1)) and list(after) == list(range(done + 1, EPOCHS * STEPS + 1))
        for step, seen in (before | after).items():
            assert seen[:3] == whole[step][:3], (done, step)
            assert seen[3] == pytest.approx(whole[step][3], rel=1e-6), (done, step)
