"""The tasks of a model: the six core ones, by its conventions, and those of other packages."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from find.errors import CheckpointError, InputError
from find.interface import Interface
from find.model.config import Conventions, FINDConfig
from find.tasks import interactive, interleaved
from find.tasks.core import check_tasks, load_task, load_tasks, name_of
from find.tasks.interactive import Interactive
from find.tasks.interleaved_segmentation import InterleavedSegmentation
from find.tasks.prompted import Metric, Space
from find.tasks.task import Task


def tasks_of(config: FINDConfig, interface: Interface, given: Sequence[Task]) -> dict[str, Task]:
    """The tasks by name, in the order of a training step. Tasks beyond the core create their parameters here, as
    parts of the interface.

    Args:
        given: tasks beyond the core; others that `config` names are found by their names.
    """
    core = load_tasks()
    for task in core:
        _follow(task, config.conventions)
    built = {name_of(task): task for task in given}
    named = [built.pop(name) if name in built else load_task(name) for name in config.tasks]
    more = [*named, *built.values()]
    tasks = check_tasks([*core, *more])
    for task in more:
        task.build(interface)
        interface.tasks[task.name] = task.to(interface.query_features.device)
    return {task.name: task for task in tasks}


def _follow(task: Task, conventions: Conventions) -> None:
    metric = Metric.DOT if conventions.dot_products else Metric.COSINE
    if isinstance(task, Interactive):
        task.compared = replace(interactive.TASK, metric=metric)
    if isinstance(task, InterleavedSegmentation):
        region_space = Space.PIXEL if conventions.regions_by_pixel else Space.SEMANTIC
        task.words = replace(interleaved.TASK, metric=metric)
        task.regions = replace(interleaved.TASK, metric=metric, space=region_space)


def find_task(tasks: Mapping[str, Task], wanted: str | Task) -> Task:
    """A model's task by its name, or itself.

    Raises:
        InputError: the model has no such task.
    """
    name = wanted if isinstance(wanted, str) else wanted.name
    found = tasks.get(name)
    if found is None:
        near = difflib.get_close_matches(name, tasks, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(tasks)}"
        raise InputError(f"the model has no task {name!r}; {hint}")
    if isinstance(wanted, Task) and wanted is not found:
        raise InputError(f"this task {name!r} is not the one that the model was built with; give its name")
    return found


def check_named_tasks(config: FINDConfig, given: Sequence[Task], source: str) -> None:
    """Refuses to import class paths that a model's folder names: downloads must not run code."""
    unknown = [name for name in config.tasks if "." in name and name not in {name_of(task) for task in given}]
    if unknown:
        raise CheckpointError(
            f"{source} names the task {unknown[0]} by its class path, which is not imported for a file's sake; give "
            f"from_pretrained(..., tasks=[{unknown[0].rpartition('.')[2]}()]), or declare an entry point of find.tasks "
            "for it and name that in config.json"
        )
