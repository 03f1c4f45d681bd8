"""The sine position code of a map (DETR, appendix A.4; Mask2Former's normalised variant)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sine_positions(
    height: int, width: int, channels: int, *, device: torch.device | None = None
) -> Float[Tensor, "p c"]:
    """Codes of a height x width grid, row-major: channels/2 numbers of the row, then channels/2 of the column.

    Row k of n (counted from 1) has angle 2 pi k / n; even channels are sines, odd ones cosines, of the angle
    divided by 10000^(2 floor(i/2) / (channels/2)).
    """
    half = channels // 2
    exponent = 2 * torch.div(torch.arange(half, device=device), 2, rounding_mode="floor") / half
    scale = 10000.0**exponent

    def code(length: int) -> Tensor:
        angle = torch.arange(1, length + 1, device=device) / (length + 1e-6) * 2 * math.pi
        phase = angle[:, None] / scale
        return torch.stack([phase[:, 0::2].sin(), phase[:, 1::2].cos()], dim=2).flatten(1)

    rows = code(height)[:, None].expand(height, width, half)
    columns = code(width)[None].expand(height, width, half)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)
