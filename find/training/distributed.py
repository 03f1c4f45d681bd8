"""Contrastive losses over the batches of all processes: gathering that keeps gradients."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _Gather(torch.autograd.Function):
    """Forward: the rows of all processes. Backward: what all processes' losses say about this one's rows."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]


def gather_rows(x: Float[Tensor, "b ..."]) -> Float[Tensor, "all_b ..."]:
    """The rows of all processes in the order of their ranks; one process keeps its own.

    Every process has as many rows. A loss of the gathered rows, computed alike in every process, gives after DDP's
    averaging exactly the gradient that one process with the joint batch would have.
    """
    return _Gather.apply(x) if is_distributed() else x


def gather_entities(
    entities: Float[Tensor, "b e d"], padding: Bool[Tensor, "b e"]
) -> tuple[Float[Tensor, "all_b all_e d"], Bool[Tensor, "all_b all_e"]]:
    """Entities and their padding of all processes, padded to the largest number that any of them has."""
    if not is_distributed():
        return entities, padding
    width = torch.tensor(padding.shape[1], device=padding.device)
    dist.all_reduce(width, op=dist.ReduceOp.MAX)
    missing = int(width) - padding.shape[1]
    padding = F.pad(padding, (0, missing), value=True)
    parts = [torch.empty_like(padding) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, padding)
    return gather_rows(F.pad(entities, (0, 0, 0, missing))), torch.cat(parts)
