"""JPEG by torchvision: the pixels of Pillow, sooner, and past headers at which Pillow's reader stumbles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

if TYPE_CHECKING:
    import torch

JPEG = b"\xff\xd8\xff"
"""How a JPEG file begins."""


def decode_jpeg(data: bytes) -> UInt8[np.ndarray, "H W 3"] | None:
    """Pixels as stored, not turned; None where the file is broken, grey or CMYK, which Pillow reads better."""
    from torchvision.io import decode_jpeg  # only where something is decoded: it takes long to import

    try:
        pixels = decode_jpeg(as_tensor(data))
    except RuntimeError:
        return None
    return pixels.permute(1, 2, 0).numpy() if len(pixels) == 3 else None


def as_tensor(data: bytes) -> UInt8[torch.Tensor, " n"]:
    import torch

    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
