"""Which device to run on, chosen when the program runs."""

import os
import re

import torch

from find.errors import InputError
from find.utils.memory import is_out_of_memory

FAULT = re.compile(r"(CUDA|HIP) error|CU(DNN|BLAS)_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR)")
"""Messages of device faults in exceptions other than torch.AcceleratorError."""


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name: cpu, cuda, cuda:1, mps; "auto" is CUDA if available, else MPS, else the CPU.

    Under `torchrun`, "auto" and "cuda" give each process of a machine a different GPU.

    Raises:
        FindError: no such device here, or more processes than GPUs.
    """
    if name in ("auto", "cuda") and torch.cuda.is_available():
        number = own_gpu(torch.cuda.device_count(), os.environ.get("LOCAL_RANK"))
        return torch.device("cuda" if number is None else f"cuda:{number}")
    if name == "auto":
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"there is no device called {name!r}; known are cpu, cuda, cuda:1 and mps") from error
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"there is no device {name!r} here: {_why(device, error)}") from error
    return device


def own_gpu(count: int, local_rank: str | None) -> int | None:
    """The GPU of this process among the `count` that it sees, None for the current one.

    Args:
        local_rank: number of this process on its machine, as `torchrun` sets it; None outside of it.

    Raises:
        FindError: there are fewer GPUs than processes. One GPU may be shared: other launchers show each process its
            own only.
    """
    if local_rank is None:
        return None
    number = int(local_rank)
    if count > 1 and number >= count:
        raise InputError(
            f"process {number + 1} of this machine finds {count} GPUs; start no more of them (--nproc-per-node "
            f"{count}), or take --device cpu"
        )
    return number if count > 1 else 0


def _why(device: torch.device, error: Exception) -> str:
    """Why a device cannot be used, without torch's long advice."""
    if device.type != "cuda":
        return f"torch finds no {device.type}; use cpu"
    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        return f"{'torch finds no GPU with a driver' if built else 'this torch is built without CUDA'}; use cpu"
    count = torch.cuda.device_count()
    return f"torch finds {count}, counted from 0" if (device.index or 0) >= count else str(error).partition("\n")[0]


def is_device_fault(error: BaseException) -> bool:
    """Whether a device has failed for the rest of this process, such as by an illegal access or a device-side
    assertion."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or FAULT.search(str(error)) is not None
