"""The queries of a protocol on a folder, collected by running it with a system that records them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from find.evaluation.evaluate import Task, evaluate
from find.evaluation.prediction_files.folder import NamedFolder, id_of
from find.evaluation.prediction_files.masks import QueryRecords, write_records
from find.evaluation.prediction_files.query_parts import Parts, key_of, parts_of, parts_of_text
from find.evaluation.prediction_files.recorded import ImageRows, QueryRows
from find.images.images import ImageLike
from find.model.predictions import EntityMask
from find.query.query import Query


@dataclass
class QueryCollector:
    """Records queries and returns blank results: empty masks, zero vectors."""

    folder: NamedFolder
    grounded: list[tuple[int, Parts]] = field(default_factory=list)  # image id, query
    segmented: list[tuple[int, Parts]] = field(default_factory=list)  # likewise, for interleaved segmentation
    image_ids: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    queries: dict[str, Parts] = field(default_factory=dict)  # by key

    @classmethod
    def of(cls, folder: NamedFolder, task: Task, **options: Any) -> QueryCollector:
        """All queries of one task; `options` as for `evaluate`. Raises `FindError` as `evaluate` does."""
        asked = cls(folder)
        evaluate(asked, folder, tasks=[task], progress=False, **options)
        asked.image_ids, asked.texts = list(dict.fromkeys(asked.image_ids)), list(dict.fromkeys(asked.texts))
        return asked

    def write(self, path: Path) -> None:
        """The queries as JSON (see docs/bench-formats.md)."""
        queries = QueryRecords()
        for image_id, parts in self.grounded or self.segmented:
            queries.add(image_id, parts)
        lists: dict[str, Sequence[dict]] = {}
        if queries.records:
            lists = {"queries": queries.records, "masks": []}
        if self.image_ids:
            lists |= {
                "images": [{"image_id": image_id} for image_id in self.image_ids],
                "texts": [{"text": text} for text in self.texts],
                "queries": [{"key": key, "parts": parts} for key, parts in self.queries.items()],
            }
        write_records(path, **lists)

    def summary(self) -> str:
        counts = {
            "queries for masks": len(self.grounded + self.segmented),
            "images": len(self.image_ids),
            "texts": len(self.texts),
            "queries": len(self.queries),
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)

    def ground(self, images: Sequence[ImageLike], texts: Sequence[Sequence[str]]) -> list[list[EntityMask]]:
        for image, asked in zip(images, texts, strict=True):
            self.grounded += [(id_of(image), parts_of_text(text)) for text in asked]
        return [[_nothing(image)] * len(asked) for image, asked in zip(images, texts, strict=True)]

    def segment(self, images: Sequence[ImageLike], queries: Sequence[Query]) -> list[list[EntityMask]]:
        for image, query in zip(images, queries, strict=True):
            self.segmented.append((id_of(image), parts_of(query, self.folder)))
        return [[_nothing(image)] * len(query.entities) for image, query in zip(images, queries, strict=True)]

    def embed_images(self, images: Sequence[ImageLike]) -> ImageRows:
        self.image_ids += [id_of(image) for image in images]
        return ImageRows(torch.zeros(len(images), 1), torch.zeros(len(images), 1, 1))

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "t 1"]:
        self.texts += texts
        return torch.zeros(len(texts), 1)

    def embed_queries(self, queries: Sequence[Query]) -> QueryRows:
        for query in queries:
            parts = parts_of(query, self.folder)
            self.queries[key_of(parts)] = parts
        return QueryRows.of([(torch.zeros(1), torch.zeros(len(query.entities), 1)) for query in queries])


def _nothing(image: ImageLike) -> EntityMask:
    return EntityMask(np.zeros(image.shape[:2], bool), 0.0)
