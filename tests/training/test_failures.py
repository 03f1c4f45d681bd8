"""What fails in one of two processes stops both, at once and by an error of each."""

import os
import re
import socket
import time
from dataclasses import replace
from pathlib import Path

import lightning as L
import pytest
import torch
import torch.multiprocessing as mp
from processes import start_method
from two_processes import RESIZING, Started, module

from find.data.batch import Batch
from find.errors import FindError
from find.training.datamodule import FindDataModule
from find.training.module import FINDModule
from find.world import generate_world

TOO_LONG = "a red dog " * 100
SECONDS = 120
"""That both may take for all failures; a process that waits for the other does so for half an hour."""


class Failing(FINDModule):
    """Fails in the second process, in its first step, in the way of its name."""

    def on_train_start(self) -> None:
        if self.global_rank == 1 and self.way == "matching":
            torch.nn.init.constant_(self.find.interface.query_features, float("nan"))
        if self.global_rank == 1 and self.way == "loss":
            self.criterion.weights = {"caption": float("nan")}

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        if self.global_rank == 1 and self.way == "text":
            return replace(batch, captions=[TOO_LONG, *batch.captions[1:]])
        return batch


WAYS = {
    "text": ("process 1 failed", "tokens"),
    "matching": ("process 1 failed", r"step 0 \(matching\).*nan_batch-rank1\.json"),
    "loss": (r"step 0 \(another process's batch\).*rank0\.json", r"step 0 \(caption\).*rank1\.json"),
}
"""What the first process says, and what the second one does."""


def fail(rank: int, root: str, out: str, port: int) -> None:
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = str(rank)
    for way in WAYS:
        failing = module()
        failing.__class__ = Failing
        failing.way = way
        trainer = L.Trainer(
            default_root_dir=out,
            accelerator="cpu",
            devices=2,
            strategy="ddp",
            plugins=[Started(rank, port)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            limit_val_batches=0,
            max_steps=2,
        )
        try:
            trainer.fit(failing, datamodule=FindDataModule(root, batch_size=2, resizing=RESIZING))
        except FindError as error:
            Path(out, f"{way}-{rank}.txt").write_text(str(error))


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> Path:
    root, out = tmp_path_factory.mktemp("world") / "data", tmp_path_factory.mktemp("said")
    generate_world(root, images=8, val_images=2, size=96, workers=1, progress=False)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = mp.start_processes(fail, (str(root), str(out), port), nprocs=2, start_method=start_method(), join=False)
    end = time.monotonic() + SECONDS
    while not running.join(timeout=1):
        if time.monotonic() > end:
            for process in running.processes:
                process.kill()
            pytest.fail(f"the processes wait for each other; they said {sorted(file.name for file in out.iterdir())}")
    return out


@pytest.mark.parametrize("way", WAYS)
def test_both_stop(said, way):
    for rank, expected in enumerate(WAYS[way]):
        assert re.search(expected, (said / f"{way}-{rank}.txt").read_text())
