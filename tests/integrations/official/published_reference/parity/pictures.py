"""Recorded images on their canvases."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from find.foundations.focal import MEAN
from find.images.canvas import ImageGeometry
from find.interface import ImageMemory
from published_reference.parity.fixture import Reference


def frame_of(image: Tensor, size: tuple[int, int] | None = None) -> ImageGeometry:
    """Of an image [3, h, w] that is not resized on its way in, but answered for at `size`."""
    height, width = image.shape[-2:]
    canvas = (-(-height // 32) * 32, -(-width // 32) * 32)
    return ImageGeometry(*(size or (height, width)), height, width, canvas, MEAN, bicubic=True)


def canvases(images: Sequence[Tensor]) -> Tensor:
    """Images on canvases of one size, RGB floats."""
    frames = [frame_of(image) for image in images]
    placed = []
    for image, frame in zip(images, frames, strict=True):
        placed.append(frame.place(image.permute(1, 2, 0).numpy()))
    return torch.stack(placed)


def remember(reference: Reference, *images: Tensor) -> ImageMemory:
    model = reference.model
    return model.interface.encode_image(model.vision(canvases(images)).maps)
