"""The six tasks of FIND and those of other packages, found by name through the entry points of `find.tasks`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from find.errors import InputError
from find.tasks.task import Task
from find.utils.entry_points import declared, load_named

TASKS = "find.tasks"
"""The group of entry points."""
CORE = (
    "panoptic",
    "grounding",
    "interactive",
    "interleaved_segmentation",
    "retrieval",
    "interleaved_retrieval",
)
"""The tasks that every model has."""


def load_task(name: str) -> Task:
    """A task by its entry point's name or its class path, untrained.

    Raises:
        InputError: there is no task of that name, or it is not a `Task`.
    """
    kind = load_named(name, TASKS, "task")
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        raise InputError(f"task {name!r} is {kind!r}, which is not a subclass of find.tasks.Task")
    return kind()


def load_tasks(more: Iterable[str] = ()) -> list[Task]:
    """The core tasks, and more by their names or class paths."""
    return check_tasks([load_task(name) for name in (*CORE, *more)])


def check_tasks(tasks: Sequence[Task]) -> list[Task]:
    """Rejects duplicate names, and tasks that come before those that they need.

    Raises:
        InputError: the message names the task.
    """
    names: list[str] = []
    losses: dict[str, str] = {}
    for task in tasks:
        if not task.name.isidentifier():
            raise InputError(f"a task is named {task.name!r}; a name has letters, digits and _ only")
        if task.name in names:
            raise InputError(f"two tasks are named {task.name!r}; give one of them another name")
        missing = [name for name in task.needs if name not in names]
        if missing:
            raise InputError(f"task {task.name!r} needs {' and '.join(missing)} before it")
        for loss in task.weights:
            other = losses.setdefault(loss, task.name)
            if other != task.name:
                raise InputError(f"tasks {other!r} and {task.name!r} both have a loss {loss!r}; rename one of them")
        names.append(task.name)
    return list(tasks)


def name_of(task: Task) -> str:
    """The name by which `load_task` finds a task's class: that of its entry point, or its class path."""
    path = f"{type(task).__module__}:{type(task).__qualname__}"
    named = [name for name, point in declared(TASKS).items() if point.value == path]
    return named[0] if named else path.replace(":", ".")
