"""The regions of queries as inputs of the interface: tokens sampled from the pictures that they lie in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from find.images.canvas import ImageGeometry
from find.images.images import ImageLike
from find.interface import ImageMemory, Interface, Tokens
from find.query.entity import Region
from find.query.query import Query
from find.utils.transfer import upload


@dataclass(frozen=True)
class Place:
    """A region's place: the index of its query, of its entity, and of its picture."""

    query: int
    entity: int
    picture: int
    region: Region


@dataclass(frozen=True)
class ShownRegions:
    """The regions of a batch of queries, and their pictures, each once."""

    shape: tuple[int, int]  # queries, and entities of the query that has most
    places: tuple[Place, ...]
    pictures: tuple[ImageLike, ...]

    @classmethod
    def of(cls, queries: Sequence[Query]) -> ShownRegions:
        numbers: dict[str | int, int] = {}
        pictures: list[ImageLike] = []
        places: list[Place] = []
        for row, query in enumerate(queries):
            for column, entity in enumerate(query.entities):
                if isinstance(entity, Region):
                    key = entity.image if isinstance(entity.image, str) else id(entity.image)
                    if key not in numbers:
                        numbers[key] = len(pictures)
                        pictures.append(entity.image)
                    places.append(Place(row, column, numbers[key], entity))
        most = max((len(query.entities) for query in queries), default=0)
        return cls((len(queries), most), tuple(places), tuple(pictures))

    def read(
        self, interface: Interface, frames: Sequence[ImageGeometry], memories: Iterable[tuple[list[int], ImageMemory]]
    ) -> tuple[tuple[Tokens, ...], Float[Tensor, "q e v"] | None]:
        """Their visual tokens, one `Tokens` a level, indexed by entity, and the vision encoder's own embeddings of
        them; None where it has none.

        Args:
            frames: of the pictures.
            memories: of the pictures, a batch at a time, with the numbers of the pictures in it.
        """
        device, points = interface.query_features.device, interface.sampler.points
        padding = torch.ones(*self.shape, points, dtype=torch.bool, device=device)
        values: list[Tensor] = []
        aligned = None
        for numbers, memory in memories:
            row_of = {picture: row for row, picture in enumerate(numbers)}
            here = [place for place in self.places if place.picture in row_of]
            masks = torch.stack([frames[place.picture].place_mask(place.region.bitmap()) for place in here])
            rows = upload(torch.tensor([row_of[place.picture] for place in here]), device)
            asked = upload(masks[:, None], device), rows[:, None]
            tokens = interface.sampler(memory, *asked)
            if not values:
                values = [level.values.new_zeros(*self.shape, points, interface.width) for level in tokens]
            query, entity = upload(torch.tensor([(place.query, place.entity) for place in here]), device).unbind(1)
            length = tokens[0].padding.shape[1]  # a sampler may give fewer than its limit
            padding[query, entity, :length] = tokens[0].padding
            for level, sampled in zip(values, tokens, strict=True):
                level[query, entity, :length] = sampled.values
            own = interface.aligned_regions(memory, *asked)
            if own is not None:
                aligned = own.new_zeros(*self.shape, own.shape[-1]) if aligned is None else aligned
                aligned[query, entity] = own[:, 0]
        index = torch.arange(self.shape[1], device=device).repeat_interleave(points).expand(self.shape[0], -1)
        return tuple(Tokens(level.flatten(1, 2), padding.flatten(1), index) for level in values), aligned
