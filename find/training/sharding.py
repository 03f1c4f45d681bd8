"""FSDP: processes share the interface, each keeping a part of its weights, gradients and moments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from find.model.model import FIND
from find.training.criterion import Criterion

NAME = "sharded"
"""For `--trainer.strategy`."""


class ShardedInterface(ModelParallelStrategy):
    """The interface by FSDP2 over all processes; checkpoints are single files, as without it.

    The foundations stay whole in every process: they have neither gradients nor moments, and with a language cache the
    processes ask the language encoder at different times, which collectives would not survive.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, **options)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()


StrategyRegistry.register(NAME, ShardedInterface, description="the interface by FSDP2", override=True)


class WholeStep(nn.Module):
    """The criterion around the interface, as the unit that is sharded.

    A step enters the interface by several of its methods: so its weights are gathered before the first, stay until the
    backward pass is through them, and gradients are dealt out once.

    Attributes:
        numbers: names of parameters that were single numbers, which FSDP2 refuses, and became vectors of one.
    """

    def __init__(self, criterion: Criterion, interface: nn.Module) -> None:
        super().__init__()
        self.criterion = criterion
        self.interface = interface
        self.numbers = tuple(name for name, parameter in interface.named_parameters() if parameter.ndim == 0)
        for name in self.numbers:
            owner, _, own = name.rpartition(".")
            number = interface.get_parameter(name)
            setattr(interface.get_submodule(owner), own, nn.Parameter(number.detach().reshape(1)))

    def forward(self, *arguments: Any) -> dict[str, Tensor]:
        return self.criterion(*arguments)


def shard(criterion: Criterion, interface: nn.Module, mesh: DeviceMesh) -> WholeStep:
    """The criterion to call from now on; the interface's parameters become parts."""
    step = WholeStep(criterion, interface)
    fully_shard(step, mesh=mesh["data_parallel"], reshard_after_forward=False)
    return step


@torch.no_grad()
def save_sharded(find: FIND, step: WholeStep, folder: Path, *, write: bool) -> None:
    """What `find.save_pretrained` does; all processes have to call it, and one writes."""
    state = find.interface.state_dict()
    # A clone waits for its data, which the whole tensor need not have done.
    weights = {n: value.full_tensor().clone() if isinstance(value, DTensor) else value for n, value in state.items()}
    weights |= {name: weights[name].reshape(()) for name in step.numbers}
    if write:
        find.write(folder, weights)
