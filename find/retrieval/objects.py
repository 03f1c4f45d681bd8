"""Selection of the object proposals that an album stores, and their masks, about fifty bytes each."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from find.errors import DataError
from find.images.canvas import ImageGeometry

SIDE = 32
"""A mask is stored as SIDE x SIDE pixels of its box, which preserves the shape of small objects."""


@dataclass(frozen=True)
class Selection:
    """Selects proposals: the best by score, without near duplicates of better ones.

    Args:
        most: maximum per image; at least one is stored.
        mask_overlap, similarity: a proposal is a duplicate where both the intersection over union of its mask and
            the cosine similarity of its vector with those of a better proposal exceed these. This does not hurt
            searches: 14 of find-tiny's 24 proposals remain, and interleaved IR@1 among 300 images stays at 86.7 %.
    """

    most: int = 16
    mask_overlap: float = 0.0
    similarity: float = 0.95

    def choose(
        self, vectors: Float[Tensor, "n d"], scores: Float[Tensor, " n"], masks: Bool[Tensor, "n h w"]
    ) -> Int64[Tensor, " k"]:
        """Indices of the selected proposals, best first."""
        flat = masks.flatten(1).float()
        area = flat.sum(1)
        shared = flat @ flat.T
        overlap = shared / (area[:, None] + area - shared).clamp(min=1)
        same = (overlap > self.mask_overlap) & (vectors.float() @ vectors.float().T > self.similarity)
        order = scores.float().masked_fill(area == 0, -1).argsort(descending=True, stable=True)
        alike, seen = same.cpu().numpy(), (area > 0).cpu().numpy()
        kept: list[int] = []
        for number in order.tolist():
            if len(kept) == self.most or (kept and not seen[number]):
                break
            if not alike[number, kept].any():
                kept.append(number)
        return torch.tensor(kept, device=vectors.device)


@dataclass(frozen=True)
class ObjectMasks:
    """Masks of an image's objects: boxes, and the pixels inside them.

    Attributes:
        boxes: x0, y0, x1, y1 in pixels of the image; x1 and y1 are exclusive; all 0 for an empty mask.
        grids: each mask's pixels inside its box, resized to SIDE x SIDE.
    """

    boxes: Int[np.ndarray, "k 4"]
    grids: Bool[np.ndarray, "k s s"]

    @classmethod
    def of(cls, logits: Float[Tensor, "k h w"], frame: ImageGeometry) -> ObjectMasks:
        """From mask logits on an image's canvas, at any stride."""
        from torchvision.ops import masks_to_boxes, roi_align  # takes seconds to import, and searches do not need it

        full = F.interpolate(logits[None].float(), frame.canvas, mode="bilinear", align_corners=False)[0]
        full = full[:, : frame.inner_height, : frame.inner_width]
        masks = full > 0
        seen = masks.flatten(1).any(1)
        inner = torch.zeros(len(full), 4, device=full.device)
        inner[seen] = masks_to_boxes(masks[seen]) + torch.tensor([0.0, 0, 1, 1], device=full.device)
        numbers = torch.arange(len(full), device=full.device)[:, None]
        grids = roi_align(full[:, None], torch.cat([numbers, inner], dim=1), SIDE, aligned=True)[:, 0] > 0
        scale = torch.tensor([frame.width / frame.inner_width, frame.height / frame.inner_height] * 2)
        boxes = (inner.cpu() * scale).round().to(torch.int32)
        return cls(boxes.numpy(), (grids & seen[:, None, None]).cpu().numpy())

    def draw(self, number: int, height: int, width: int) -> Bool[np.ndarray, "H W"]:
        """The mask of one object at the image's own size."""
        mask = np.zeros((height, width), dtype=bool)
        x0, y0, x1, y1 = (int(side) for side in self.boxes[number])
        x0, x1, y0, y1 = max(x0, 0), min(x1, width), max(y0, 0), min(y1, height)
        if x0 < x1 and y0 < y1:
            grid = torch.from_numpy(self.grids[number])[None, None].float()
            inside = F.interpolate(grid, (y1 - y0, x1 - x0), mode="bilinear", align_corners=False, antialias=True)
            mask[y0:y1, x0:x1] = inside[0, 0].numpy() >= 0.5
        return mask

    def to_bytes(self) -> bytes:
        """The grids, compressed; each row is stored as its difference from the row above, which compresses well."""
        change = self.grids.copy()
        change[:, 1:] ^= self.grids[:, :-1]
        return zlib.compress(np.packbits(change).tobytes(), 9)

    @classmethod
    def from_bytes(cls, boxes: Int[np.ndarray, "k 4"], packed: bytes) -> ObjectMasks:
        """Inverse of `to_bytes`. Raises FindError if the bytes do not hold one mask per box."""
        size = len(boxes) * SIDE * SIDE // 8
        try:
            bits = zlib.decompressobj().decompress(packed, size + 1)  # bounded: a crafted file cannot exhaust memory
        except zlib.error as error:
            raise DataError(f"the masks of an image are damaged ({error})") from error
        if len(bits) != size:
            raise DataError(f"the masks of an image are damaged: {len(bits)} bytes instead of {size}")
        change = np.unpackbits(np.frombuffer(bits, np.uint8)).reshape(len(boxes), SIDE, SIDE)
        return cls(boxes, np.bitwise_xor.accumulate(change, axis=1).astype(bool))
