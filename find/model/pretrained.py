"""Building a model from a config, loading it from a folder or the hub, and saving it."""

import difflib
import hashlib
import inspect
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Self

from find.errors import CheckpointError, InputError
from find.foundations import LanguageEncoder, VisionEncoder, fingerprint, load_language, load_vision
from find.foundations.base import Foundation
from find.foundations.fingerprint_cache import cached_fingerprint
from find.foundations.source import COMMIT
from find.interface import Interface
from find.model.building import build_interface, check_sides
from find.model.checkpoint import Checkpoint
from find.model.class_sets import ClassSet
from find.model.config import FINDConfig
from find.model.finding import find_model
from find.model.hub import HubModel
from find.model.location import CONFIG, DEFAULT
from find.model.model_tasks import check_named_tasks, tasks_of
from find.tasks.core import name_of
from find.tasks.task import Task
from find.utils.device import choose_device
from find.utils.dtypes import FixedDtypes, compute_dtype
from find.utils.precision import suited_dtype
from find.utils.signatures import short_signature

BESIDE_VECTORS = ("pair_term.", "match_head.", "tagger.", "tasks.")
"""Parts of the interface that make no vector of an image, a query or an entity."""
AT_COMMIT = re.compile(rf"@{COMMIT.pattern}(?=#|$)")
"""The end of a foundation's name, where the hub's commit is noted."""


class Pretrained(FixedDtypes, HubModel):
    """Frozen foundations and the interface that was trained on them.

    Args:
        config: the model's configuration.
        vision, language: the foundations that `config` names.
        interface: the trainable part.
        tasks: further tasks, beside those that `config` names. Their parameters become parts of the interface.
    """

    def __init__(
        self,
        *,
        config: FINDConfig,
        vision: VisionEncoder,
        language: LanguageEncoder,
        interface: Interface,
        tasks: Sequence[Task] = (),
    ) -> None:
        super().__init__()
        self.tasks = tasks_of(config, interface, tasks)
        added = [name_of(task) for name, task in self.tasks.items() if name in interface.tasks]
        self.config = replace(config, tasks=tuple(added))
        self.vision = vision
        self.language = language
        self.interface = interface
        self.known_classes: dict[str, Float[Tensor, " d"]] = {}  # embeddings of class names, computed before
        self.nested_widths: tuple[int, ...] | None = None  # that vectors may be truncated to; None: unknown
        self.trained_classes: ClassSet | None = None  # of the data that it was trained on; None: unknown
        self.folder: Path | None = None  # that it was loaded from

    @classmethod
    @short_signature
    def build(
        cls,
        config: FINDConfig,
        *,
        tasks: Sequence[Task] = (),
        vision: VisionEncoder | None = None,
        language: LanguageEncoder | None = None,
    ) -> Self:
        """A model with an untrained interface; `tasks` as in the constructor.

        Args:
            vision, language: used instead of the encoders that `config` names; the model's config has their `spec`.
        """
        if vision is None:
            vision = load_vision(config.vision, dtype=getattr(torch, config.vision_dtype))
        config = replace(config, vision=vision.spec)  # which names the revision that it got
        check_sides(config, vision)
        if language is None:
            dtype = getattr(torch, config.language_dtype)
            language = load_language(config.language, dtype=dtype, long_texts=config.long_texts)
        config = replace(config, language=language.spec)
        paired = config.interface.residual and vision.pooled_dim is not None
        interface = build_interface(
            config,
            channels=vision.channels,
            strides=vision.strides,
            text_width=language.width,
            pooled_width=vision.pooled_dim if paired and vision.pooled_dim == language.pooled_dim else None,
        )
        return cls(config=config, vision=vision, language=language, interface=interface, tasks=tasks).eval()

    @classmethod
    @short_signature
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path = DEFAULT,
        *,
        config: FINDConfig | None = None,
        revision: str | None = None,
        llama: str | Path | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        tasks: Sequence[Task] = (),
        **hub: Any,
    ) -> Self:
        """A shipped model ("find-tiny"), a folder written by `save_pretrained`, or a model of the hub.

        "official/find-focalt-llama" and "official/find-focall-llama" are the checkpoints of the paper's authors, which
        are fetched and converted once (docs/published-checkpoints.md).

        Args:
            config: the config that the model must have been trained with; "{folder}" in it is the model's own folder.
                Its foundations may have moved, if they are the same.
            revision: of a model of the hub.
            llama: for an official model: a folder with LLaMA-7B, or its name on the hub; None: that of the environment
                variable FIND_LLAMA, else the one used before, else the one that the authors name.
            device: the model's device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the best one here; None: CPU.
            dtype: the type that the foundations compute in: float32, bfloat16 or float16; None: the type that the model
                was trained with, but float32 if this CPU would emulate it (`find.utils.precision`). The interface,
                which needs exact coordinates, and all results stay in float32. Saving is not affected.
            tasks: further, untrained tasks, and those of the saved model that have no entry point; its other tasks are
                found by their entry points.
            hub: options of `huggingface_hub.snapshot_download`.

        Raises:
            FindError: there is no such model, its files do not match, or it was trained with another config (reported
                before foundations are built); an unknown argument or an unavailable device.
        """
        check_options(hub)
        wanted = None if device is None else choose_device(str(device))
        computed = None if dtype is None else compute_dtype(dtype)
        folder, checkpoint = find_model(str(pretrained_model_name_or_path), revision=revision, llama=llama, **hub)
        own = checkpoint.config.in_folder(folder)
        if config is None:
            check_named_tasks(own, tasks, str(folder / CONFIG))
        wanted_config = own if config is None else as_wanted(config.in_folder(folder), own, folder)
        model = cls.build(wanted_config, tasks=tasks)
        model.foundations = model.kept_foundations()
        checkpoint.check_foundations(**model.foundations)
        added = [name for name in model.interface.tasks if name_of(model.tasks[name]) not in own.tasks]
        checkpoint.load_into(model.interface, untrained=tuple(f"tasks.{name}." for name in added))
        model.known_classes = checkpoint.classes
        model.nested_widths = checkpoint.nested_widths
        model.trained_classes = checkpoint.trained_classes
        model.folder = folder
        if computed is not None:  # their fingerprints, which tell what was trained with, are known by now
            model.vision.compute_in(computed)
            model.language.compute_in(computed)
        else:
            model.avoid_emulation(choose_device() if wanted is None else wanted)
        return model if wanted is None else model.to(wanted)

    def avoid_emulation(self, device: torch.device) -> None:
        """Lets foundations compute in float32 if a device would emulate the type that they were trained with."""
        for encoder, name in ((self.vision, self.config.vision_dtype), (self.language, self.config.language_dtype)):
            stored = getattr(torch, name)
            suited = suited_dtype(stored, device)
            if suited != stored:
                encoder.compute_in(suited)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Called by `save_pretrained`."""
        self.write(save_directory, self.interface.state_dict())

    def write(self, folder: Path, weights: dict[str, Tensor]) -> None:
        """Saves the model with these weights of its interface."""
        config = self.config
        if self.folder is not None:  # foundations that came with the model go with it
            config = config.out_of_folder(self.folder)
            for name in config.kept_beside:
                if (self.folder / name).resolve() != (folder / name).resolve():
                    shutil.copytree(self.folder / name, folder / name, dirs_exist_ok=True)
        checkpoint = Checkpoint(
            config,
            self.foundations,
            weights,
            str(folder),
            classes=self.known_classes,
            nested_widths=self.nested_widths,
            trained_classes=self.trained_classes,
        )
        checkpoint.write(folder)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """As `torch.nn.Module.to`. Raises FindError for an unavailable device."""
        device = kwargs.get("device", args[0] if args else None)
        if isinstance(device, (str, torch.device)):
            choose_device(str(device))
        return super().to(*args, **kwargs)

    @property
    def device(self) -> torch.device:
        """The device of the interface, where inputs are moved to."""
        return self.interface.query_features.device

    @cached_property
    def foundations(self) -> dict[str, str]:
        """Their fingerprints. They are frozen, so this is computed once, which takes seconds where they are large."""
        return {"vision": fingerprint(self.vision), "language": fingerprint(self.language)}

    def kept_foundations(self) -> dict[str, str]:
        """Their fingerprints from the cache, which are valid as long as the weight files are unchanged."""
        parts: dict[str, Foundation] = {"vision": self.vision, "language": self.language}
        return {kind: cached_fingerprint(encoder, encoder.spec) for kind, encoder in parts.items()}

    @property
    def fingerprint(self) -> str:
        """Changes with the interface's or the foundations' weights; an album stores it to identify the model of its
        vectors.

        Pair term, match head, tagger and added tasks do not affect stored vectors: an album built before they were
        trained stays valid.
        """
        vectors = fingerprint(self.interface, without=BESIDE_VECTORS)
        parts = (vectors, self.foundations["vision"], self.foundations["language"])
        return hashlib.sha256("".join(parts).encode()).hexdigest()


def check_options(hub: Mapping[str, Any]) -> None:
    """Rejects unknown arguments of `from_pretrained`, naming the closest one."""
    if not hub:
        return
    from huggingface_hub import snapshot_download

    fetching = inspect.signature(snapshot_download).parameters.keys() - {"repo_id", "allow_patterns"}
    known = sorted({*inspect.signature(Pretrained.from_pretrained).parameters, *fetching} - {"hub"})
    for name in hub:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
            raise InputError(f"from_pretrained has no argument {name!r}; {hint}")


def as_wanted(wanted: FINDConfig, own: FINDConfig, folder: Path) -> FINDConfig:
    """The config to build for a required config: foundations without a revision get the model's own.

    Locations of foundations are not compared, since they may have moved; their fingerprints are, once they are built.
    Tasks may be added.
    """
    specs = {kind: (getattr(wanted, kind), getattr(own, kind)) for kind in ("vision", "language")}
    others = [kind for kind, (one, other) in specs.items() if _reading(one) != _reading(other)]
    compared = [f.name for f in fields(own) if f.name not in specs and f.name != "tasks"]
    others += [name for name in compared if getattr(wanted, name) != getattr(own, name)]
    others += [] if set(own.tasks) <= set(wanted.tasks) else ["tasks"]
    if others:
        raise CheckpointError(
            f"weights {str(folder)!r} were made with another config ({', '.join(others)} differ); give that one, or no "
            "weights"
        )
    noted = {kind: other for kind, (one, other) in specs.items() if AT_COMMIT.sub("", other) == one}
    return replace(wanted, **noted)


def _reading(spec: str) -> tuple[str, str]:
    """How a foundation is loaded, apart from its location: by which library, up to which block."""
    source, _, block = spec.removeprefix("random:").partition("#")
    return source.partition(":")[0], block
