"""References: for each segment, the most similar segment of its class in another image, by frozen vision features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from find.data.coco import CocoFolder
from find.data.sample import Reference, Segment
from find.data.segment_map import segment_index
from find.errors import DataError
from find.foundations.base import VisionEncoder
from find.utils.progress import track

SIDE = 384
"""Images are encoded with their longer side resized to about this, in multiples of the encoder's divisor."""
AT_ONCE = 512
"""Segments compared with their whole class at once: COCO's train split has a quarter of a million persons."""


@dataclass(frozen=True)
class SegmentFeatures:
    """A unit vector for each segment of a split except crowds; `position` is the index of its image in the split."""

    vectors: Float[np.ndarray, "s d"]
    positions: Int[np.ndarray, " s"]
    segment_ids: Int[np.ndarray, " s"]
    category_ids: Int[np.ndarray, " s"]


def segment_features(folder: CocoFolder, encoder: VisionEncoder, *, progress: bool = False) -> SegmentFeatures:
    """The mean of the encoder's deepest map over each segment (cells are weighted by the covered fraction)."""
    vectors, positions, segment_ids, category_ids = [], [], [], []
    for position, image_id in enumerate(track(folder.image_ids, "encoding segments", shown=progress)):
        segments = [segment for segment in folder.segments(image_id) if not segment.is_crowd]
        if not segments:
            continue
        vectors.append(_means(folder, image_id, segments, encoder))
        positions += [position] * len(segments)
        segment_ids += [segment.id for segment in segments]
        category_ids += [segment.category_id for segment in segments]
    if not vectors:
        raise DataError(f"{folder.root}: {folder.split} has no segments that could be references; build without them")
    return SegmentFeatures(np.concatenate(vectors), *map(np.array, (positions, segment_ids, category_ids)))


def nearest(features: SegmentFeatures, image_ids: Sequence[int], *, skip: int = 0) -> dict[tuple[int, int], Reference]:
    """By image and segment id: the segment of the same class with the largest cosine similarity, in another image.

    Ties are broken by the order of images and segments, so the same features give the same references.

    Args:
        image_ids: the images of the split, in order.
        skip: take no reference from images within this distance in the split: adjacent video frames are near copies.
    """
    found: dict[tuple[int, int], Reference] = {}
    for category in np.unique(features.category_ids):
        own = np.flatnonzero(features.category_ids == category)
        for block in (own[start : start + AT_ONCE] for start in range(0, len(own), AT_ONCE)):
            similarity = (features.vectors[block] @ features.vectors[own].T).astype(np.float64).round(6)
            apart = np.abs(features.positions[block][:, None] - features.positions[own]) > skip
            similarity[~apart] = -np.inf
            for row, best in enumerate(similarity.argmax(axis=1)):
                if not apart[row, best]:
                    continue
                mine, other = block[row], own[best]
                reference = Reference(image_ids[features.positions[other]], int(features.segment_ids[other]))
                found[image_ids[features.positions[mine]], int(features.segment_ids[mine])] = reference
    return found


@torch.inference_mode()
def _means(
    folder: CocoFolder, image_id: int, segments: Sequence[Segment], encoder: VisionEncoder
) -> Float[np.ndarray, "s d"]:
    pixels = torch.from_numpy(folder.image(image_id)).permute(2, 0, 1)[None].float()
    scale = SIDE / max(pixels.shape[-2:])
    size = [max(1, round(side * scale / encoder.divisor)) * encoder.divisor for side in pixels.shape[-2:]]
    if encoder.image_size is not None:
        size = [encoder.image_size, encoder.image_size]
    resized = F.interpolate(pixels, size=size, mode="bilinear", antialias=True).clamp(0, 255)
    features: Tensor = encoder(resized).maps[-1][0].float().cpu()
    index = segment_index(folder.segment_map(image_id), np.array([segment.id for segment in segments], np.int32))
    masks = torch.from_numpy(index[None] == np.arange(len(segments))[:, None, None]).float()
    shares = F.adaptive_avg_pool2d(masks, features.shape[-2:]).flatten(1)
    means = shares @ features.flatten(1).T
    return F.normalize(means, dim=-1).numpy()
