"""Systems to benchmark, named by a spec: a FIND model by its folder or name, or a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from find.errors import InputError
from find.evaluation.evaluate import Study, Task
from find.evaluation.protocol_names import PUBLISHED
from find.evaluation.systems import PREFIXES, load_baseline


@dataclass(frozen=True)
class BenchmarkSystem:
    """A system, its name in tables, a one-sentence description, and its supported tasks."""

    system: Any
    name: str
    about: str
    tasks: tuple[Task, ...]

    def choose(self, tasks: Sequence[str] | None) -> list[str]:
        """The names of the requested tasks, or of all supported ones.

        Requested tasks may include protocols of other packages, whose support is known only when they run.

        Raises:
            FindError: a requested published task is not supported.
        """
        able = [task.value for task in self.tasks]
        if tasks is None:
            return able
        for task in tasks:
            if task in PUBLISHED and task not in able:
                raise InputError(f"{self.name} does not support the task {task!r}; it supports {', '.join(able)}")
        return list(tasks)

    def check_studies(self, studies: Sequence[str]) -> None:
        """Raises `FindError` for a study of unsupported tasks."""
        needed = {
            Study.VARIANTS: {Task.INTERLEAVED_SEGMENTATION, Task.INTERLEAVED_RETRIEVAL},
            Study.PROBES: {Task.INTERLEAVED_RETRIEVAL},
        }
        for study in map(Study, studies):
            missing = needed[study] - set(self.tasks)
            if missing:
                names = " and ".join(sorted(task.value for task in missing))
                raise InputError(f"{self.name} does not support the study {study.value!r}, which needs {names}")


def load_benchmark_system(spec: str, *, device: torch.device) -> BenchmarkSystem:
    """Loads the system of a spec: `PREFIX:...` for a baseline (see `find.evaluation.systems`), otherwise a FIND model.

    Raises:
        FindError: there is no such baseline or model, or it cannot be loaded.
    """
    prefix, colon, name = spec.partition(":")
    if colon and prefix in PREFIXES:
        baseline = load_baseline(prefix, name, device=device)
        return BenchmarkSystem(baseline, spec, baseline.about, baseline.tasks)
    if colon and not Path(spec).exists():
        raise InputError(
            f"{spec}: there is no kind of model {prefix!r}; the baselines are {', '.join(PREFIXES)} (each with a "
            "colon and a name after it), and anything else is the name or folder of a FIND model"
        )
    from find.model.model import FIND

    model = FIND.from_pretrained(spec, device=device).eval()
    name = spec if not Path(spec).exists() else Path(spec).name
    return BenchmarkSystem(model, name, "FIND: one interface for all tasks", tuple(Task))
