"""Vectors truncated to their first values, which models trained for it (Matryoshka) compare almost as well by."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from find.errors import InputError


def cut(vectors: Float[Tensor, "... d"], dim: int) -> Float[Tensor, "... c"]:
    """The first `dim` values, scaled back to unit length; padding of zeros stays zero."""
    if dim == vectors.shape[-1]:
        return vectors
    if dim > vectors.shape[-1]:
        raise InputError(f"the vectors have {vectors.shape[-1]} values, {dim} cannot be taken")
    return normalize(vectors[..., :dim].float(), dim=-1).to(vectors.dtype)
