"""Distributed training: contrastive losses over the joint batch, and failures that stop all processes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from find.errors import FindError


def is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _Gather(torch.autograd.Function):
    """Forward: gathers the rows of all processes. Backward: sums the gradients of all processes for this one's rows."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        ctx.counts = _row_counts(x)
        return _all_rows(x, ctx.counts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient.split(ctx.counts)[dist.get_rank()]


def gather_rows(x: Float[Tensor, "b ..."]) -> Float[Tensor, "all_b ..."]:
    """The rows of all processes in the order of their ranks; a single process gets its own.

    Processes may have different numbers of rows. If every process computes the same loss from the gathered rows, DDP's
    average of the gradients equals the gradient of one process with the joint batch.
    """
    return _Gather.apply(x) if is_distributed() else x


def gather_entities(
    entities: Float[Tensor, "b e d"], padding: Bool[Tensor, "b e"]
) -> tuple[Float[Tensor, "all_b all_e d"], Bool[Tensor, "all_b all_e"]]:
    """Entities of all processes and their padding, padded to the largest number of any process."""
    if not is_distributed():
        return entities, padding
    width = torch.tensor(padding.shape[1], device=padding.device)
    dist.all_reduce(width, op=dist.ReduceOp.MAX)
    missing = int(width) - padding.shape[1]
    padding = F.pad(padding, (0, missing), value=True)
    return gather_rows(F.pad(entities, (0, 0, 0, missing))), _all_rows(padding, _row_counts(padding))


def shares(counts: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """Factors for this process's means over `counts` objects.

    The average of the weighted means over processes (as DDP averages gradients) is the mean over the objects of all
    processes together; processes may have none. With one process: ones.
    """
    if not is_distributed():
        return torch.ones_like(counts)
    total = counts.clone()
    dist.all_reduce(total)
    return counts * dist.get_world_size() / total.clamp(min=1e-6)  # a weight of the background may be below 1


def mean_over_processes(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The mean over processes, without a gradient; NaN if it is NaN in any process."""
    x = x.detach()
    if not is_distributed():
        return x
    total = x.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


@contextmanager
def propagate_errors(device: torch.device) -> Iterator[None]:
    """A failure in one process stops all, so that none hangs in a collective; all processes must enter it.

    Raises:
        FindError: another process failed.
    """
    if not is_distributed():
        yield
        return
    own = None
    try:
        yield
    except Exception as error:
        own = error
    failed = torch.tensor(0 if own is None else dist.get_rank() + 1, device=device)
    dist.all_reduce(failed, op=dist.ReduceOp.MAX)
    if own is not None:
        raise own
    if failed:
        raise FindError(f"process {int(failed) - 1} failed, so the others stop; see its error message")


def _row_counts(x: Tensor) -> list[int]:
    counts = torch.zeros(dist.get_world_size(), dtype=torch.long, device=x.device)
    counts[dist.get_rank()] = len(x)
    dist.all_reduce(counts)
    return counts.tolist()


def _all_rows(x: Tensor, counts: list[int]) -> Tensor:
    """Collectives need equal shapes: rows are padded to the largest number, and the padding is removed again."""
    padded = x.new_zeros(max(counts), *x.shape[1:])
    padded[: len(x)] = x
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
