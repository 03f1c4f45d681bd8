"""The memory of a training step on a GPU that is not there: PyTorch's fake tensors, which have shapes but no numbers,
and a dispatch mode that sums their living storages, as `torch.distributed._tools.mem_tracker.MemTracker` does; that
one takes no module that a step calls twice, such as the heads here.

The step is the real one: vision encoder, interface, losses, backward, clipping and AdamW, under autocast. What differs:
the matching's answer is made up; fake tensors of CUDA need a driver, so these are the CPU's, with attention by the
kernel that CUDA takes for masks and with norms in float32, as autocast has them there; texts are read beforehand.
Not counted: the allocator's fragments, the CUDA context and the kernels' workspaces.
"""

from __future__ import annotations

import contextlib
import dataclasses
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.weak import WeakIdKeyDictionary

from find.data.batch import Batch
from find.interface import attention
from find.model.model import FIND
from find.tasks import (
    composition,
    connections,
    grounding,
    interleaved_retrieval,
    interleaved_segmentation,
    losses,
)
from find.tasks.grounding import Phrases
from find.tasks.text_inputs import Sentences, read_texts
from find.training import criterion
from find.training.criterion import Criterion
from find.training.optimisation import adamw


def peak(model: FIND, batch: Batch, class_names: list[str], steps: Criterion, *, clip: float) -> int:
    """Bytes of the second step's peak: the first one makes AdamW's moments, and reads the texts.

    Args:
        model: its language encoder is real, on the CPU; the rest may be on the meta device.
    """
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with fake, _like_cuda(fake):
        for part in (model.vision, model.interface):
            _to_fake(part)
        batch = _faked(fake, batch)
        model.interface.train()
        optimizer = adamw(model.interface, learning_rate=1e-4, weight_decay=0.05)

        def step() -> None:
            with torch.autocast("cpu", torch.bfloat16):
                total = torch.stack(list(steps(model, batch, class_names).values())).sum()
            total.backward()
            nn.utils.clip_grad_norm_(model.interface.parameters(), clip)
            optimizer.step()
            optimizer.zero_grad()

        step()
        moments = [value for state in optimizer.state.values() for value in state.values()]
        kept = [*_tensors(model.vision), *_tensors(model.interface), *moments, *vars(batch).values()]
        with LiveBytes(kept) as live:
            step()
        return live.peak


class LiveBytes(TorchDispatchMode):
    """Sums the storages that live, from when an operation makes them until nothing holds them.

    Args:
        kept: what stood before; non-tensors are left out.
    """

    def __init__(self, kept: Iterable[Any]) -> None:
        super().__init__()
        self.known = WeakIdKeyDictionary()
        self.now = self.peak = 0
        self._see(kept)

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        found = function(*arguments, **(options or {}))
        self._see(tree_leaves(found))
        return found

    def _see(self, leaves: Iterable[Any]) -> None:
        for leaf in leaves:
            if isinstance(leaf, Tensor) and (storage := leaf.untyped_storage()) not in self.known:
                self.known[storage] = nbytes = storage.nbytes()
                weakref.finalize(storage, self._freed, nbytes)
                self.now += nbytes
                self.peak = max(self.peak, self.now)

    def _freed(self, nbytes: int) -> None:
        self.now -= nbytes


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _to_fake(module: nn.Module) -> None:
    """Weights of whatever device become fake ones of the CPU; within the mode."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                like = torch.empty_like(weight, device="cpu")
                part._parameters[name] = nn.Parameter(like, requires_grad=weight.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = torch.empty_like(buffer, device="cpu")


def _faked(fake: FakeTensorMode, given: Any) -> Any:
    if dataclasses.is_dataclass(given):
        values = {field.name: _faked(fake, getattr(given, field.name)) for field in dataclasses.fields(given)}
        return dataclasses.replace(given, **values)
    return tree_map_only(Tensor, fake.from_tensor, given)


@contextlib.contextmanager
def _like_cuda(fake: FakeTensorMode) -> Iterator[None]:
    def real(read: Callable[..., Any]) -> Callable[..., Any]:
        """Of real texts, each once."""
        known: dict[str, Any] = {}

        def outside(language: nn.Module, *arguments: Any) -> Any:
            texts = repr(arguments)
            if texts not in known:
                with unset_fake_temporarily(), torch.autocast("cpu", enabled=False):
                    known[texts] = read(language, *arguments)
            return _faked(fake, known[texts])

        return outside

    def assigned(costs: list[Tensor], valid: list[Tensor]) -> list[Tensor]:
        return [torch.zeros(cost.shape[0], cost.shape[2], dtype=torch.long) for cost in costs]

    def attend(
        queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float | None = None
    ) -> Tensor:
        """CUDA's memory-efficient kernel; a mask becomes a bias of the queries' type, its rows aligned."""
        bias = None
        if mask is not None:
            missing = -mask.shape[-1] % 16
            bias = torch.zeros(*mask.shape[:-1], mask.shape[-1] + missing, dtype=queries.dtype)[..., : mask.shape[-1]]
            bias = bias.masked_fill_(~mask, float("-inf")).expand(*queries.shape[:-1], -1)
        kernel = torch.ops.aten._scaled_dot_product_efficient_attention
        return kernel(queries, keys, values, bias, True, scale=scale)[0]

    def in_float32(norm: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda x, *arguments, **options: norm(x.float(), *arguments, **options)

    def compare(images: Tensor, objects: Tensor, queries: Tensor, entities: Tensor, padding: Tensor) -> Tensor:
        """`late_interaction` as on a GPU, which compares padding, too."""
        similarity = objects.flatten(0, 1) @ entities.flatten(0, 1).T
        best = similarity.view(len(objects), objects.shape[1], *padding.shape).amax(dim=1)
        share = (~padding).to(best.dtype)
        return queries @ images.T + (best * share / share.sum(1, keepdim=True)).sum(2).T

    def labels_of(texts: object, spans: object, offsets: Tensor) -> Tensor:
        """Of each token; read on the host otherwise."""
        return torch.zeros(offsets.shape[:2], dtype=torch.long)

    texts = real(read_texts)
    with (
        patch.object(criterion, "hungarian", assigned),
        patch.object(interleaved_retrieval, "late_interaction", compare),
        patch.object(interleaved_retrieval, "labels_of", labels_of),
        patch.object(criterion, "read_texts", texts),
        patch.object(connections, "read_texts", texts),
        patch.object(grounding, "Phrases", SimpleNamespace(read=real(Phrases.read))),
        patch.object(interleaved_segmentation, "Sentences", SimpleNamespace(read=real(Sentences.read))),
        patch.object(composition, "Sentences", SimpleNamespace(read=real(Sentences.read))),
        patch.object(attention, "_dot_product_attention", attend),
        patch.object(losses, "POINTS_AT_ONCE", 2**40),
        patch.object(F, "layer_norm", in_float32(F.layer_norm)),
        patch.object(F, "group_norm", in_float32(F.group_norm)),
    ):
        yield
