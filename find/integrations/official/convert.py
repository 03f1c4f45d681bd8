"""`findvl convert official`: a published FIND checkpoint becomes a folder that `FIND.from_pretrained` reads.

The folder holds the interface with its pixel decoder (`config.json`, `interface.safetensors`), the embeddings of
COCO's class names (`classes.safetensors`), the backbone (`backbone/`) and, only if the checkpoint carries LLaMA and
the given folder has no weights of its own, the blocks of LLaMA that are used (`language/`).
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from find.data.cache import free_memory
from find.errors import CheckpointError
from find.foundations import fingerprint, focal, load_language, load_vision
from find.foundations.llama import read_config
from find.foundations.source import Source
from find.integrations.official.classes import BACKGROUND, COCO_PANOPTIC
from find.integrations.official.published import Published, Unwritten
from find.integrations.official.releases import PAGE
from find.model.building import build_interface
from find.model.checkpoint import Checkpoint
from find.model.config import FOLDER, FINDConfig
from find.model.model import FIND

BACKBONE, LANGUAGE = "backbone", "language"
LLAMA_FILES = ("config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json")
FLOAT32_GROWTH = 2.5
"""Bytes that must be free for each number of a language model in 16 bits to compute in float32 instead."""
LLAMA_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True)
class Conversion:
    """A summary: how many tensors went where, and which were left out, with the reason."""

    folder: Path
    interface: int
    backbone: int
    language: int
    left_out: dict[str, str]

    def __str__(self) -> str:
        lines = [
            f"{self.folder}: {self.interface} tensors of the interface, {self.backbone} of the backbone, "
            f"{self.language} of the language model"
        ]
        return "\n".join(lines + [f"left out: {name}: {why}" for name, why in self.left_out.items()])


def convert(
    checkpoint: str | Path,
    out: str | Path,
    *,
    llama: str,
    unwritten: Unwritten | None = None,
    class_names: Sequence[str] = COCO_PANOPTIC,
) -> Conversion:
    """Converts a published `.pt` file. A failed conversion leaves no files.

    Args:
        checkpoint: the flat state dict, with or without LLaMA's weights inside.
        out: the folder to write; must not exist, or be empty.
        llama: a Hugging Face LLaMA folder, or a name of the hub.
        unwritten: settings that the tensors do not determine.
        class_names: whose embeddings are kept, besides that of the background.

    Raises:
        FindError: the file is broken or not a published FIND checkpoint, LLaMA is missing, or `out` is not empty.
    """
    out = Path(out)
    check_new(out)
    check_there(checkpoint)
    Source.parse(llama, spec=f"llama:{llama}")
    published = Published.sort(read_state(checkpoint), source=str(checkpoint))
    llama_config = read_config(llama)  # may query the hub, so local checks come first
    unwritten = unwritten or Unwritten()
    block = unwritten.block(llama_config.num_hidden_layers)
    out.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        _write_backbone(published, workplace / BACKBONE)
        left_out = dict(published.left_out)
        inside = bool(published.language) and has_no_weights(llama)
        if inside:
            left_out |= _write_language(published, block, llama, workplace / LANGUAGE)
        else:
            left_out |= {published.origins[n].source: f"frozen; read from {llama}" for n in published.language}
        folder = f"{FOLDER}/{LANGUAGE}" if inside else os.path.abspath(llama) if os.path.isdir(llama) else llama
        config = published.config(
            vision=f"focal:{FOLDER}/{BACKBONE}",
            language=f"llama:{folder}#{block}",
            language_dtype=_stored_type(llama_config.dtype),
            unwritten=unwritten,
        )
        _write_interface(published, config, class_names, workplace)
        if out.exists():
            out.rmdir()
        workplace.chmod(0o755)
        workplace.rename(out)
    except BaseException:
        shutil.rmtree(workplace, ignore_errors=True)
        raise
    language = len(published.language) if inside else 0
    return Conversion(out, len(published.interface), len(published.backbone), language, left_out)


def check_new(out: Path) -> None:
    """Raises FindError for a non-empty folder, or a file."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out} exists already; give a new folder, or remove it first")


def check_there(checkpoint: str | Path) -> None:
    if not Path(checkpoint).is_file():
        raise CheckpointError(f"there is no checkpoint {checkpoint}; the published ones are in {PAGE}")


def read_state(file: str | Path) -> dict[str, Tensor]:
    """The flat state dict of a `.pt` file; nothing in the file is executed."""
    file = Path(file)
    check_there(file)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} holds more than tensors (or is not a checkpoint), and FIND does not run code from files; "
            "fetch the published file again"
        ) from error
    except (EOFError, RuntimeError, OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise CheckpointError(f"{file} is broken or truncated ({reason}); fetch it again") from error
    except Exception as error:  # torch's unpickler raises KeyError, IndexError and others for bytes that are no pickle
        raise CheckpointError(
            f"{file} is no PyTorch checkpoint; give a published .pt file ({PAGE}), or a name that is fetched: "
            "official/find-focalt-llama"
        ) from error
    if isinstance(state, Mapping) and "module" in state:
        raise CheckpointError(
            f"{file} is a training state for resuming, not a released model; convert the model's own .pt"
        )
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{file} is not a flat table of tensors, as published FIND checkpoints are")
    return dict(state)


def _write_backbone(published: Published, folder: Path) -> None:
    config = published.focal_config()
    with torch.device("meta"):
        published.check(published.backbone, focal.FocalNet(config).state_dict())
    folder.mkdir()
    save_file({name: tensor.contiguous() for name, tensor in published.backbone.items()}, folder / focal.WEIGHTS)
    (folder / focal.CONFIG).write_text(json.dumps(config.to_dict(), indent=2) + "\n")


def _write_language(published: Published, block: int, llama: str, folder: Path) -> dict[str, str]:
    """Writes the blocks that are used; returns the names of the others."""
    used, unused = {}, {}
    for name, tensor in published.language.items():
        number = name.split(".")[2] if name.startswith("model.layers.") else "-1"
        if int(number) < block:
            used[name.removeprefix("model.")] = tensor.contiguous()
        else:
            unused[published.origins[name].source] = "comes after the layers that are used"
    folder.mkdir()
    for file in (Path(llama) / name for name in LLAMA_FILES):
        if file.is_file():
            shutil.copy(file, folder)
    save_file(used, folder / "model.safetensors", metadata={"format": "pt"})
    return unused


def _write_interface(published: Published, config: FINDConfig, class_names: Sequence[str], folder: Path) -> None:
    """Loads the complete model once, to compute the class embeddings that the checkpoint does not store."""
    here = config.in_folder(folder)
    vision = load_vision(here.vision)
    language = load_language(here.language, dtype=getattr(torch, here.language_dtype))
    interface = build_interface(here, channels=vision.channels, text_width=language.width, pooled_width=None)
    published.check(published.interface, interface.state_dict(), computed=frozenset({"background"}))
    state = interface.state_dict() | published.interface
    interface.load_state_dict(state)  # with a background that is computed below
    model = FIND(config=here, vision=vision, language=language, interface=interface).eval()
    foundations = {"vision": fingerprint(vision), "language": fingerprint(language)}
    numbers = sum(parameter.numel() for parameter in language.parameters())
    free = free_memory()
    if free is None or free > FLOAT32_GROWTH * numbers:  # otherwise encoding class names is slow
        model.avoid_emulation(torch.device("cpu"))
    names = list(dict.fromkeys(class_names))
    *rows, background = model.embed_classes([*names, BACKGROUND])
    weights = published.interface | {"background": background}
    bank = dict(zip(names, rows, strict=True))
    bank |= {name.replace("-", " "): row for name, row in bank.items()}  # as `Category.words` says them
    Checkpoint(config, foundations, weights, str(folder), bank).write(folder)


def has_no_weights(llama: str) -> bool:
    """Whether a LLaMA is a folder with no weights in it, only a config and tokenizer."""
    folder = Path(llama)
    return folder.is_dir() and not any(any(folder.glob(pattern)) for pattern in LLAMA_WEIGHTS)


def _stored_type(dtype: torch.dtype | str | None) -> str:
    return str(dtype or "float32").removeprefix("torch.")
