"""Locates a model's files without importing PyTorch, so that a misspelt name is reported immediately."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from find.errors import CheckpointError, InputError, shown, warn_caller
from find.utils.folders import existing_folder

SHIPPED = Path(__file__).parents[1] / "weights"
"""Models that come with the package, by name."""
DEFAULT = "find-tiny"
CONFIG, WEIGHTS, CLASSES = "config.json", "interface.safetensors", "classes.safetensors"
NO_USERS = ("models", "datasets", "spaces")
"""Pages of the hub that no user can be called like, so that names that begin with them are paths."""
NESTED_WIDTHS = "nested_widths"
"""Key of config.json: to how many values the vectors may be cut, as they were trained."""
TRAINED_CLASSES = "classes"
"""Key of config.json: the classes of the training data, with their names and whether each is a thing."""


def model_folder(name: str) -> Path | None:
    """The folder of a shipped or saved model; None for a name of the hub.

    Raises:
        FindError: no such folder or shipped model exists and it is not a valid hub name; or the folder lacks a model's
            files.
    """
    shipped = sorted(path.name for path in SHIPPED.glob("*") if path.is_dir())
    folder = SHIPPED / name if name in shipped else existing_folder(name) if name else None
    if folder is not None:
        for file in (folder / CONFIG, folder / WEIGHTS):
            check_file(file)
        return folder
    if name.partition("/")[0] in NO_USERS:
        raise CheckpointError(
            f"there is no folder {shown(name)} in {Path.cwd()}; give the path of a model folder (config.json and "
            f"interface.safetensors), a shipped model ({', '.join(shipped)}), or a model of the hub, user/model"
        )
    if name.count("/") != 1:
        raise CheckpointError(
            f"no model {shown(name)}: it is neither shipped ({', '.join(shipped)}) nor a folder here; a model of "
            "the hub has a name with one slash, user/model"
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
    """Raises InputError if `dim` exceeds the vector width of a local model, and warns if it was not trained for `dim`.

    Other faults of config.json are reported when the model is loaded.
    """
    folder = model_folder(name)
    if folder is None:
        return
    try:
        about = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        width = int(about["interface"]["semantic_width"])
    except (ValueError, KeyError, TypeError):
        return
    if dim > width:
        raise InputError(f"--dim {dim}: vectors of {name} have {width} values")
    warn_untrained(dim, read_nested_widths(about, str(folder / CONFIG)), width)


def may_have_tagger(name: str) -> bool:
    """Whether a model may find entities in plain sentences; False if its config.json says that it has no tagger."""
    folder = model_folder(name)
    if folder is None:
        return True
    try:
        return json.loads((folder / CONFIG).read_text(encoding="utf-8"))["interface"].get("tagger_width", 0) != 0
    except (ValueError, KeyError, TypeError, AttributeError):
        return True


def read_nested_widths(about: Mapping[str, object], source: str) -> tuple[int, ...] | None:
    """The widths that vectors may be truncated to, of a config.json; None if it does not list them."""
    widths = about.get(NESTED_WIDTHS)
    if widths is None:
        return None
    if not isinstance(widths, list) or not all(isinstance(width, int) and width > 0 for width in widths):
        raise CheckpointError(f"{source}: {NESTED_WIDTHS} is {widths!r}; it must be a list of numbers of values")
    return tuple(widths)


def warn_untrained(dim: int, nested_widths: tuple[int, ...] | None, width: int) -> None:
    """Warns if vectors of `width` values are truncated to a width that they were not trained for, if that is known."""
    if nested_widths is None or dim in (*nested_widths, width):
        return
    trained = ", ".join(map(str, sorted({*nested_widths, width})))
    warn_caller(f"vectors are cut to {dim} values, but were trained for {trained}; others may rank much worse")
