"""Finds a model by its name: shipped, a folder, a published checkpoint, or on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from find.errors import CheckpointError, InputError, shown
from find.foundations.source import Source
from find.model.checkpoint import Checkpoint
from find.model.config import FOLDER
from find.model.location import CLASSES, CONFIG, WEIGHTS, model_folder
from find.utils.entry_points import declared

MAKERS = "find.model_makers"
"""Group of entry points: who makes the folders of models whose names begin with "NAME/", such as "official/"."""


def find_model(
    name: str, *, revision: str | None = None, llama: str | Path | None = None, **options: Any
) -> tuple[Path, Checkpoint]:
    """The folder of a model, downloaded or converted if it is not there yet, and its checkpoint.

    Args:
        revision, llama: as for `FIND.from_pretrained`.
        options: of `huggingface_hub.snapshot_download`.
    """
    folder = model_folder(name)
    owner, _, rest = name.partition("/")
    maker = declared(MAKERS).get(owner) if folder is None else None
    if maker is None and llama is not None:
        raise InputError(f"llama={shown(str(llama))}: only official/... models are made with a LLaMA, not {name}")
    if maker is not None:
        if options:
            raise InputError(
                f"{name} is fetched without {next(iter(options))}=...; the environment variables HF_HOME, HF_TOKEN and "
                "HF_ENDPOINT name the cache, the token and the hub"
            )
        folder = maker.load()(rest, revision=revision, llama=None if llama is None else str(llama))
    if folder is not None:
        return folder, Checkpoint.read(folder / CONFIG, folder / WEIGHTS)
    return _fetch(Source(name, revision, name), **options)


def _fetch(source: Source, **options: Any) -> tuple[Path, Checkpoint]:
    """A model of the hub."""
    try:
        folder = source.fetch("a FIND model", CONFIG, WEIGHTS, CLASSES, needs=[CONFIG, WEIGHTS], **options)
    except CheckpointError as error:
        beside = Path(source.name).parent
        if not beside.is_dir():
            raise
        # more likely a misspelt path than a model of the hub
        models = sorted(file.parent.name for file in beside.glob(f"*/{CONFIG}"))
        holds = f"whose models are {', '.join(models[:5])}" if models else "which holds no models"
        raise CheckpointError(
            f"there is no folder {source.name} in {beside.absolute()}, {holds}; and neither the hub nor its cache "
            "gives a model of that name"
        ) from error
    checkpoint = Checkpoint.read(folder / CONFIG, folder / WEIGHTS)
    if FOLDER in checkpoint.config.vision + checkpoint.config.language:
        source.fetch("its foundations", **options)
    return folder, checkpoint
