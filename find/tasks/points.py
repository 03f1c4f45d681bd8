"""Where masks are compared: the mask features and the target masks at the same places, as flat vectors.

Mask logits are linear in the mask features, so features are sampled first and the dot product taken after: no loss
ever needs the full-resolution logits of all queries.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from find.interface.types import Extents
from find.tasks.counter_rng import MASK_POINTS, uniform
from find.utils.transfer import upload


@dataclass(frozen=True)
class MaskPoints:
    """`p` places of each image: the features there and the share that each of its `s` segments covers there.

    `blank`: how many of them are not the image's own, with features and shares of zero; None: all are its own.
    """

    features: Float[Tensor, "b m p"]
    segments: Float[Tensor, "b s p"]
    blank: Int[Tensor, " b"] | None = None


class MaskSampling(ABC):
    """Chooses the places.

    `segments` maps every pixel to its segment's index, -1 for void; `count` is `s`; what is random about an image
    follows its seed. `extents` tell how much of both is an image's own, where images differ in size.
    """

    @abstractmethod
    def __call__(
        self,
        features: Float[Tensor, "b m h w"],
        segments: Int[Tensor, "b H W"],
        count: int,
        seeds: Int[Tensor, " b"],
        extents: Extents | None = None,
    ) -> MaskPoints: ...


class AllPositions(MaskSampling):
    """All places of the mask features; a target is the share of the place's area that the segment covers."""

    def __call__(
        self,
        features: Float[Tensor, "b m h w"],
        segments: Int[Tensor, "b H W"],
        count: int,
        seeds: Int[Tensor, " b"],
        extents: Extents | None = None,
    ) -> MaskPoints:
        height, width = features.shape[-2:]
        blank = None if extents is None else height * width - extents.mask_features.prod(dim=1)
        return MaskPoints(features.flatten(2), covered_shares(segments, (height, width), count), blank)


class RandomPoints(MaskSampling):
    """Uniform random points, bilinear in features and targets (PointRend; Mask2Former uses 12544 an image).

    Args:
        points: of each image, shared by all of its masks.
    """

    def __init__(self, points: int) -> None:
        self.points = points

    def __call__(
        self,
        features: Float[Tensor, "b m h w"],
        segments: Int[Tensor, "b H W"],
        count: int,
        seeds: Int[Tensor, " b"],
        extents: Extents | None = None,
    ) -> MaskPoints:
        xy = uniform(seeds, MASK_POINTS, self.points, 2)
        on_map = xy
        if extents is not None:
            sides = upload(torch.tensor(features.shape[-2:]), features.device)
            on_map, xy = (xy * share.flip(-1)[:, None] for share in (extents.mask_features / sides, extents.canvas))
        with torch.autocast(features.device.type, enabled=False):  # half precision would move the points
            # The channels of a place side by side: on a CPU several times faster to look up.
            features = features.float().contiguous(memory_format=torch.channels_last)
            sampled = F.grid_sample(features, 2 * on_map[:, None] - 1, align_corners=False)[:, :, 0]
        return MaskPoints(sampled, segments_at(segments, xy, count))


def segments_at(segments: Int[Tensor, "b H W"], xy: Float[Tensor, "b p 2"], count: int) -> Float[Tensor, "b s p"]:
    """Bilinear samples of every segment's mask at (x, y) in [0, 1], zero outside, without building the masks."""
    height, width = segments.shape[-2:]
    x, y = xy[..., 0] * width - 0.5, xy[..., 1] * height - 0.5
    left, top = x.floor().long(), y.floor().long()
    covered = xy.new_zeros(len(xy), count + 1, xy.shape[1])
    flat = segments.flatten(1).long()
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        segment = flat.gather(1, place)
        segment = torch.where(inside & (segment >= 0), segment, count)  # the last row collects void and outside
        covered.scatter_add_(1, segment[:, None], weight[:, None])
    return covered[:, :count]


def covered_shares(segments: Int[Tensor, "b H W"], places: tuple[int, int], count: int) -> Float[Tensor, "b s p"]:
    """Adaptive average pooling of every segment's mask (its cells overlap where sides do not divide), without
    building the masks: each pixel is counted where it belongs. Places are no finer than pixels."""
    (height, width), size = segments.shape[-2:], places[0] * places[1]
    rows, columns = (_cells(*sides, segments.device) for sides in ((height, places[0]), (width, places[1])))
    covered = torch.zeros(len(segments), (count + 1) * size, device=segments.device)
    flat = segments.flatten(1).long()
    start = torch.where(flat >= 0, flat, count) * size  # the last row collects void
    for row, row_share in rows:
        for column, column_share in columns:
            place = (row[:, None] * places[1] + column).flatten()
            share = (row_share[:, None] * column_share).flatten()
            covered.scatter_add_(1, start + place, share.expand_as(start))
    return covered.view(len(segments), count + 1, size)[:, :count]


def _cells(
    length: int, places: int, device: torch.device
) -> list[tuple[Int[Tensor, " length"], Float[Tensor, " length"]]]:
    """The cells of a line that each pixel belongs to, one or two, and which share of the cell it is (0: none)."""
    pixel, cell = torch.arange(length, device=device), torch.arange(places, device=device)
    share = 1 / ((-(-(cell + 1) * length // places)) - cell * length // places)
    first, last = pixel * places // length, -(-(pixel + 1) * places // length) - 1
    if length % places == 0:
        return [(first, share[first])]
    return [(first, share[first]), (last, share[last] * (last > first))]
