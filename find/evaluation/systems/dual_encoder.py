"""Dual encoders (CLIP and similar models) in the retrieval tasks, with one vector per image and per text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from find.evaluation.evaluate import Task
from find.evaluation.prediction_files.recorded import ImageRows, QueryRows
from find.evaluation.systems.common import crop, pixels_of
from find.images.images import ImageLike
from find.query.query import Phrase, Query, Region


class Towers(Protocol):
    """A pretrained pair of encoders; vectors need not have unit length."""

    def images(self, images: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Float[Tensor, "b d"]: ...

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "t d"]: ...


class DualEncoder:
    """Retrieval and interleaved retrieval with two encoders.

    An image's only object is the image itself. A query is the mean of the unit vectors of its text without the regions,
    and of each region's crop (its bounding box); so a query without regions is CLIP's own text vector. Its entities are
    the vectors of the phrases and of the crops.
    """

    tasks = (Task.RETRIEVAL, Task.INTERLEAVED_RETRIEVAL)

    def __init__(self, towers: Towers, *, about: str) -> None:
        self.towers = towers
        self.about = about

    @torch.inference_mode()
    def embed_images(self, images: Sequence[ImageLike]) -> ImageRows:
        vectors = F.normalize(self.towers.images([pixels_of(image) for image in images]).float(), dim=-1)
        return ImageRows(vectors, vectors[:, None])

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "t d"]:
        return F.normalize(self.towers.texts(list(texts)).float(), dim=-1)

    @torch.inference_mode()
    def embed_queries(self, queries: Sequence[Query]) -> QueryRows:
        regions = [entity for query in queries for entity in query.entities if isinstance(entity, Region)]
        phrases = [entity.text for query in queries for entity in query.entities if isinstance(entity, Phrase)]
        texts = list(dict.fromkeys([text for query in queries if (text := text_without_regions(query))] + phrases))
        by_text = dict(zip(texts, self.embed_texts(texts), strict=True)) if texts else {}
        crops = iter(self.embed_images([crop(region) for region in regions]).image if regions else ())
        rows = []
        for query in queries:
            entities = [next(crops) if isinstance(e, Region) else by_text[e.text] for e in query.entities]
            shown = [v for e, v in zip(query.entities, entities, strict=True) if isinstance(e, Region)]
            text = text_without_regions(query)
            parts = torch.stack(([by_text[text]] if text else []) + shown)
            vector = F.normalize(parts.mean(dim=0), dim=-1)
            rows.append((vector, torch.stack(entities) if entities else vector[None][:0]))
        return QueryRows.of(rows)


def text_without_regions(query: Query) -> str:
    """The words of a query, without its regions."""
    words = [part if isinstance(part, str) else part.text for part in query.parts if not isinstance(part, Region)]
    return " ".join("".join(words).split())
