"""The tasks that the interface is trained for: the six of FIND, and the base classes for more (`Task`)."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from find.data.batch import Drawn
    from find.data.collate import Scenes
    from find.tasks.losses import SegmentationLosses, SegmentationWeights
    from find.tasks.segmentation import PromptedSegmentation, SegmentationTask
    from find.tasks.task import Gathering, Matching, PromptBatch, Step, Targets, Task, TaskModel

__all__ = [
    "Drawn",
    "Gathering",
    "Matching",
    "PromptBatch",
    "PromptedSegmentation",
    "Scenes",
    "SegmentationLosses",
    "SegmentationTask",
    "SegmentationWeights",
    "Step",
    "Targets",
    "Task",
    "TaskModel",
]

_HOME = {
    "Drawn": "find.data.batch",
    "Scenes": "find.data.collate",
    "SegmentationLosses": "find.tasks.losses",
    "SegmentationWeights": "find.tasks.losses",
    "PromptedSegmentation": "find.tasks.segmentation",
    "SegmentationTask": "find.tasks.segmentation",
}


def __getattr__(name: str) -> object:
    """Imports on first use: modules of this package import each other."""
    if name not in __all__:
        raise AttributeError(f"module 'find.tasks' has no attribute {name!r}")
    return getattr(import_module(_HOME.get(name, "find.tasks.task")), name)
