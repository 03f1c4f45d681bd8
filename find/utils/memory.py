"""Out-of-memory errors: detection, messages, and batches that are halved until they fit."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence, Sized
from functools import wraps
from typing import TypeVar

import torch
from typing_extensions import ParamSpec

from find.errors import FindError, warn_caller

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

SHORTAGE = re.compile(
    r"out of memory|DefaultCPUAllocator: can't allocate|not enough memory|CUBLAS_STATUS_ALLOC_FAILED", re.IGNORECASE
)
"""Out-of-memory messages of torch allocators without an exception class: CPU, MPS, cuBLAS."""
FITTING = "_fitting_batches"
MANY = 1 << 30


class OutOfMemory(FindError):
    """Not even one item at a time fits into memory."""

    @classmethod
    def because(cls, reason: str) -> OutOfMemory:
        return cls(
            f"out of memory, even with one item at a time ({reason}); end what else uses this device, take another "
            "device, or a model that takes smaller images"
        )


class SmallerBatches(UserWarning):
    """A batch did not fit into memory and was split into smaller ones."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that an allocation failed, on a device or on the CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and SHORTAGE.search(str(error)) is not None


class FittingBatches:
    """A batch size that is halved until batches fit into memory; it stays reduced, so the user is warned once.

    Args:
        size: the largest to try.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, attempt: Callable[[int], R], count: int) -> R:
        """Calls `attempt` with a batch size that fits; `count` is the number of items in all.

        Raises:
            OutOfMemory: one item at a time does not fit.
        """
        size = asked = min(self.size, max(count, 1))
        while True:
            try:
                found = attempt(size)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            else:
                if size < asked:
                    self.size = size
                    warn_caller(f"out of memory with a batch of {asked}; batches of {size} fit", SmallerBatches)
                return found
            # Outside of the handler, whose error holds the frames with all the tensors of the attempt.
            if size == 1:
                raise OutOfMemory.because(reason)
            size //= 2
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()

    def each(self, work: Callable[[Sequence[T]], R], items: Sequence[T]) -> list[R]:
        """Yields the result of `work` for consecutive batches that fit."""
        return self.run(
            lambda size: [work(items[start : start + size]) for start in range(0, len(items), size)], len(items)
        )


def halving(method: Callable[P, R]) -> Callable[P, R]:
    """Decorates a model's method that has a `batch_size`, which is halved until batches fit into memory.

    The size that fitted is also the maximum of later calls.
    """
    signature = inspect.signature(method)

    @wraps(method)
    def halved(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        model, items, *_ = bound.arguments.values()
        asked: int = bound.arguments["batch_size"]
        known: dict[str, FittingBatches] = model.__dict__.setdefault(FITTING, {})
        batches = known.setdefault(method.__name__, FittingBatches(MANY))

        def attempt(size: int) -> R:
            bound.arguments["batch_size"] = size
            return method(*bound.args, **bound.kwargs)

        return batches.run(attempt, min(asked, len(items) if isinstance(items, Sized) else asked))

    return halved
