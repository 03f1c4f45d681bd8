"""A system that returns predictions from files, so that the protocols can score any other system."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from find.errors import DataError
from find.evaluation.prediction_files.folder import NamedFolder, id_of
from find.evaluation.prediction_files.masks import MaskFile
from find.evaluation.prediction_files.query_parts import Parts, key_of, parts_of, parts_of_text
from find.evaluation.prediction_files.vectors import Vectors
from find.images.images import ImageLike
from find.model.predictions import EntityMask
from find.query.query import Query


@dataclass(frozen=True)
class ImageRows:
    """Images in a shared space, each with equally many objects."""

    image: Float[Tensor, "b d"]
    objects: Float[Tensor, "b n d"]


@dataclass(frozen=True)
class QueryRows:
    """Queries in a shared space; `padding` is True beyond the number of a query's entities."""

    query: Float[Tensor, "q d"]
    entities: Float[Tensor, "q e d"]
    padding: Bool[Tensor, "q e"]

    @classmethod
    def of(cls, vectors: Sequence[tuple[Float[Tensor, " d"], Float[Tensor, "e d"]]]) -> QueryRows:
        """From the vectors of the queries and of their entities."""
        query = torch.stack([vector for vector, _ in vectors])
        most = max(len(entities) for _, entities in vectors)
        entities = query.new_zeros(len(vectors), most, query.shape[1])
        padding = torch.ones(len(vectors), most, dtype=torch.bool, device=query.device)
        for row, (_, own) in enumerate(vectors):
            entities[row, : len(own)] = own
            padding[row, : len(own)] = False
        return cls(query, entities, padding)


@dataclass
class RecordedSystem:
    """Answers grounding, interleaved segmentation and both retrieval tasks from files; a missing prediction raises
    `FindError`. (`score_panoptic` reads generic segmentation directly from its files.)"""

    folder: NamedFolder
    grounding: MaskFile | None = None
    segmentation: MaskFile | None = None
    vectors: Vectors | None = None
    _times: Counter = field(default_factory=Counter, init=False)

    def ground(self, images: Sequence[ImageLike], texts: Sequence[Sequence[str]]) -> list[list[EntityMask]]:
        return [
            [self._masks(self.grounding, image, parts_of_text(text))[0] for text in asked]
            for image, asked in zip(images, texts, strict=True)
        ]

    def segment(self, images: Sequence[ImageLike], queries: Sequence[Query]) -> list[list[EntityMask]]:
        return [
            self._masks(self.segmentation, image, parts_of(query, self.folder))
            for image, query in zip(images, queries, strict=True)
        ]

    def embed_images(self, images: Sequence[ImageLike]) -> ImageRows:
        rows = [self._vector("image", self._all_vectors().images, id_of(image)) for image in images]
        return ImageRows(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "t d"]:
        return torch.from_numpy(np.stack([self._vector("text", self._all_vectors().texts, text) for text in texts]))

    def embed_queries(self, queries: Sequence[Query]) -> QueryRows:
        keys = [key_of(parts_of(query, self.folder)) for query in queries]
        rows = [self._vector("query", self._all_vectors().queries, key) for key in keys]
        return QueryRows.of([(torch.from_numpy(query), torch.from_numpy(entities)) for query, entities in rows])

    def _masks(self, file: MaskFile | None, image: ImageLike, parts: Parts) -> list[EntityMask]:
        if file is None:
            raise DataError("masks of queries are needed, but no file of them was given")
        image_id = id_of(image)
        asked = (file.path, image_id, key_of(parts))
        self._times[asked] += 1
        return file.answer(image_id, parts, self._times[asked] - 1)

    def _all_vectors(self) -> Vectors:
        if self.vectors is None:
            raise DataError("vectors are needed, but no file of them was given")
        return self.vectors

    @staticmethod
    def _vector(kind: str, rows: dict, key: object):
        if key not in rows:
            raise DataError(f"there is no vector of {kind} {key}; `findvl bench validate` lists all that are missing")
        return rows[key]
