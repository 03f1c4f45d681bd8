"""Encoders by spec strings such as `timm:resnet50.a1_in1k`, found through entry points.

A package adds an encoder by declaring a loader in its own pyproject.toml; ours are declared the same way:

    [project.entry-points."find.vision_encoders"]
    myenc = "mypackage.encoders:load_my_vision"

`findvl fit` and `FIND.build` then accept `vision: myenc:NAME`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch

from find.errors import CheckpointError, shown
from find.foundations.base import LanguageEncoder, VisionEncoder
from find.foundations.tokenization import LongTexts
from find.utils.entry_points import declared

VISION_ENCODERS, LANGUAGE_ENCODERS = "find.vision_encoders", "find.language_encoders"
"""The groups of entry points."""

RANDOM = "random:"


@dataclass(frozen=True)
class EncoderSpec:
    """A parsed spec string, `[random:]LIBRARY[:NAME][#BLOCK]`.

    Attributes:
        text: the full string; an encoder's `spec`, unless it knows a more exact one.
        library: the name of the entry point.
        name: the rest, for the library's loader; empty for loaders of a single encoder, such as `tiny`.
        untrained: whether `random:` requests the architecture with seeded random weights.
        block: the number after `#`: features are read after this many blocks. None: all. Language encoders only.
    """

    text: str
    library: str
    name: str
    untrained: bool = False
    block: int | None = None

    @classmethod
    def parse(cls, text: str, *, blocks: bool = False) -> EncoderSpec:
        """`blocks`: whether `#N` may stand at the end. Raises FindError if `#` is followed by anything else."""
        library, _, name = text.removeprefix(RANDOM).partition(":")
        untrained = text.startswith(RANDOM)
        if not blocks or "#" not in name:
            return cls(text, library, name, untrained)
        name, _, number = name.rpartition("#")
        if not number.isdecimal():
            raise CheckpointError(
                f"unknown foundation {shown(text)}: # is followed by the number of a block, llama:FOLDER#21"
            )
        return cls(text, library, name, untrained, int(number))


class VisionLoader(Protocol):
    """What an entry point of `find.vision_encoders` names.

    `dtype` is what the encoder computes in and what its features come in. Raises `FindError` with one sentence where
    the encoder cannot be loaded.
    """

    def __call__(self, spec: EncoderSpec, *, dtype: torch.dtype) -> VisionEncoder: ...


class LanguageLoader(Protocol):
    """What an entry point of `find.language_encoders` names; `long_texts` says what to do beyond the context length."""

    def __call__(self, spec: EncoderSpec, *, dtype: torch.dtype, long_texts: LongTexts) -> LanguageEncoder: ...


def load_vision(spec: str = "tiny", *, dtype: torch.dtype = torch.float32) -> VisionEncoder:
    """The frozen vision encoder that a spec names.

    "tiny" is the shipped one; "timm:NAME.TAG" one of timm's; "transformers:NAME" a folder or repository of the hub;
    "open_clip:NAME/PRETRAINED" one of open_clip's (PRETRAINED is a tag or a file), "open_clip:local-dir:FOLDER" one in
    a folder; "focal:FOLDER" a focal network; "detectron2:CONFIG@WEIGHTS" a backbone of detectron2. "random:" before
    any of them gives seeded untrained weights. Installed packages add more (see `find.foundations.loading`).

    Args:
        dtype: what the encoder computes in, by autocast, and what its features come in.
    """
    parsed = EncoderSpec.parse(spec)
    load: VisionLoader = _loader(VISION_ENCODERS, "vision encoder", parsed)
    return load(parsed, dtype=dtype)


def load_language(
    spec: str = "tiny", *, dtype: torch.dtype = torch.float32, long_texts: str = "refuse"
) -> LanguageEncoder:
    """The frozen language encoder that a spec names.

    "tiny" and "open_clip:..." as for `load_vision`. "transformers:NAME" is a language model (LLaMA, Qwen3, Gemma), a
    text encoder (BERT, ModernBERT, T5) or the text tower of a CLIP or SigLIP; NAME is a folder, a repository of the
    hub, or one at a revision, "owner/name@revision". "#N" at the end reads features after the Nth block: later blocks
    are neither built nor loaded, except of a CLIP's or SigLIP's tower. "llama:NAME#N" is a LLaMA as the published
    FIND reads it. "random:" before any of them gives seeded untrained weights. Installed packages add more.

    Args:
        dtype: of the weights, or for open_clip's models what they compute in.
        long_texts: "refuse" texts that have more tokens than the encoder takes, by a `FindError`, or "cut" them with a
            warning.
    """
    parsed = EncoderSpec.parse(spec, blocks=True)
    try:
        long = LongTexts(long_texts)
    except ValueError:
        raise CheckpointError(f"long_texts is {shown(str(long_texts))}; it must be 'refuse' or 'cut'") from None
    load: LanguageLoader = _loader(LANGUAGE_ENCODERS, "language encoder", parsed)
    return load(parsed, dtype=dtype, long_texts=long)


Loader = TypeVar("Loader", bound=Callable[..., object])


def _loader(group: str, kind: str, spec: EncoderSpec) -> Loader:
    """The loader that a spec's library names. Raises FindError for a name that no installed package declares."""
    point = declared(group).get(spec.library)
    if point is None:
        raise CheckpointError(
            f"unknown foundation {shown(spec.text)}: no installed package has a {kind} named {shown(spec.library)}; "
            f"there are {', '.join(sorted(declared(group))) or 'none: install findvl again'}"
        )
    try:
        return point.load()
    except ImportError as error:
        raise CheckpointError(f"{kind} {shown(spec.text)}: {point.value} cannot be imported: {error}") from error


def need_name(spec: EncoderSpec, form: str) -> str:
    """The name in a spec whose loader needs one; `form` is the spec's pattern, for the message."""
    if not spec.name:
        raise CheckpointError(f"unknown foundation {shown(spec.text)}: name the model as well, {form}")
    return spec.name


def refuse_name(spec: EncoderSpec) -> None:
    """For loaders of a single encoder: raises FindError if the spec has a name."""
    if spec.name or spec.block is not None:
        raise CheckpointError(f"unknown foundation {shown(spec.text)}: nothing may follow {shown(spec.library)}")
