"""The main job's training: `findvl fit` with the embedded default's config for some hundred steps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

BATCH = 16
"""In so short a run more steps beat larger batches."""


@dataclass(frozen=True)
class TrainingRecord:
    """What a training came to.

    Attributes:
        steps, planned: steps done, and those that it was to take.
        minutes: that it took.
        cap: minutes after which it had to stop; None: no matter how long.
        precision: what it computed in, by Lightning's name.
    """

    steps: int
    planned: int
    minutes: float
    cap: float | None
    precision: str

    @property
    def is_complete(self) -> bool:
        return self.steps >= self.planned

    @property
    def summary(self) -> str:
        """Such as "300 steps" and "stopped at step 120 of 300"."""
        return f"{self.steps} steps" if self.is_complete else f"stopped at step {self.steps} of {self.planned}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "summary": self.summary}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainingRecord:
        return cls(**{name: value for name, value in values.items() if name != "summary"})


def train(
    config: Path, world: Path, run: Path, *, steps: int, cap: float | None, device: torch.device
) -> TrainingRecord:
    """Trains on a world; checkpoint-free, all files in one folder.

    Args:
        config: that the run starts from.
        run: the folder.
        cap: minutes after which it stops, wherever it is, with its learning rate at zero.
    """
    from find.cli.training import main as findvl

    run.mkdir(parents=True, exist_ok=True)
    overrides = run / "demo.yaml"
    overrides.write_text(yaml.safe_dump(training_overrides(world, run, steps, cap, device)), encoding="utf-8")
    fit = findvl(["fit", "-c", str(config), "-c", str(overrides)])
    progress = fit.model.progress
    return TrainingRecord(fit.trainer.global_step, steps, progress.seconds / 60, cap, fit.trainer.precision)


def training_overrides(world: Path, run: Path, steps: int, cap: float | None, device: torch.device) -> dict[str, Any]:
    """What differs from the embedded default's config: data, length, device, and the one folder for all files."""
    return {
        "data": {"root": str(world), "batch_size": BATCH},
        "model": {"minutes": cap},
        "trainer": {
            "accelerator": device.type,
            "devices": 1 if device.index is None else [device.index],
            "max_epochs": -1,
            "max_steps": steps,
            "default_root_dir": str(run),
            "enable_checkpointing": False,
            "limit_val_batches": 4,
            "callbacks": [
                {"class_path": "find.training.callbacks.LossBar"},
                {"class_path": "find.training.callbacks.SaveInterface"},
                {"class_path": "find.training.callbacks.LossCurves"},
            ],
        },
    }
