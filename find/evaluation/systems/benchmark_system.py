"""Systems that can be benchmarked, named by a spec: FIND by its folder or name, or a baseline on another library."""

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
    """A system, what it is called in tables, how it enters (one sentence), and the tasks that it can do."""

    system: Any
    name: str
    about: str
    tasks: tuple[Task, ...]

    def choose(self, tasks: Sequence[str] | None) -> list[str]:
        """The names of the tasks asked for, or of all that it can do.

        Protocols of other packages may be among them: whether it can do these is known when they ask it.

        Raises:
            FindError: it cannot do one of the published tasks that are asked for.
        """
        able = [task.value for task in self.tasks]
        if tasks is None:
            return able
        for task in tasks:
            if task in PUBLISHED and task not in able:
                raise InputError(f"{self.name} does not do the task {task!r}; it can do {', '.join(able)}")
        return list(tasks)

    def check_studies(self, studies: Sequence[str]) -> None:
        """Raises `FindError` for a study of tasks that it cannot do."""
        needed = {
            Study.VARIANTS: {Task.INTERLEAVED_SEGMENTATION, Task.INTERLEAVED_RETRIEVAL},
            Study.PROBES: {Task.INTERLEAVED_RETRIEVAL},
        }
        for study in map(Study, studies):
            missing = needed[study] - set(self.tasks)
            if missing:
                names = " and ".join(sorted(task.value for task in missing))
                raise InputError(f"{self.name} does not do the study {study.value!r}, for it cannot do {names}")


def load_entrant(spec: str, *, device: torch.device) -> BenchmarkSystem:
    """The system that a spec names: `PREFIX:...` for a baseline (see `find.evaluation.systems`), else a FIND model.

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
            "colon and a name behind it), and anything else is the name or folder of a FIND model"
        )
    from find.model.model import FIND

    model = FIND.from_pretrained(spec, device=device).eval()
    name = spec if not Path(spec).exists() else Path(spec).name
    return BenchmarkSystem(model, name, "FIND: one interface for all tasks", tuple(Task))
