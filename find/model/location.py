"""Where a model's files are, told without PyTorch, so that a misspelt name is told at once."""

from __future__ import annotations

import json
from pathlib import Path

from find.errors import CheckpointError, InputError

SHIPPED = Path(__file__).parents[1] / "weights"
"""Models that come with the package, by name."""
DEFAULT = "find-tiny"
CONFIG, WEIGHTS, CLASSES = "config.json", "interface.safetensors", "classes.safetensors"


def model_folder(name: str) -> Path | None:
    """The folder of a shipped or saved model; None for a name of the hub.

    Raises:
        FindError: neither is there, and the hub has no such names; or the folder lacks a model's files.
    """
    folder = SHIPPED / name if (SHIPPED / name).is_dir() else Path(name)
    if folder.is_dir():
        for file in (folder / CONFIG, folder / WEIGHTS):
            check_file(file)
        return folder
    if name.count("/") != 1:
        names = sorted(path.name for path in SHIPPED.glob("*") if path.is_dir())
        raise CheckpointError(
            f"no model {name!r}: it is neither shipped ({', '.join(names)}) nor a folder here; a model of the hub "
            "has a name with one slash, user/model"
        )
    return None


def check_file(file: Path) -> None:
    """Raises FindError where a file of a model is missing."""
    if not file.is_file():
        raise CheckpointError(
            f"{file} is missing; a model folder holds {CONFIG} and {WEIGHTS} (written by `findvl fit` or "
            "`save_pretrained`)"
        )


def check_dim(name: str, dim: int) -> None:
    """Raises FindError where more values of a vector are asked for than a model that is here gives.

    What its config.json says otherwise is checked when it is loaded.
    """
    folder = model_folder(name)
    if folder is None:
        return
    try:
        width = int(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["interface"]["semantic_width"])
    except (ValueError, KeyError, TypeError):
        return
    if dim > width:
        raise InputError(f"--dim {dim}: vectors of {name} have {width} values")
