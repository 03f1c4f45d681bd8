"""AdamW for the interface: weight decay by parameter, a learning rate schedule by the completed fraction of the run,
and a check whether training can be deterministic."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator

import torch
from torch import nn

from find.errors import InputError
from find.interface import Interface


def parameter_groups(module: nn.Module, *, weight_decay: float) -> list[dict[str, object]]:
    """Matrices decay; biases, norms, learned queries, gains and temperatures do not."""
    decayed, kept = [], []
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        learned_tokens = name.startswith(("query_", "level_embed"))
        (kept if parameter.ndim < 2 or learned_tokens else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


def idle_parameters(interface: Interface) -> Iterator[nn.Parameter]:
    """Weights without a gradient in training, for which DDP would wait.

    These belong to feature levels that no layer attends to, and to memories, which carry the result of one round of
    strokes to the next.
    """
    unread = slice(len(interface.layers), None)
    for parts in (interface.sampler.projections, interface.level_projections):
        yield from parts[unread].parameters()
    if interface.memories is not None:
        yield from interface.memories.parameters()


def warmup_cosine(progress: float, *, warmup: float) -> float:
    """Learning rate factor at a fraction of the run in [0, 1]: linear warm-up, then half a cosine to zero."""
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * min((progress - warmup) / (1 - warmup), 1.0)))


class Progress:
    """The completed fraction of a run: of its steps, or of its minutes if a budget is given.

    Args:
        steps: number of steps of the run.
        minutes: the wall-clock budget, counted from the first step; None: no budget.
        spent: seconds of the budget that were spent before an interruption.
    """

    def __init__(
        self,
        *,
        steps: float,
        minutes: float | None,
        spent: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.steps = steps
        self.budget = None if minutes is None else 60 * minutes
        self.spent = spent
        self.clock = clock
        self.started: float | None = None
        self.asked = self.spent
        self.last_step = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of training, including those before an interruption; the first call of `at` starts the clock."""
        return self.spent + (0.0 if self.started is None else self.clock() - self.started)

    def at(self, step: int) -> float:
        """The completed fraction at the beginning of a step."""
        if self.started is None:
            self.started = self.clock()
        now = self.seconds
        self.asked, self.last_step = now, now - self.asked
        return self._share(step, now)

    def after(self, step: int) -> float:
        """The completed fraction at the beginning of the next step, if this step takes as long as the previous one."""
        return self._share(step + 1, self.asked + self.last_step)

    def _share(self, step: int, seconds: float) -> float:
        done = step / max(self.steps, 1)
        if self.budget is not None:
            done = max(done, seconds / self.budget)
        return min(done, 1.0)

    def to_go(self, step: int, pace: float) -> float:
        """Seconds until the run ends, at `pace` seconds per step; infinite if it has no end."""
        left = pace * max(self.steps - step, 0)
        return left if self.budget is None else min(left, max(self.budget - self.seconds, 0.0))

    def ended_early(self, step: int) -> bool:
        """Whether the time budget ended the run before its steps."""
        return self.budget is not None and step < self.steps < math.inf


class Pace:
    """Seconds per step, from the latest steps: the first steps of a process are not representative."""

    def __init__(self, *, over: int = 20, clock: Callable[[], float] = time.monotonic) -> None:
        self.ends: deque[float] = deque(maxlen=over + 1)
        self.clock = clock

    def mark(self) -> None:
        """Called at the end of each step."""
        self.ends.append(self.clock())

    @property
    def seconds(self) -> float | None:
        """None before there are two steps."""
        return None if len(self.ends) < 2 else (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)


def adamw(module: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameter_groups(module, weight_decay=weight_decay), lr=learning_rate, betas=(0.9, 0.98))


def check_deterministic(device: torch.device) -> None:
    """Raises FindError if bitwise reproducible steps (`--trainer.deterministic true`) are impossible."""
    asked = torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
    if asked and device.type != "cpu":
        raise InputError(
            f"--trainer.deterministic true: on {device.type} PyTorch has no deterministic implementation of what a "
            "training step needs (the gradient of bilinear sampling, the class loss over many proposals). Use "
            "--trainer.deterministic warn: the rest is deterministic and steps repeat up to rounding; or a CPU"
        )
