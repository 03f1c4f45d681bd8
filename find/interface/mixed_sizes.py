"""Images of several sizes in one batch: each keeps its own canvas, and padding beyond it is never read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from find.interface.types import AlignedMap, Extents, ImageMemory
from find.utils.transfer import upload

Size = tuple[int, int]


def concat_memories(
    parts: Sequence[ImageMemory], rows: Sequence[Sequence[int]], canvases: Sequence[Size]
) -> ImageMemory:
    """Joins memories of images with different canvases.

    Args:
        parts: memories of images that share a canvas.
        rows: of the joint memory, for each image of each part.
        canvases: of the parts.
    """
    order = torch.tensor([row for part in rows for row in part]).argsort().tolist()

    def stacked(of: Callable[[ImageMemory], Tensor]) -> Tensor:
        """In the order of the rows."""
        images = [image for part in parts for image in of(part)]
        return torch.stack([images[number] for number in order])

    def each(sizes: Sequence[Sequence[float]]) -> Tensor:
        """One of these for each part's images."""
        found = [size for size, part in zip(sizes, rows, strict=True) for _ in part]
        values = torch.tensor([found[number] for number in order])
        return upload(values, parts[0].mask_features.device)

    def flat(shapes: Sequence[Size], of: Callable[[ImageMemory], Tensor]) -> Callable[[ImageMemory], Tensor]:
        """The part's flattened map, widened to the largest; places come last."""
        common = _largest(shapes)
        shape_of = dict(zip(map(id, parts), shapes, strict=True))
        return lambda part: _widened(of(part).unflatten(-1, shape_of[id(part)]), common).flatten(-2)

    largest, features = _largest(canvases), [_map_size(part.mask_features) for part in parts]
    levels, positions, attention, shapes = [], [], [], []
    for k in range(len(parts[0].levels)):
        own = [part.shapes[k] for part in parts]
        shapes.append(own)
        level, place, feature = (partial(of, k=k) for of in (_level, _positions, _attention_features))
        levels.append(stacked(flat(own, level)).mT)
        positions.append(stacked(flat(own, place)).mT)
        attention.append(stacked(flat(own, feature)))
    aligned, aligned_sizes = None, None
    if parts[0].aligned is not None:
        own = [_aligned(part).shape for part in parts]
        values = stacked(flat(own, lambda part: _aligned(part).values.mT)).mT
        drawn = stacked(flat(own, lambda part: _aligned(part).mask_features))
        aligned_sizes = each(own)
        aligned = AlignedMap(values, _largest(own), drawn, is_inside(aligned_sizes, _largest(own)))
    return replace(
        parts[0],
        levels=tuple(levels),
        positions=tuple(positions),
        shapes=tuple(_largest(own) for own in shapes),
        mask_features=stacked(lambda part: _widened(part.mask_features, _largest(features))),
        attention_features=tuple(attention),
        pooled=None if parts[0].pooled is None else stacked(_pooled),
        aligned=aligned,
        projected=(),
        extents=Extents(
            canvas=each([tuple(own / common for own, common in zip(c, largest, strict=True)) for c in canvases]),
            levels=tuple(each(own) for own in shapes),
            mask_features=each(features),
            aligned=aligned_sizes,
        ),
    )


def _level(part: ImageMemory, k: int) -> Float[Tensor, "b c p"]:
    return part.levels[k].mT


def _positions(part: ImageMemory, k: int) -> Float[Tensor, "b c p"]:
    return part.positions[k].mT.expand(part.batch, -1, -1)


def _attention_features(part: ImageMemory, k: int) -> Float[Tensor, "b m p"]:
    return part.attention_features[k]


def _pooled(part: ImageMemory) -> Float[Tensor, "b v"]:
    assert part.pooled is not None  # all parts are of one model
    return part.pooled


def _aligned(part: ImageMemory) -> AlignedMap:
    assert part.aligned is not None  # likewise
    return part.aligned


def _map_size(x: Float[Tensor, "... h w"]) -> Size:
    return x.shape[-2], x.shape[-1]


def is_inside(sizes: Int[Tensor, "b 2"], shape: Size) -> Bool[Tensor, "b p"]:
    """Which positions of a padded map belong to each image's own map, given its rows and columns."""
    rows, columns = (torch.arange(shape[axis], device=sizes.device) < sizes[:, axis, None] for axis in (0, 1))
    return (rows[:, :, None] & columns[:, None]).flatten(1)


def _largest(sizes: Sequence[Size]) -> Size:
    rows, columns = zip(*sizes, strict=True)
    return max(rows), max(columns)


def _widened(x: Float[Tensor, "... h w"], size: Size) -> Float[Tensor, "... H W"]:
    return F.pad(x, (0, size[1] - x.shape[-1], 0, size[0] - x.shape[-2]))
