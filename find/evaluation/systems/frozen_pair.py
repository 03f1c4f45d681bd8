"""The foundations of a FIND model without its interface, in the retrieval tasks."""

from __future__ import annotations

import torch

from find.evaluation.systems.frozen_foundations import BASELINE_TASKS, FrozenPair
from find.model.model import FIND


class NamedPair(FrozenPair):
    """A `FrozenPair` that enters the benchmark."""

    tasks = BASELINE_TASKS
    about = "the frozen encoders alone; regions are represented by the words that they replaced"


def load_frozen_pair(name: str, *, device: torch.device) -> NamedPair:
    """The encoders of a FIND model. Raises `FindError` if they have no common space."""
    model = FIND.from_pretrained(name, device=device).eval()
    return NamedPair(vision=model.vision, language=model.language)
