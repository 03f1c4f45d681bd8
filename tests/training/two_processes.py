"""What each of two processes does in the tests of training: a run of Lightning's, what it saw written to a file."""

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path

import lightning as L
import torch
import torch.multiprocessing as mp
from lightning.pytorch.plugins.environments import LightningEnvironment
from processes import start_method
from small_run import CONFIG

from find.data.batch import Batch, Drawn
from find.images.canvas import Resizing
from find.query.query import RenderedQuery
from find.tasks.points import RandomPoints
from find.training.datamodule import FindDataModule
from find.training.module import FINDModule

RESIZING = Resizing(CONFIG.shortest_side, CONFIG.longest_side, divisor=32)


@dataclass(frozen=True)
class Step:
    """What a process saw of a training step."""

    batch: Batch
    losses: dict[str, float]
    gradients: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Seen:
    """What a process saw of a run."""

    steps: list[Step]
    validated: list[list[int]]
    validation: dict[str, float]
    sent: set[str]
    """What DDP sends from the first process to the others."""


def module() -> FINDModule:
    """Points at random and losses of all layers: the most that could differ. The weights stay as they are."""
    torch.manual_seed(0)
    return FINDModule(CONFIG, learning_rate=0.0, mask_sampling=RandomPoints(200), deep_supervision=True)


def without_segments(batch: Batch) -> Batch:
    empty = torch.full_like(batch.labels[:, :1], -1)
    for name in ("grounding", "interleaved_segmentation"):
        batch = batch.redrawn(name, targets=torch.zeros_like(batch.drawn[name].targets[..., :1]))
    strokes = batch.drawn["interactive"]
    nothing = {"strokes": torch.zeros_like(strokes.strokes), "targets": torch.full_like(strokes.targets, -1)}
    batch = batch.redrawn("interactive", **nothing)
    return replace(batch, labels=empty, segments=torch.full_like(batch.segments, -1))


def without_texts(batch: Batch) -> Batch:
    size, _, segments = batch.drawn["grounding"].targets.shape
    batch = batch.redrawn("grounding", texts=[[]] * size, targets=torch.zeros(size, 1, segments, dtype=torch.bool))
    return replace(without_entities(batch), captions=[""] * size)


def without_entities(batch: Batch) -> Batch:
    """And so without regions."""
    drawn = batch.drawn["interleaved_segmentation"]
    size, _, segments = drawn.targets.shape
    return batch.redrawn(
        "interleaved_segmentation",
        queries=[RenderedQuery("", (), ())] * size,
        targets=torch.zeros(size, 1, segments, dtype=torch.bool),
        padding=torch.ones(size, 1, dtype=torch.bool),
        regions=torch.zeros_like(drawn.regions[:, :1]),
        region_rows=torch.full((size, 1), -1),
    )


def unchanged(batch: Batch) -> Batch:
    return batch


CASES = (unchanged, without_segments, without_texts, without_entities)
"""Of the second process's batch, a step each."""


class Watched(FINDModule):
    """Keeps batches and gradients, and takes from the second process's batches what the step's case says."""

    def on_train_start(self) -> None:
        wrapped = self.trainer.strategy.model
        kept = getattr(wrapped, "parameters_to_ignore", set())
        names = {name for part in (self.named_parameters(), self.named_buffers()) for name, _ in part}
        self.sent = names - kept if wrapped is not self else set()

    def watch(self) -> None:
        self.steps: list[Step] = []
        self.validated: list[list[int]] = []

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        if self.trainer.training and self.global_rank == 1:
            batch = CASES[self.global_step](batch)
        self.batch = batch
        return batch

    def on_after_backward(self) -> None:
        learned = self.find.interface.named_parameters()
        self.gradients = {name: value.grad.clone() for name, value in learned}

    def on_train_batch_end(self, *arguments: object) -> None:
        super().on_train_batch_end(*arguments)
        logged = {n.removeprefix("train/"): v.item() for n, v in self.trainer.callback_metrics.items() if "train/" in n}
        self.steps.append(Step(self.batch, logged, self.gradients))

    def on_validation_batch_end(self, *_: object) -> None:
        self.validated.append(self.batch.image_ids)


def run(root: Path, *, batch_size: int, steps: int, **options: object) -> Seen:
    """A short epoch and its validation."""
    torch.set_num_threads(1)
    watched = module()
    watched.__class__ = Watched
    watched.watch()
    data = FindDataModule(root, batch_size=batch_size, resizing=RESIZING)
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        max_epochs=1,
        limit_train_batches=steps,
        **options,
    )
    trainer.fit(watched, datamodule=data)
    validation = {n: v.item() for n, v in trainer.callback_metrics.items() if n.startswith("val/")}
    return Seen(watched.steps, watched.validated, validation, watched.sent)


class Started(LightningEnvironment):
    """Both processes are there already."""

    def __init__(self, rank: int, port: int) -> None:
        super().__init__()
        self._main_port, self._rank = port, rank

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_port(self) -> int:
        return self._main_port

    def local_rank(self) -> int:
        return self._rank


def _one_of_two(rank: int, root: str, out: str, port: int) -> None:
    os.environ["LOCAL_RANK"] = str(rank)
    plugins = [Started(rank, port)]
    seen = run(Path(root), batch_size=3, steps=len(CASES), devices=2, strategy="ddp", plugins=plugins)
    torch.save(seen, f"{out}/{rank}.pt")


def run_in_two_processes(root: Path, out: Path, port: int) -> tuple[Seen, Seen]:
    """Forked, since importing takes longer than all else."""
    mp.start_processes(_one_of_two, (str(root), str(out), port), nprocs=2, start_method=start_method())
    return tuple(torch.load(out / f"{rank}.pt", weights_only=False) for rank in (0, 1))


def joined(first: Batch, second: Batch) -> Batch:
    """Both batches as one."""
    rows = second.drawn["interleaved_segmentation"].region_rows
    shifted = torch.where(rows >= 0, rows + len(first), -1)
    return _over(first, second.redrawn("interleaved_segmentation", region_rows=shifted))


PADDING = {"labels": -1, "region_rows": -1, "padding": 1}
"""Of fields that are not padded with zeros."""


def _over(first: Drawn, second: Drawn) -> Drawn:
    """One over another; tensors are padded to the same sizes."""
    values = {}
    for field in fields(first):
        one, other = (getattr(drawn, field.name) for drawn in (first, second))
        if isinstance(one, torch.Tensor):
            strokes = field.name == "targets" and one.dtype == torch.int64
            values[field.name] = _padded(one, other, -1 if strokes else PADDING.get(field.name, 0))
        elif isinstance(one, dict):
            values[field.name] = {name: _over(part, other[name]) for name, part in one.items()}
        else:
            values[field.name] = [*one, *other]
    return type(first)(**values)


def _padded(first: torch.Tensor, second: torch.Tensor, fill: int) -> torch.Tensor:
    shape = [max(sizes) for sizes in zip(first.shape[1:], second.shape[1:], strict=True)]
    wide = [tensor.new_full((len(tensor), *shape), fill) for tensor in (first, second)]
    for target, tensor in zip(wide, (first, second), strict=True):
        target[tuple(slice(size) for size in tensor.shape)] = tensor
    return torch.cat(wide)
