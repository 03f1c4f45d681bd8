"""FSDP: the interface's weights, gradients and optimizer moments are sharded over processes."""

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
    """Shards the interface by FSDP2 over all processes; checkpoints are single files, as without sharding.

    The foundations are replicated: they have neither gradients nor moments, and with a language cache the processes
        call
    the language encoder at different times, which would deadlock collectives.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, **options)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()


StrategyRegistry.register(NAME, ShardedInterface, description="the interface by FSDP2", override=True)


class WholeStep(nn.Module):
    """The criterion around the interface, as the sharded unit.

    A step calls several methods of the interface: so its weights are gathered before the first, kept until the backward
    pass is done, and gradients are reduced once.

    Attributes:
        numbers: names of scalar parameters, which FSDP2 does not support, and which became vectors of length 1.
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
    """Shards the interface's parameters and returns the criterion to call from now on."""
    step = WholeStep(criterion, interface)
    fully_shard(step, mesh=mesh["data_parallel"], reshard_after_forward=False)
    return step


@torch.no_grad()
def save_sharded(find: FIND, step: WholeStep, folder: Path, *, write: bool) -> None:
    """Like `find.save_pretrained`; all processes must call it, and one writes."""
    state = find.interface.state_dict()
    # Cloning waits until the gathered data has arrived.
    weights = {n: value.full_tensor().clone() if isinstance(value, DTensor) else value for n, value in state.items()}
    weights |= {name: weights[name].reshape(()) for name in step.numbers}
    if write:
        find.write(folder, weights)
