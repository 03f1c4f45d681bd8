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
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise FindError(
            f"there is no device {name!r} here ({' '.join(str(error).split())[:120]}); use auto or cpu"
        ) from error
    return device
