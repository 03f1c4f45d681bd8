"""A GPU pretended on a CPU: it refuses what a GPU refuses, and counts what would make the processor wait for it.

Its tensors are a wrapper subclass of device `meta`, each around a CPU tensor on which it computes. Refused are
operations on its tensors together with CPU tensors of more than zero dimensions, and `numpy()`. Counted, by the name of
the operation, is whatever on CUDA ends in a synchronisation of the stream:

- a value read by the host (`item`, `int`, `bool`, `if tensor`), `tolist`, every copy to the host;
- what has a result of unknown size (`nonzero`, boolean indexing, `unique`, `masked_select`, `repeat_interleave` by a
  tensor) and `bincount`, which reads the least and the greatest value (two waits);
- a copy from the host that is not `non_blocking`, counted apart (`Waits.uploads`): it too waits for all work before it.

Not counted: copies from the host with `non_blocking=True`, and masked assignments of one value, which are no indexing.
"""

from __future__ import annotations

import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
aten = torch.ops.aten
_UNKNOWN_SIZE = {
    aten.nonzero,
    aten.masked_select,
    aten._unique,
    aten._unique2,
    aten.unique_dim,
    aten.unique_consecutive,
    aten.repeat_interleave,
    aten.equal,
}
_INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._unsafe_index, aten._index_put_impl_}


class MixedDevicesError(RuntimeError):
    """What CUDA would say: expected all tensors to be on the same device."""


@dataclass
class Waits:
    """How often the host waited, by operation and by the place in this project's code that asked for it."""

    reads: Counter[str] = field(default_factory=Counter)
    uploads: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return self.reads.total()

    def __str__(self) -> str:
        both = (("wait", self.reads), ("blocking upload", self.uploads))
        return "\n".join(f"{n} {kind}: {what}" for kind, found in both for what, n in found.most_common())


class DeviceTensor(Tensor):
    """A tensor on the pretended device."""

    held: Tensor

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> DeviceTensor:
        wrapper = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        wrapper.held = held
        return wrapper

    def __repr__(self) -> str:
        return f"DeviceTensor({list(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        return _Device.now().run(function, arguments, options or {})


class _Device(TorchDispatchMode):
    """Everything is computed here; the last one entered counts, whatever thread computes."""

    entered: ClassVar[list[_Device]] = []

    def __init__(self) -> None:
        super().__init__()
        self.waits = Waits()

    @classmethod
    def now(cls) -> _Device:
        return cls.entered[-1]

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        return self.run(function, arguments, options or {})

    def run(self, function: Any, arguments: Any, options: dict[str, Any]) -> Any:
        packet = function.overloadpacket
        tensors = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, Tensor)]
        ours = [tensor for tensor in tensors if isinstance(tensor, DeviceTensor)]
        wanted = options.get("device")
        here = bool(ours) if wanted is None else torch.device(wanted) == DEVICE
        if packet is aten._to_copy:
            self._count_copy(bool(ours), here, options.get("non_blocking", False))
        elif packet is aten.copy_:
            target, source, *rest = arguments
            self._count_copy(
                isinstance(source, DeviceTensor),
                isinstance(target, DeviceTensor),
                source.ndim == 0 or options.get("non_blocking", bool(rest and rest[0])),
            )
            here = isinstance(target, DeviceTensor)
        elif ours:
            self._check(packet, arguments, tensors)
        computed = function(*_unwrapped(arguments), **_unwrapped(self._at_home(options)))
        if not here:
            return arguments[0] if packet is aten.copy_ else computed
        found = tree_map(_wrapped, computed)
        return return_and_correct_aliasing(function, arguments, options, found) if _has_aliases(function) else found

    @staticmethod
    def _at_home(options: dict[str, Any]) -> dict[str, Any]:
        device = options.get("device")
        return options if device is None or torch.device(device) != DEVICE else options | {"device": "cpu"}

    def _count_copy(self, from_device: bool, to_device: bool, non_blocking: bool) -> None:
        if from_device and not to_device:
            self.wait("copy to the host")
        elif to_device and not from_device and not non_blocking:
            self.now().waits.uploads[_place()] += 1

    def _check(self, packet: Any, arguments: Any, tensors: list[Tensor]) -> None:
        if packet is aten._local_scalar_dense:
            self.wait("value read")
        elif packet in _UNKNOWN_SIZE:
            self.wait(packet.__name__)
        elif packet is aten.bincount:
            self.wait("bincount", 2)
        elif packet in _INDEXING:
            indices = [index for index in arguments[1] if index is not None]
            if not isinstance(arguments[0], DeviceTensor):
                raise MixedDevicesError(f"a CPU tensor is indexed by one of the device, in {_place()}")
            is_fill = len(arguments) > 2 and arguments[2].numel() == 1
            if any(index.dtype in (torch.bool, torch.uint8) for index in indices) and not is_fill:
                self.wait("boolean indexing")
            if any(not isinstance(index, DeviceTensor) for index in indices):
                self.now().waits.uploads[_place()] += 1
            tensors = [tensor for tensor in tensors if not any(tensor is index for index in indices)]
        strangers = [tensor for tensor in tensors if not isinstance(tensor, DeviceTensor) and tensor.ndim > 0]
        if strangers:
            shapes = [list(tensor.shape) for tensor in strangers]
            raise MixedDevicesError(f"{packet}: CPU tensors {shapes} among the device's, in {_place()}")

    def wait(self, what: str, times: int = 1) -> None:
        self.now().waits.reads[f"{what}, {_place()}"] += times


@cache
def _has_aliases(function: Any) -> bool:
    """Whether it writes to its arguments, or gives views of them."""
    return any(argument.alias_info is not None for argument in function._schema.arguments)


def _unwrapped(tree: Any) -> Any:
    return tree_map(lambda leaf: leaf.held if isinstance(leaf, DeviceTensor) else leaf, tree)


def _wrapped(leaf: Any) -> Any:
    return DeviceTensor(leaf) if isinstance(leaf, Tensor) and not isinstance(leaf, DeviceTensor) else leaf


def _place() -> str:
    """The line of the package that is at work, `backward` where autograd is."""
    for frame in reversed(traceback.extract_stack()):
        if "/find/" in frame.filename and "/tests/" not in frame.filename:
            return f"{frame.filename.rpartition('/find/')[2]}:{frame.lineno} {frame.line}"
    return "outside of the package"


def on_device(x: Tensor) -> Tensor:
    """A copy of a CPU tensor on the device, uncounted."""
    return DeviceTensor(x.detach().clone())


def to_device(module: nn.Module) -> nn.Module:
    """Moves a module's weights and buffers."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = nn.Parameter(on_device(weight), requires_grad=weight.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = on_device(buffer)
    return module


def back(tree: Any) -> Any:
    """On the CPU, uncounted."""
    return _unwrapped(tree)


@contextmanager
def pretended() -> Iterator[None]:
    """A device for the time of a test."""
    with _patched(), _Device() as device:
        _Device.entered.append(device)
        try:
            yield
        finally:
            _Device.entered.pop()


@contextmanager
def counted() -> Iterator[Waits]:
    """The waits from here on, within `pretended`."""
    device = _Device.now()
    before, device.waits = device.waits, Waits()
    try:
        yield device.waits
    finally:
        device.waits = before


@contextmanager
def _patched() -> Iterator[None]:
    """Replaces what does not go through the dispatcher, or knows no such device."""
    tensor, as_tensor, new_tensor = torch.tensor, torch.as_tensor, Tensor.new_tensor
    tolist, numpy, autocast, run = Tensor.tolist, Tensor.numpy, torch.autocast, threading.Thread.run

    def uploaded(make: Any) -> Any:
        def create(data: Any, *, device: Any = None, **options: Any) -> Tensor:
            if not isinstance(data, Tensor):  # reading a list's tensors one by one, torch looks past any mode
                data = tree_map(lambda leaf: leaf.item() if isinstance(leaf, DeviceTensor) else leaf, data)
            if isinstance(data, DeviceTensor) or device is None or torch.device(device) != DEVICE:
                return make(data, device=device, **options)
            return make(data, **options).to(DEVICE)

        return create

    def new(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, **options: Any) -> Tensor:
        if not isinstance(self, DeviceTensor):
            return new_tensor(self, data, dtype=dtype, device=device, **options)
        return tensor(data, dtype=dtype or self.dtype, **options).to(DEVICE)

    def listed(self: Tensor) -> Any:
        if not isinstance(self, DeviceTensor):
            return tolist(self)
        _Device.now().wait("tolist")
        return self.held.tolist()

    def as_numpy(self: Tensor, **options: Any) -> Any:
        if isinstance(self, DeviceTensor):
            raise MixedDevicesError(f"numpy() of a tensor of the device, in {_place()}")
        return numpy(self, **options)

    def in_thread(self: threading.Thread) -> None:
        with _Device():  # modes are each thread's own
            run(self)

    def cast(device_type: str, *arguments: Any, **options: Any) -> Any:
        return autocast("cpu" if device_type == DEVICE.type else device_type, *arguments, **options)

    def enter(self: Any) -> None:
        self.without_gradient = torch.no_grad()
        self.without_gradient.__enter__()

    def leave(self: Any, *error: Any) -> None:
        self.without_gradient.__exit__(*error)

    with (
        patch.object(torch, "tensor", uploaded(tensor)),
        patch.object(torch, "as_tensor", uploaded(as_tensor)),
        patch.object(Tensor, "new_tensor", new),
        patch.object(Tensor, "tolist", listed),
        patch.object(Tensor, "numpy", as_numpy),
        patch.object(torch, "autocast", cast),
        patch.object(threading.Thread, "run", in_thread),
        # A wrapper cannot be made in inference mode.
        patch.object(torch.inference_mode, "__enter__", enter),
        patch.object(torch.inference_mode, "__exit__", leave),
    ):
        yield
