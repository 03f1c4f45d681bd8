"""Work shared by processes so that results do not depend on how many there are.

Chunks of images are dealt round to the processes, so each chunk is the same whatever their number; what was found is
put back in the order of the images, and only the ordered whole is summed, in every process.
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
    """The process group of `torchrun`, made here unless there is one, and taken down where it was made."""
    if dist.is_initialized() or int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ:
        yield
        return
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def place() -> tuple[int, int]:
    """Number of this process, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def is_first() -> bool:
    """Whether this process is the one that writes and prints; also outside of `processes`."""
    return place()[0] == 0 if dist.is_initialized() else os.environ.get("RANK", "0") == "0"


def in_order(
    items: Sequence[T],
    work: Callable[[Sequence[T]], Sequence[R]],
    *,
    batch_size: int,
    title: str,
    progress: bool = False,
) -> list[R]:
    """`work` on consecutive chunks of the items, by all processes; one result an item, in the items' order.

    Chunks for which memory does not suffice are halved.

    Raises:
        FindError: in every process, whichever one met it, and in all others where one failed in another way.
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
    except BaseException as error:  # of any kind: the others wait to be told
        if world == 1:
            raise
        failure = error
    if world == 1:
        return [result for results in mine for result in results]
    shares: list[tuple[list[list[R]], str | None]] = [([], None)] * world
    dist.all_gather_object(shares, (mine, None if failure is None else _told(failure, rank)))
    if failure is not None and not isinstance(failure, FindError):
        raise failure
    for _, problem in shares:
        if problem is not None:
            raise FindError(problem)
    return [result for number in range(len(chunks)) for result in shares[number % world][0][number // world]]


def _told(failure: BaseException, rank: int) -> str:
    """What the other processes say of one's failure."""
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
    """The same for rows of tensors: `work` gives for a chunk some tensors with one row an item.

    The whole is never held twice, which for object vectors of thousands of images matters.
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
