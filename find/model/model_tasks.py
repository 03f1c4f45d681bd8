"""The tasks of a model: the six core ones as its conventions want them."""

from dataclasses import replace

from find.model.config import Conventions
from find.tasks import interactive, interleaved
from find.tasks.core import load_tasks
from find.tasks.interactive import Interactive
from find.tasks.interleaved_segmentation import InterleavedSegmentation
from find.tasks.prompted import Metric, Space
from find.tasks.task import Task


def tasks_of(conventions: Conventions) -> dict[str, Task]:
    """By name, in the order in which a training step takes them."""
    tasks = {task.name: task for task in load_tasks()}
    metric = Metric.DOT if conventions.dot_products else Metric.COSINE
    region_space = Space.PIXEL if conventions.regions_by_pixel else Space.SEMANTIC
    for task in tasks.values():
        if isinstance(task, Interactive):
            task.compared = replace(interactive.TASK, metric=metric)
        if isinstance(task, InterleavedSegmentation):
            task.words = replace(interleaved.TASK, metric=metric)
            task.regions = replace(interleaved.TASK, metric=metric, space=region_space)
    return tasks
