"""Checks that a checkpoint of `findvl fit` can be resumed, before the model is built."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import torch

from find.errors import CheckpointError

ANOTHER = "resume from another one, or train from the start"


def check_run_checkpoint(path: str | Path) -> None:
    """Reads a file once, without loading tensors into memory.

    Raises:
        FindError: it is missing, truncated or damaged, or contains pickled objects other than tensors and plain values,
            which could run code when loaded.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint")
    try:
        with zipfile.ZipFile(file) as archive:  # a zip's table of contents is at its end, so a truncated file has none
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"{path} is damaged (in {damaged}); {ANOTHER}")
        torch.load(file, map_location="meta", weights_only=True, mmap=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} contains objects other than tensors and plain values, which could run code when loaded; {ANOTHER}"
        ) from error
    except Exception as error:  # readers of archives and tensors raise many exception types
        raise CheckpointError(f"{path} is truncated or not a checkpoint of `findvl fit`; {ANOTHER}") from error
