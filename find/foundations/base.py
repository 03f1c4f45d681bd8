"""Protocols of vision and language encoders, the dataclasses they return, and `Frozen`, a base class for modules."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn

from find.errors import CheckpointError, InputError
from find.utils.dtypes import FixedDtypes
from find.utils.transfer import upload


@dataclass(frozen=True)
class VisionFeatures:
    """Multi-scale features of a batch of images.

    `maps[i]` has side `h / strides[i]`; maps go from fine to coarse. `pooled` is one vector an image in
    the space shared with the encoder's own language partner (not normalised), or None without such a space.
    `aligned` is a map of vectors in that same space: their mean inside a mask compares with the text that names what
    the mask holds; None where the encoder has none.
    """

    maps: tuple[Float[Tensor, "b _ _ _"], ...]
    strides: tuple[float, ...]
    pooled: Float[Tensor, "b d"] | None
    aligned: Float[Tensor, "b d h w"] | None = None

    def to(self, *args: Any, **kwargs: Any) -> VisionFeatures:
        """The same features on another device or in another dtype (arguments of `Tensor.to`)."""
        pooled, aligned = (None if x is None else x.to(*args, **kwargs) for x in (self.pooled, self.aligned))
        return replace(self, maps=tuple(m.to(*args, **kwargs) for m in self.maps), pooled=pooled, aligned=aligned)


@dataclass(frozen=True)
class TokenizedText:
    """A batch of tokenized texts, padded on the right to the longest of the batch.

    `offsets[b, t]` is the character range [start, end) of a token in its text, leading spaces excluded;
    special tokens and padding have (0, 0). `unknown[b]` names the words of text b never seen in training.
    """

    ids: Int64[Tensor, "b t"]
    padding: Bool[Tensor, "b t"]  # True = padding
    offsets: Int64[Tensor, "b t 2"]
    unknown: tuple[tuple[str, ...], ...]

    def to(self, device: torch.device | str) -> TokenizedText:
        """The same tokens on another device."""
        return replace(
            self,
            ids=upload(self.ids, device),
            padding=upload(self.padding, device),
            offsets=upload(self.offsets, device),
        )


@dataclass(frozen=True)
class TextFeatures:
    """Token features of a batch of texts; rows of padding are zero.

    `pooled` is one vector a text in the space shared with the vision partner (not normalised), or None.
    """

    tokens: Float[Tensor, "b t d"]
    padding: Bool[Tensor, "b t"]  # True = padding
    offsets: Int64[Tensor, "b t 2"]
    pooled: Float[Tensor, "b p"] | None

    def to(self, *args: Any, **kwargs: Any) -> TextFeatures:
        """The same features on another device or in another dtype (a dtype touches the features only)."""
        tokens = self.tokens.to(*args, **kwargs)
        return TextFeatures(
            tokens=tokens,
            padding=self.padding.to(tokens.device),
            offsets=self.offsets.to(tokens.device),
            pooled=None if self.pooled is None else self.pooled.to(*args, **kwargs),
        )


class HasState(Protocol):
    """What `fingerprint` needs; every `nn.Module` has it."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """The tensors that results depend on, by name; empty where there are none."""
        ...


class Foundation(HasState, Protocol):
    """What both kinds of frozen encoders have in common.

    An implementation need not be an `nn.Module`. One that is becomes a part of the model, so that `FIND.to` moves it to
    the interface's device; it should subclass `Frozen`, which keeps it in eval mode and without gradients. Any other
    object manages its device itself, and its features may lie on any: they are moved to the interface's. The
    attributes are only read.
    """

    @property
    def spec(self) -> str:
        """What `load_vision` or `load_language` takes to build this encoder again; model folders keep it."""
        ...

    @property
    def pooled_dim(self) -> int | None:
        """Width of the pooled vectors; None without them."""
        ...

    def compute_in(self, dtype: torch.dtype) -> None:
        """Computes in `dtype` from now on, as if loaded in it; called by `FIND.from_pretrained(dtype=)`.

        Raises:
            FindError: the dtype cannot be changed.
        """
        ...


@runtime_checkable
class VisionEncoder(Foundation, Protocol):
    """A frozen image encoder; these are all the members it needs (see `Foundation`)."""

    @property
    def strides(self) -> tuple[float, ...]:
        """Stride of each feature map in pixels, fine to coarse."""
        ...

    @property
    def channels(self) -> tuple[int, ...]:
        """Number of channels of each feature map."""
        ...

    @property
    def divisor(self) -> int:
        """Height and width of the images are multiples of it."""
        ...

    @property
    def image_size(self) -> int | None:
        """Side of the square images it was trained on; None without such a side. If it is also the divisor, images have
        this size and no other."""
        ...

    def __call__(self, images: UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"]) -> VisionFeatures:
        """Features of RGB images in 0..255 (bytes or floats) on the model's device; normalisation happens inside.

        Raises:
            FindError: a side is not a multiple of `divisor`.
        """
        ...


@runtime_checkable
class LanguageEncoder(Foundation, Protocol):
    """A frozen text encoder and its tokenizer; these are all the members it needs (see `Foundation`)."""

    @property
    def width(self) -> int:
        """Of a token's features."""
        ...

    @property
    def context_length(self) -> int:
        """Maximum number of tokens of a text, special tokens included."""
        ...

    @property
    def placeholder(self) -> str:
        """The word that stands for a region in a text."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The type that features are computed and cached in; returned features may have a wider type."""
        ...

    def tokenize(self, texts: Sequence[str]) -> TokenizedText:
        """Tokens of the texts on the CPU, padded to the longest of the batch.

        Raises:
            FindError: a text is too long.
        """
        ...

    def __call__(self, tokenized: TokenizedText) -> TextFeatures:
        """Features of tokens. Tokens are on the CPU; the encoder moves them to its device.

        The result depends on ids and padding only. The result for a text never depends on the other texts of the batch.
        """
        ...


def device_of(encoder: Foundation) -> torch.device:
    """The device of an encoder's tensors; the CPU for one that is not an `nn.Module` or has none."""
    tensors = chain(encoder.parameters(), encoder.buffers()) if isinstance(encoder, nn.Module) else ()
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def only_side(vision: VisionEncoder) -> int | None:
    """Side of the images of an encoder that takes only squares of one size; None if it takes other sizes."""
    return vision.image_size if vision.image_size == vision.divisor else None


class Frozen(FixedDtypes):
    """A frozen module: always in eval mode (BatchNorm statistics are fixed), without gradients.

    `.to(dtype)` and `.half()` do not cast it, because its record of the dtype would become wrong.
    """

    def freeze(self) -> None:
        """To be called at the end of a subclass's constructor."""
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Frozen:
        return super().train(False)

    def compute_in(self, dtype: torch.dtype) -> None:
        """Computes in `dtype` from now on, as if loaded in it. Raises FindError if that is not supported."""
        raise CheckpointError(
            f"{type(self).__name__} cannot change the type that it computes in; load it anew, in {dtype}"
        )


def check_divisible(images: Tensor, divisor: int) -> None:
    """Raise `FindError` unless `images` is a batch [b, 3, h, w] whose sides are multiples of `divisor`."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(f"images must have shape [batch, 3, height, width], these have {tuple(images.shape)}")
    height, width = images.shape[-2:]
    if height % divisor or width % divisor or not height or not width:
        raise InputError(
            f"images of {width}x{height} pixels (width x height) do not fit the vision encoder: both sides "
            f"must be multiples of {divisor}; pad or resize them first"
        )


def fingerprint(module: HasState, *, without: tuple[str, ...] = ()) -> str:
    """SHA-256 over the names, shapes, types and values of a module's state; the same on every device.

    Tensors whose names begin with one of `without` are left out.

    With it a checkpoint of an interface identifies the foundations that it was trained on.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if name.startswith(without):
            continue
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
