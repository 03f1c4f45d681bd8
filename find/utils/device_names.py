"""Checks of device names that need no PyTorch, so that a wrong one is reported immediately."""

import re
import sys
from importlib.metadata import version

from find.errors import InputError


def check_device_name(name: str) -> None:
    """Raises FindError for an unknown device name, and for a device that this system or PyTorch build cannot have."""
    if not re.fullmatch(r"auto|(cpu|cuda|mps|xpu)(:\d+)?", name):
        raise InputError(f"there is no device called {name!r}; known are cpu, cuda, cuda:1 and mps")
    if name.startswith("mps") and sys.platform != "darwin":
        raise InputError(f"there is no device {name!r} here: only macOS has it; use cpu")
    if name.startswith("cuda") and version("torch").endswith("+cpu"):
        raise InputError(f"there is no device {name!r} here: this torch is built without CUDA; use cpu")
