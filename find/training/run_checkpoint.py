"""Checks that a checkpoint of `findvl fit` can be resumed, before anything is built."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import torch

from find.errors import CheckpointError

ANOTHER = "resume from another one, or train from the start"


def check_run_checkpoint(path: str | Path) -> None:
    """Reads a file once, none of its tensors into memory.

    Raises:
        FindError: it is missing, truncated or damaged, or holds more than tensors and plain values, as a file from
            elsewhere may: what else there is would be run when it is loaded.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint")
    try:
        with zipfile.ZipFile(file) as archive:  # whose table of contents is at the end: a truncated file has none
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"{path} is damaged (in {damaged}); {ANOTHER}")
        torch.load(file, map_location="meta", weights_only=True, mmap=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors and plain values, which would be run when it is loaded; {ANOTHER}"
        ) from error
    except Exception as error:  # readers of archives and of tensors raise many types
        raise CheckpointError(f"{path} is truncated or no checkpoint of `findvl fit`; {ANOTHER}") from error
