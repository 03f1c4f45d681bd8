"""Training steps on the device, as Lightning makes them: nothing mixed, the CPU's losses, and at most three waits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from pretended import DEVICE, Waits, back, counted, pretended, to_device
from small_run import CONFIG

from find.data.batch import Batch
from find.images.canvas import Resizing
from find.tasks.points import RandomPoints
from find.training.datamodule import FindDataModule
from find.training.module import FINDModule

MOST_WAITS = 3
"""In a step: the matching, whether the loss is a number, and one to spare."""
VARIANTS: dict[str, dict[str, Any]] = {
    "the last layer's losses": {},
    "deep supervision, nested widths, a pair term, a tagger and a match head": {
        "deep_supervision": True,
        "mask_sampling": RandomPoints(200),
        "nested_widths": [8, 16],
        "pair_width": 8,
        "tagger_width": 8,
        "match_width": 8,
    },
}


@pytest.fixture(scope="module")
def data(world: Path) -> FindDataModule:
    return FindDataModule(world, resizing=Resizing(96, 96, divisor=32), batch_size=3)


def module(kind: type[FINDModule], **options: Any) -> FINDModule:
    torch.manual_seed(0)
    widths = {name: options.pop(name, 0) for name in ("pair_width", "tagger_width", "match_width")}
    return kind(replace(CONFIG, interface=replace(CONFIG.interface, **widths)), **options)


class OnDevice(FINDModule):
    """Moves itself once Lightning has placed it; Lightning's accelerator, which moves batches, is the CPU's."""

    def configure_optimizers(self) -> dict[str, Any]:
        to_device(self.find)
        return super().configure_optimizers()

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(DEVICE, non_blocking=True)


class Losses(L.Callback):
    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.steps.append({name: float(back(value)) for name, value in trainer.callback_metrics.items()})


class WaitsOfSteps(L.Callback):
    """From the batch's arrival to the end of the optimizer's step."""

    def __init__(self) -> None:
        self.steps: list[Waits] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.counting = counted()
        self.steps.append(self.counting.__enter__())

    def on_train_batch_end(self, *_: Any) -> None:
        self.counting.__exit__(None, None, None)


def fit(module: FINDModule, data: FindDataModule, folder: Path, *callbacks: L.Callback) -> None:
    torch.manual_seed(0)
    trainer = L.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        max_steps=2,
        gradient_clip_val=0.01,
        callbacks=list(callbacks),
    )
    trainer.fit(module, datamodule=data)


@pytest.mark.parametrize("variant", VARIANTS)
def test_steps_have_the_cpus_losses_and_wait_at_most_three_times(variant, data, tmp_path):
    """Forward, matching, backward, clipping, logging and AdamW; two steps, so that the first one's gradients count."""
    expected, found, waits = Losses(), Losses(), WaitsOfSteps()
    fit(module(FINDModule, **VARIANTS[variant]), data, tmp_path, expected)
    with pretended():
        fit(module(OnDevice, **VARIANTS[variant]), data, tmp_path, waits, found)
    assert len(expected.steps) == 2
    for step, other, waited in zip(expected.steps, found.steps, waits.steps, strict=True):
        assert len(waited) <= MOST_WAITS and not waited.uploads, f"\n{waited}"
        assert other == pytest.approx(step, rel=1e-4)
