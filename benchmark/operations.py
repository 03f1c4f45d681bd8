"""Counts the operations of matrix products, and measures how many a second this machine can do."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

SIDE, TRIES = 2048, 5


def _attention(queries: Tensor, keys: Tensor, values: Tensor, *_: object, **__: object) -> int:
    return sdpa_flop_count(queries.shape, keys.shape, values.shape)


def _attention_backward(_: Tensor, queries: Tensor, keys: Tensor, values: Tensor, *__: object, **___: object) -> int:
    """Four products; those that the kernel makes a second time are not counted."""
    return 2 * sdpa_flop_count(queries.shape, keys.shape, values.shape)


FUSED = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""Products that torch's own table leaves out."""


class _Products(TorchDispatchMode):
    """Adds up what torch's table of operations says of each product."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, operator: torch._ops.OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kwargs = kwargs or {}
        formula = FUSED.get(operator._overloadpacket) or flop_registry.get(operator._overloadpacket)
        if formula is None:
            with self:
                parts = operator.decompose(*args, **kwargs)  # into the products that it is made of, if it is
            return operator(*args, **kwargs) if parts is NotImplemented else parts
        out = operator(*args, **kwargs)
        self.total += formula(*args, **kwargs, out_val=out)
        return out


def count_products(step: Callable[[], object]) -> float:
    """Multiplications and additions of the matrix products and convolutions of a call, counted while it runs."""
    with _Products() as products:
        step()
    return products.total


def product_rate(device: str) -> float:
    """Operations a second of a large float32 product, at best; seconds of CPU time on a CPU."""
    matrix = torch.randn(SIDE, SIDE, device=device)
    clock = time.process_time if device == "cpu" else time.perf_counter
    best = float("inf")
    for _ in range(TRIES):
        start = clock()
        matrix @ matrix
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, clock() - start)
    return 2 * SIDE**3 / best
