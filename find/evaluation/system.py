"""The interfaces that protocols need from a system; `find.FIND` implements all of them, others may implement some.

A system may also have `encode_images(images)`: protocols that use images several times then pass its result to the
system's methods instead of the images. The result has a length, and `encoded[[0, 2]]` selects some of the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from find.images.images import ImageLike
from find.model.predictions import EntityMask, InstancePrediction, PanopticPrediction
from find.query.query import Query


class ImageVectors(Protocol):
    """Images in a shared space; a system without object vectors returns the image vector as the only object."""

    @property
    def image(self) -> Float[Tensor, "b d"]: ...

    @property
    def objects(self) -> Float[Tensor, "b n d"]: ...


class QueryVectors(Protocol):
    """Queries in a shared space; a system without entity vectors returns only padding."""

    @property
    def query(self) -> Float[Tensor, "q d"]: ...

    @property
    def entities(self) -> Float[Tensor, "q e d"]: ...

    @property
    def padding(self) -> Bool[Tensor, "q e"]: ...


class ImageEmbedder(Protocol):
    def embed_images(self, images: Sequence[ImageLike]) -> ImageVectors: ...


class TextEmbedder(ImageEmbedder, Protocol):
    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "t d"]: ...


class QueryEmbedder(ImageEmbedder, Protocol):
    def embed_queries(self, queries: Sequence[Query]) -> QueryVectors: ...


class QuerySegmenter(Protocol):
    def segment(self, images: Sequence[ImageLike], queries: Sequence[Query]) -> list[list[EntityMask]]: ...


class Grounder(Protocol):
    def ground(self, images: Sequence[ImageLike], texts: Sequence[Sequence[str]]) -> list[list[EntityMask]]: ...


class InteractiveSegmenter(Protocol):
    def interact(
        self,
        images: Sequence[ImageLike],
        strokes: Sequence[Bool[np.ndarray, "r h w"]],
        negatives: Sequence[Bool[np.ndarray, "r h w"]] | None = None,
    ) -> list[list[EntityMask]]: ...


class GenericSegmenter(Protocol):
    def panoptic(
        self, images: Sequence[ImageLike], class_names: Sequence[str], is_thing: Sequence[bool]
    ) -> list[PanopticPrediction]: ...

    def instances(
        self, images: Sequence[ImageLike], class_names: Sequence[str], is_thing: Sequence[bool]
    ) -> list[InstancePrediction]: ...

    def semantic(self, images: Sequence[ImageLike], class_names: Sequence[str]) -> list[np.ndarray]: ...


class FindSystem(
    TextEmbedder, QueryEmbedder, QuerySegmenter, Grounder, InteractiveSegmenter, GenericSegmenter, Protocol
):
    """A system that supports every protocol."""
