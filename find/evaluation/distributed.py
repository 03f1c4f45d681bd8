"""Distributed evaluation whose results do not depend on the number of processes.

Chunks of images are dealt to the processes round-robin, so chunks are the same for any number of processes; results are
gathered in the order of the images, and every process computes the figures from this complete list.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from find.errors import FindError
from find.utils.memory import FittingBatches
from find.utils.progress import track

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def processes() -> Iterator[None]:
    """The process group of `torchrun`; created and destroyed here unless there is one already."""
    if dist.is_initialized() or int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ:
        yield
        return
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def place() -> tuple[int, int]:
    """Rank of this process, and the number of processes."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def is_first() -> bool:
    """Whether this process is the one that writes and prints; works outside of `processes`, too."""
    return place()[0] == 0 if dist.is_initialized() else os.environ.get("RANK", "0") == "0"


def in_order(
    items: Sequence[T],
    work: Callable[[Sequence[T]], Sequence[R]],
    *,
    batch_size: int,
    title: str,
    progress: bool = False,
) -> list[R]:
    """Runs `work` on consecutive chunks of the items, in all processes; returns one result per item, in order.

    Chunks that do not fit into memory are halved.

    Raises:
        FindError: in every process if one raised it, and in the others if one failed in any other way.
    """
    chunks = [items[start : start + batch_size] for start in range(0, len(items), batch_size)]
    rank, world = place()
    mine: list[list[R]] = []
    failure: BaseException | None = None
    try:
        batches = FittingBatches(batch_size)
        for chunk in track(chunks[rank::world], title, shown=progress and rank == 0, transient=True):
            results = [result for part in batches.each(work, chunk) for result in part]
            if len(results) != len(chunk):
                raise FindError(f"{title}: {len(results)} answers to {len(chunk)} questions")
            mine.append(results)
    except BaseException as error:  # any exception, because the other processes wait for the outcome
        if world == 1:
            raise
        failure = error
    if world == 1:
        return [result for results in mine for result in results]
    shares: list[tuple[list[list[R]], str | None]] = [([], None)] * world
    dist.all_gather_object(shares, (mine, None if failure is None else _failure_text(failure, rank)))
    if failure is not None and not isinstance(failure, FindError):
        raise failure
    for _, problem in shares:
        if problem is not None:
            raise FindError(problem)
    return [result for number in range(len(chunks)) for result in shares[number % world][0][number // world]]


def _failure_text(failure: BaseException, rank: int) -> str:
    """The error message in the other processes when one has failed."""
    if isinstance(failure, FindError):
        return str(failure)
    reason = [type(failure).__name__, *str(failure).splitlines()[:1]]
    return f"process {rank} failed, see its own message: {': '.join(reason)}"


def rows_in_order(
    items: Sequence[T],
    work: Callable[[Sequence[T]], Sequence[Tensor]],
    *,
    batch_size: int,
    title: str,
    progress: bool = False,
) -> list[Tensor]:
    """The same for rows of tensors: `work` returns tensors with one row per item of a chunk.

    The complete result is never held twice, which matters for the object vectors of thousands of images.
    """
    _, world = place()
    wholes: list[Tensor] = []
    batches = FittingBatches(batch_size)

    def keep(start: int, rows: Sequence[Tensor]) -> None:
        if not wholes:
            wholes.extend(row.new_empty(len(items), *row.shape[1:]) for row in rows)
        for whole, part in zip(wholes, rows, strict=True):
            whole[start : start + len(part)] = part

    numbers = list(range(0, len(items), batch_size))

    def embed(chunk: Sequence[int]) -> list[tuple[tuple[torch.Size, torch.dtype], ...]]:
        (start,) = chunk
        parts = batches.each(work, items[start : start + batch_size])
        rows = parts[0] if len(parts) == 1 else [torch.cat(part) for part in zip(*parts, strict=True)]
        keep(start, rows)
        return [tuple((row.shape[1:], row.dtype) for row in rows)]

    shapes = in_order(numbers, embed, batch_size=1, title=title, progress=progress)
    if world == 1 or not shapes:
        return wholes
    if not wholes:  # fewer chunks than processes
        wholes.extend(torch.empty(len(items), *shape, dtype=dtype) for shape, dtype in shapes[0])
    for number, start in enumerate(numbers):
        for whole in wholes:
            dist.broadcast(whole[start : start + batch_size], src=number % world)
    return wholes
