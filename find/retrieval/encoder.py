"""An encoder of texts, images and mixtures of both, with the interface of sentence-transformers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, Union, overload

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from find.errors import FindError, InputError
from find.images.formats import PICTURE_SUFFIXES
from find.images.images import ImageLike
from find.model.location import warn_untrained
from find.model.model import FIND
from find.query.entity import Phrase, Region
from find.query.query import Query
from find.retrieval.matryoshka import cut
from find.utils.progress import track

Encodable: TypeAlias = Union[str, Phrase, Region, Query, ImageLike, "list[str | Phrase | Region]"]
"""A text (str, in which {braces} mark a phrase and [photo.jpg@x,y] a region, as `Query.parse` reads it), an image
(pathlib.Path, PIL image, uint8 array), or a mixture (Query, or a list of its parts)."""


class Encoder:
    """One unit vector for each text, image or mixture of both, all in one space.

    Args:
        model: the model.
        truncate_dim: keep only the first values of each vector; for models trained for that (Matryoshka).
    """

    def __init__(self, model: FIND, *, truncate_dim: int | None = None) -> None:
        self.model = model
        self.truncate_dim = self._checked(truncate_dim)

    @property
    def device(self) -> torch.device:
        """The device of the model and of its embeddings."""
        return self.model.device

    def get_embedding_dimension(self) -> int:
        """Number of values of a vector."""
        return self.truncate_dim or self.model.config.interface.semantic_width

    def get_sentence_embedding_dimension(self) -> int:
        """The same by its earlier name in sentence-transformers."""
        return self.get_embedding_dimension()

    @overload
    def encode(
        self,
        inputs: Encodable | Sequence[Encodable],
        *,
        convert_to_tensor: Literal[False] = ...,
        batch_size: int = ...,
        show_progress_bar: bool | None = ...,
        convert_to_numpy: bool = ...,
        device: str | torch.device | None = ...,
        normalize_embeddings: bool = ...,
        truncate_dim: int | None = ...,
    ) -> Float[np.ndarray, "*n d"]: ...
    @overload
    def encode(
        self,
        inputs: Encodable | Sequence[Encodable],
        *,
        convert_to_tensor: bool,
        batch_size: int = ...,
        show_progress_bar: bool | None = ...,
        convert_to_numpy: bool = ...,
        device: str | torch.device | None = ...,
        normalize_embeddings: bool = ...,
        truncate_dim: int | None = ...,
    ) -> Float[Tensor, "*n d"] | Float[np.ndarray, "*n d"]: ...
    def encode(
        self,
        inputs: Encodable | Sequence[Encodable],
        *,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | torch.device | None = None,
        normalize_embeddings: bool = True,
        truncate_dim: int | None = None,
    ) -> Float[np.ndarray, "*n d"] | Float[Tensor, "*n d"]:
        """Vectors of texts, images and mixtures: a row for each input, or one vector for one input.

        A text without braces and brackets is embedded as a caption. With them it is an interleaved query, and the
        result is its sentence vector (`Album.search` compares the entities, too). Image files are given as
        pathlib.Path: a str is always text. The arguments are those of sentence-transformers.

        Args:
            show_progress_bar: show a progress bar on stderr.
            convert_to_numpy: return a float32 array; if False, a tensor.
            convert_to_tensor: return a tensor on the model's device.
            device: move the model there first.
            normalize_embeddings: ignored: the vectors are always unit vectors.
            truncate_dim: keep only the first values of each vector.

        Raises:
            InputError: an input of an unsupported type, a str that is the name of an image file, a query with wrong
                syntax, an unreadable image, a `truncate_dim` larger than the vectors, or a missing device.
        """
        if device is not None:
            self.model.to(device)
        is_one = not isinstance(inputs, (list, tuple))
        items: list[Any] = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        items = [_read(item, number) if isinstance(item, str) else item for number, item in enumerate(items)]
        dim = self._checked(truncate_dim) or self.get_embedding_dimension()
        kinds = [_embedder_of(item, number) for number, item in enumerate(items)]
        vectors = torch.zeros(len(items), dim)
        parts: list[tuple[_Embed, list[int]]] = []
        for embed in dict.fromkeys(kinds):
            mine = [number for number, kind in enumerate(kinds) if kind is embed]
            parts += [(embed, mine[start : start + batch_size]) for start in range(0, len(mine), batch_size)]
        for embed, numbers in track(parts, "encoding", shown=bool(show_progress_bar)):
            found = embed(self.model, [items[number] for number in numbers], batch_size)
            vectors[numbers] = cut(found.float().cpu(), dim)
        rows = vectors[0] if is_one else vectors
        return rows.to(self.device) if convert_to_tensor or not convert_to_numpy else rows.numpy()

    def encode_query(
        self,
        inputs: Encodable | Sequence[Encodable],
        *,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        convert_to_tensor: bool = False,
        truncate_dim: int | None = None,
    ) -> Float[np.ndarray, "*n d"] | Float[Tensor, "*n d"]:
        """The same as `encode`: this model has one space for queries and documents, and no prompts."""
        options: dict[str, Any] = {"batch_size": batch_size, "show_progress_bar": show_progress_bar}
        return self.encode(inputs, convert_to_tensor=convert_to_tensor, truncate_dim=truncate_dim, **options)

    encode_document = encode_query

    @staticmethod
    def similarity(
        left: Float[np.ndarray, "*n d"] | Float[Tensor, "*n d"],
        right: Float[np.ndarray, "*m e"] | Float[Tensor, "*m e"],
    ) -> Float[Tensor, "_ _"]:
        """Cosine similarities of all pairs; a single vector counts as one row."""
        a, b = (normalize(torch.atleast_2d(torch.as_tensor(x)).float(), dim=-1) for x in (left, right))
        if a.shape[1] != b.shape[1]:
            raise InputError(f"vectors of {a.shape[1]} and of {b.shape[1]} values cannot be compared")
        return a @ b.T

    @staticmethod
    def similarity_pairwise(
        left: Float[np.ndarray, "*n d"] | Float[Tensor, "*n d"],
        right: Float[np.ndarray, "*m e"] | Float[Tensor, "*m e"],
    ) -> Float[Tensor, " _"]:
        """The cosine similarity of each row of `a` with the same row of `b`."""
        a, b = (normalize(torch.atleast_2d(torch.as_tensor(x)).float(), dim=-1) for x in (left, right))
        if a.shape != b.shape:
            raise InputError(f"rows cannot be paired: {list(a.shape)} and {list(b.shape)}")
        return (a * b).sum(dim=1)

    def _checked(self, truncate_dim: int | None) -> int | None:
        if truncate_dim is None:
            return None
        if truncate_dim < 1:
            raise InputError(f"truncate_dim is the number of values that are kept, not {truncate_dim}")
        warn_untrained(truncate_dim, self.model.nested_widths, self.model.config.interface.semantic_width)
        return truncate_dim


_Embed: TypeAlias = Callable[[FIND, list[Any], int], Tensor]


def _embed_texts(model: FIND, texts: list[str], batch_size: int) -> Float[Tensor, "n d"]:
    return model.embed_texts(texts, batch_size=batch_size)


def _embed_images(model: FIND, images: list[ImageLike], batch_size: int) -> Float[Tensor, "n d"]:
    return model.embed_images(images, masks=False, batch_size=batch_size).image


def _embed_mixtures(model: FIND, mixtures: list[Any], batch_size: int) -> Float[Tensor, "n d"]:
    queries = [
        mixture
        if isinstance(mixture, Query)
        else Query(*(mixture if isinstance(mixture, (list, tuple)) else [mixture]))
        for mixture in mixtures
    ]
    return model.embed_queries(queries, batch_size=batch_size).query


def _read(text: str, number: int) -> str | Query:
    """A text as parsed by `Query.parse`; a caption if it has no entities."""
    if os.path.splitext(text)[1].lower() in PICTURE_SUFFIXES and os.path.isfile(text):
        raise InputError(
            f"input {number}, {text!r}, is text that names a file; for its image give pathlib.Path({text!r})"
        )
    try:
        query = Query.parse(text)
    except FindError as error:
        raise InputError(f"input {number}, {text[:60]!r}: {error}") from error
    return query if query.entities else query.text


def _embedder_of(item: object, number: int) -> _Embed:
    if isinstance(item, str):
        return _embed_texts
    if isinstance(item, (Query, Phrase, Region, list, tuple)):
        return _embed_mixtures
    if isinstance(item, (os.PathLike, Image.Image, np.ndarray)):
        return _embed_images
    raise InputError(
        f"input {number} is a {type(item).__name__}; give text, an image (path object, PIL image, uint8 array), a "
        "Query, or a list of its parts"
    )
