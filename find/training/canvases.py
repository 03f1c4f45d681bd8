"""Encodes the images of a batch, each on its own canvas, as in inference on a single image."""

from __future__ import annotations

import torch

from find.data.batch import Batch
from find.interface import ImageMemory
from find.interface.mixed_sizes import concat_memories
from find.model.model import FIND


def encode_batch(model: FIND, batch: Batch) -> ImageMemory:
    """The image memory of the batch. Images with equal canvases are encoded together, and padding is never read, so
    what is learned from an image does not depend on the rest of the batch."""
    rows: dict[tuple[int, int], list[int]] = {}
    for row, canvas in enumerate(batch.canvases):
        rows.setdefault(canvas, []).append(row)
    parts = []
    for (height, width), mine in rows.items():
        if len(rows) == 1:
            images = batch.images
        else:
            images = torch.stack([batch.images[row, :, :height, :width] for row in mine])
        with torch.no_grad():
            features = model.vision(images).to(model.device)
        parts.append(model.interface.encode_image(features.maps, features.pooled, features.aligned))
    return parts[0] if len(parts) == 1 else concat_memories(parts, list(rows.values()), list(rows))
