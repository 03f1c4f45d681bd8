"""What a training run leaves behind besides Lightning's checkpoints: the model as safetensors, and its curves."""

import csv
from pathlib import Path

import lightning as L
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only


class SaveInterface(L.Callback):
    """Writes the model in the format of `FIND.from_pretrained` after every epoch and at the end.

    Args:
        folder: where to; relative to the run's folder.
    """

    def __init__(self, folder: str = "model") -> None:
        self.folder = folder

    @rank_zero_only
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pl_module.find.save_pretrained(run_folder(trainer) / self.folder)


class LossCurves(L.Callback):
    """Draws every task's loss over the steps to `curves.png` when training ends. Needs the CSV logger."""

    @rank_zero_only
    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        loggers = [logger for logger in trainer.loggers if isinstance(logger, CSVLogger)]
        if loggers:
            loggers[0].save()
            log = Path(loggers[0].log_dir) / "metrics.csv"
            if log.is_file():
                draw_curves(log, log.with_name("curves.png"))


def run_folder(trainer: L.Trainer) -> Path:
    """Where the run's files go: its logger's folder if it has one.

    `Trainer.log_dir` would say so too, but it waits for all processes, and only the first one saves.
    """
    folder = trainer.logger.log_dir if trainer.logger is not None else None
    return Path(folder or trainer.default_root_dir)


def draw_curves(log: Path, picture: Path) -> None:
    """The losses in a `metrics.csv` of the CSV logger, a panel each, training and validation."""
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
