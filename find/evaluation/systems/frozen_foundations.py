"""The frozen-pair baseline: retrieval with the foundations' own pooled embeddings, without the interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from find.errors import InputError
from find.evaluation.evaluate import Task, evaluate
from find.evaluation.results import Evaluation
from find.foundations.base import LanguageEncoder, VisionEncoder, device_of
from find.images.images import ImageLike, read_image
from find.query.query import Phrase, Query, Region

BASELINE_TASKS = (Task.RETRIEVAL, Task.INTERLEAVED_RETRIEVAL)


@dataclass(frozen=True)
class PooledImages:
    """One unit vector per image, which is also its only object."""

    image: Float[Tensor, "b d"]

    @property
    def objects(self) -> Float[Tensor, "b 1 d"]:
        return self.image[:, None]


@dataclass(frozen=True)
class PooledQueries:
    """One unit vector per query, and no entities."""

    query: Float[Tensor, "q d"]

    @property
    def entities(self) -> Float[Tensor, "q 0 d"]:
        return self.query[:, None][:, :0]

    @property
    def padding(self) -> Bool[Tensor, "q 0"]:
        return torch.ones(len(self.query), 0, dtype=torch.bool, device=self.query.device)


class FrozenPair:
    """A CLIP-style pair that scores images with the words of a query, for the two retrieval protocols.

    It cannot read regions, so it gets the words that each region replaced, hence the complete original sentence. Images
    are resized to the encoder's square input, or to the nearest multiple of its divisor if it has none.

    Raises:
        FindError: the two encoders have no pooled embeddings of one width.
    """

    def __init__(self, *, vision: VisionEncoder, language: LanguageEncoder) -> None:
        if vision.pooled_dim is None or vision.pooled_dim != language.pooled_dim:
            raise InputError(
                f"{vision.spec} and {language.spec} are not a pair: their pooled embeddings have widths "
                f"{vision.pooled_dim} and {language.pooled_dim}; take both from one CLIP-style model"
            )
        self.vision = vision
        self.language = language

    @torch.inference_mode()
    def embed_images(self, images: Sequence[ImageLike]) -> PooledImages:
        """Unit vectors of images of any sizes."""
        pixels = [self._resize(read_image(image)) for image in images]
        rows: list[Tensor | None] = [None] * len(pixels)
        for shape in {array.shape for array in pixels}:
            same = [number for number, array in enumerate(pixels) if array.shape == shape]
            stack = torch.from_numpy(np.stack([pixels[number] for number in same])).permute(0, 3, 1, 2)
            pooled = F.normalize(self.vision(stack.contiguous().to(device_of(self.vision))).pooled.float(), dim=-1)
            for number, row in zip(same, pooled, strict=True):
                rows[number] = row
        return PooledImages(torch.stack(rows))

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "t d"]:
        """Unit vectors of texts."""
        return F.normalize(self.language(self.language.tokenize(texts)).pooled.float(), dim=-1)

    def embed_queries(self, queries: Sequence[Query]) -> PooledQueries:
        """Unit vectors of the queries' words; a region is represented by the words it replaced (its label).

        Raises:
            FindError: a region has no label.
        """
        return PooledQueries(self.embed_texts([words_of(query) for query in queries]))

    def _resize(self, pixels: np.ndarray) -> np.ndarray:
        side, divisor = self.vision.image_size, self.vision.divisor
        height, width = (side or max(1, round(length / divisor)) * divisor for length in pixels.shape[:2])
        if (height, width) == pixels.shape[:2]:
            return pixels
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def evaluate_pair(pair: FrozenPair, root: str | Path, **options: Any) -> Evaluation:
    """The baseline's column: `evaluate` with the two tasks that a frozen pair supports; the others are None."""
    return evaluate(pair, root, tasks=BASELINE_TASKS, **options)


def words_of(query: Query) -> str:
    """The query as one text, with each region's label instead of the region."""
    return "".join(part if isinstance(part, str) else words_of_entity(part) for part in query.parts)


def words_of_entity(entity: Phrase | Region) -> str:
    """A phrase's words, or a region's label. Raises `FindError` for a region without a label."""
    if isinstance(entity, Phrase):
        return entity.text
    if entity.label is None:
        raise InputError(f"{entity}: this system reads words only, so the region needs a label")
    return entity.label
