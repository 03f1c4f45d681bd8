"""Between the host and the device that computes: what is copied together, the host waits for once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

TOGETHER = 2**28
"""Bytes that wait on the device for their common copy, at most."""


def upload(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on `device`; the GPU continues to compute during a copy from the host.

    The host's memory may be freed or changed afterwards: unless it is page-locked, CUDA copies it before this returns
    (more than 64 kB only after the work before it; page-lock what is large and copied often).
    """
    device = torch.device(device)
    return tensor.to(device, non_blocking=tensor.device.type == "cpu" and device.type != "mps")


def to_host(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors, of any types, on the host: those of the device in one copy, for which the host waits once."""
    away = [k for k, tensor in enumerate(tensors) if tensor.device.type != "cpu"]
    if not away:
        return list(tensors)
    # Wide types first, so that each tensor's bytes begin where its type may.
    ordered = sorted(away, key=lambda k: -tensors[k].element_size())
    joint = torch.cat([tensors[k].contiguous().flatten().view(torch.uint8) for k in ordered]).cpu()
    pieces = joint.split([tensors[k].nbytes for k in ordered])
    found = list(tensors)
    for k, piece in zip(ordered, pieces, strict=True):
        found[k] = piece.view(tensors[k].dtype).view(tensors[k].shape).clone()  # none keeps the others' memory
    return found


def to_host_together(items: Iterable[list[Tensor]], *, limit: int = TOGETHER) -> Iterator[list[Tensor]]:
    """Each item on the host; one wait for about every `limit` bytes. Items already on the host are returned as they
    are."""
    pending: list[list[Tensor]] = []
    nbytes = 0
    for item in items:
        if all(tensor.device.type == "cpu" for tensor in item):
            yield from _arrived(pending)
            pending, nbytes = [], 0
            yield item
            continue
        pending.append(item)
        nbytes += sum(tensor.nbytes for tensor in item)
        if nbytes >= limit:
            yield from _arrived(pending)
            pending, nbytes = [], 0
    yield from _arrived(pending)


def _arrived(items: Sequence[list[Tensor]]) -> Iterator[list[Tensor]]:
    arrived = iter(to_host([tensor for item in items for tensor in item]))
    for item in items:
        yield [next(arrived) for _ in item]
