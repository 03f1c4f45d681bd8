"""Which device to run on, chosen when the program runs."""

import torch

from find.errors import FindError


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name: cpu, cuda, cuda:1, mps; "auto" is CUDA where there is one, else MPS, else the CPU.

    Raises:
        FindError: no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise FindError(f"there is no device called {name!r}; known are cpu, cuda, cuda:1 and mps") from error
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise FindError(f"there is no device {name!r} here: {_why(device, error)}") from error
    return device


def _why(device: torch.device, error: Exception) -> str:
    """Why a device cannot be used, without torch's pages of advice."""
    if device.type != "cuda":
        return f"torch finds no {device.type}; use cpu"
    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        return f"{'torch finds no GPU with a driver' if built else 'this torch is built without CUDA'}; use cpu"
    count = torch.cuda.device_count()
    return f"torch finds {count}, counted from 0" if (device.index or 0) >= count else str(error).partition("\n")[0]
