"""Numbers that keep their types: modules that refuse to be cast, and names of types as users give them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import torch
from torch import Tensor, nn
from typing_extensions import Self

from find.errors import InputError

COMPUTE_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""What foundations can compute in, by name."""


class FixedDtypes(nn.Module):
    """A module that moves between devices but is never cast to another floating-point type.

    Raises:
        FindError: by `to(dtype)`, `half`, `bfloat16`, `double`, of this module or of one that it is a part of.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Torch's one way by which all of these change a module's tensors."""
        held = {t.dtype for t in chain(self.parameters(), self.buffers()) if t.is_floating_point()}
        for dtype in sorted(held, key=str):
            if fn(torch.empty(0, dtype=dtype)).dtype != dtype:
                raise InputError(
                    f"{type(self).__name__} cannot be cast to another type, which would round coordinates and frozen "
                    "weights. For inference with foundations in low precision use FIND.from_pretrained(..., "
                    "dtype='bfloat16'); for training use precision bf16-mixed, not bf16-true"
                )
        return super()._apply(fn, recurse)


def compute_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """The type of a name, "bfloat16", or the type itself. Raises FindError where foundations cannot compute in it."""
    name = str(dtype).removeprefix("torch.")
    if name not in COMPUTE_DTYPES:
        raise InputError(f"dtype is {dtype!r}; it must be one of {', '.join(COMPUTE_DTYPES)}")
    return COMPUTE_DTYPES[name]
