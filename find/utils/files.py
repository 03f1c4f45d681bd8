"""Writes files atomically, with the user's default permissions."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def write_atomically(file: Path, data: bytes) -> None:
    """A file that is renamed into place when complete: readers see the previous file or this one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(file.name + ".part")
    unfinished.write_bytes(data)
    unfinished.replace(file)


def write_tensors(file: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """A safetensors file, which takes its name when all of it is written.

    The library makes its files readable by their owner only; here the umask decides, as for any other file.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(file.name + ".part")
    unfinished.unlink(missing_ok=True)
    unfinished.touch()
    rights = unfinished.stat().st_mode
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, unfinished, metadata)
    unfinished.chmod(rights)
    unfinished.replace(file)
