"""How mask logits get to a picture's size: in pieces, since all proposals of a large picture take gigabytes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor


class MaskResizer(Protocol):
    """Resizes mask logits to a picture of height x width."""

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...

    def parts(self, logits: Float[Tensor, "n h w"]) -> Iterable[Float[Tensor, "_ H W"]]:
        """A few masks at a time; of no masks one empty part."""

    def strips(self, logits: Float[Tensor, "n h w"]) -> Iterable[tuple[slice, Float[Tensor, "n H _"]]]:
        """A few columns of all masks at a time, and which columns these are."""


@dataclass(frozen=True)
class IdentityResizer:
    """Of masks that have the picture's size already."""

    height: int
    width: int

    def parts(self, logits: Float[Tensor, "n H W"]) -> Iterator[Float[Tensor, "n H W"]]:
        yield logits

    def strips(self, logits: Float[Tensor, "n H W"]) -> Iterator[tuple[slice, Float[Tensor, "n H W"]]]:
        yield slice(0, self.width), logits
