"""Files that a run writes to `trainer.default_root_dir`: checkpoint, model, losses and their curves; progress bars."""

import csv
import math
import shlex
from pathlib import Path
from typing import Any

import lightning as L
import rich
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import RichProgressBarTheme
from lightning.pytorch.utilities import rank_zero_only
from rich.markup import escape

from find.training.loggers import MetricsFile
from find.training.optimisation import Pace
from find.training.sharding import WholeStep, save_sharded


class LastCheckpoint(ModelCheckpoint):
    """Writes `last.ckpt` to the run's folder, independently of the loggers; `--ckpt_path` resumes from it.

    Args:
        every_n_train_steps: how often it is written; None: after every epoch.
    """

    def __init__(self, every_n_train_steps: int | None = None) -> None:
        super().__init__(filename="last", enable_version_counter=False, every_n_train_steps=every_n_train_steps)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.dirpath = trainer.default_root_dir
        super().setup(trainer, pl_module, stage)


class LossBar(RichProgressBar):
    """Rich's progress bar with the remaining time of the whole run, estimated from its latest steps, and every task's
    loss under a short name. If the output is not a terminal, it prints ten lines per run instead."""

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_format=".2f"))
        self.pace = Pace()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.pace = Pace()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *step: Any) -> None:
        self.pace.mark()
        super().on_train_batch_end(trainer, pl_module, *step)
        steps, done = pl_module.progress.steps, trainer.global_step
        if not rich.get_console().is_terminal and 10 < steps < math.inf and done % math.ceil(steps / 10) == 0:
            print(f"step {done} of {steps:.0f}, {self.to_go(trainer, pl_module)} to go", flush=True)

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, float | str]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)  # the loggers' version number of the run
        losses = {name.removeprefix("train/"): value for name, value in metrics.items()}
        return {"to go": self.to_go(trainer, pl_module), **losses}

    def to_go(self, trainer: L.Trainer, pl_module: L.LightningModule) -> str:
        """Remaining time, by steps or by minutes; "?" until it is known."""
        pace = self.pace.seconds
        seconds = math.inf if pace is None else pl_module.progress.to_go(trainer.global_step, pace)
        return "?" if math.isinf(seconds) else format_duration(seconds)


def format_duration(seconds: float) -> str:
    """45 s, 6 min, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class SaveInterface(L.Callback):
    """Writes the model in the format of `FIND.from_pretrained` after every epoch and at the end.

    Args:
        folder: target folder, relative to the run's folder.
    """

    def __init__(self, folder: str = "model") -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        folder = Path(trainer.default_root_dir) / self.folder
        if isinstance(pl_module.criterion, WholeStep):
            save_sharded(pl_module.find, pl_module.criterion, folder, write=trainer.is_global_zero)
        elif trainer.is_global_zero:
            pl_module.find.save_pretrained(folder)

    @rank_zero_only
    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        folder = Path(trainer.default_root_dir) / self.folder
        settings = Path(trainer.default_root_dir) / "config.yaml"  # written by the command line, with the data's folder
        config = shlex.quote(str(settings)) if settings.is_file() else "CONFIG --data.root DATA"
        rich.get_console().print(f"[bold]the model is in {escape(str(folder))}[/]; next:", soft_wrap=True)
        command = f"findvl test -c {config} --weights {shlex.quote(str(folder))}"
        rich.get_console().print(f"  {escape(command)}", soft_wrap=True)


class LossCurves(L.Callback):
    """Writes every task's loss to `metrics.csv`, in addition to other loggers, and draws `curves.png` at the end.

    A resumed run appends to the existing rows.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit":
            self.metrics = MetricsFile(Path(trainer.default_root_dir) / "metrics.csv")
            trainer.loggers = [*trainer.loggers, self.metrics]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.ckpt_path is not None:
            self.metrics.resume(trainer.global_step)

    @rank_zero_only
    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.metrics.write()
        if self.metrics.rows:
            draw_curves(self.metrics.file, self.metrics.file.with_name("curves.png"))


def draw_curves(log: Path, picture: Path) -> None:
    """Plots the losses in `metrics.csv`, one panel per task, for training and validation."""
    from matplotlib.figure import Figure

    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with log.open(newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                stage, _, task = name.removesuffix("_step").partition("/")
                if stage in ("train", "val") and value and not name.endswith("_epoch"):
                    curves.setdefault(task, {}).setdefault(stage, []).append((float(row["step"]), float(value)))
    names = sorted(curves, key=lambda name: (name != "loss", name))
    columns = min(3, max(len(names), 1))
    lines = -(-len(names) // columns) or 1
    figure = Figure(figsize=(4 * columns, 2.6 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).flatten()
    for axis, name in zip(axes, names, strict=False):
        for stage, style in (
            ("train", {"color": "#2563eb", "lw": 1}),
            ("val", {"color": "#d97706", "marker": "o", "ms": 3}),
        ):
            points = curves[name].get(stage)
            if points:
                axis.plot(*zip(*points, strict=True), label=stage, **style)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
        axis.legend(frameon=False, fontsize=8)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    figure.savefig(picture, dpi=110)
