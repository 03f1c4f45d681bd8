"""Which row of the image memory a region lies in."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def own_rows(padding: Bool[Tensor, "b r"]) -> Int[Tensor, "b r"]:
    """Every region lies in its own batch row; -1 for padding."""
    rows = torch.arange(len(padding), device=padding.device)[:, None].expand_as(padding)
    return rows.masked_fill(padding, -1)
