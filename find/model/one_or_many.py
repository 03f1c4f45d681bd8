"""Lets calls take one image or prompt instead of a list, by turning single ones into lists."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
from PIL import Image
from typing_extensions import TypeIs

from find.errors import InputError
from find.images.images import ImageLike
from find.query.entity import Phrase, Region
from find.query.operators import JoinedQuery
from find.query.query import Query

if TYPE_CHECKING:
    from find.model.features import ImageFeatures
    from find.query.operators import Askable

T = TypeVar("T")
Prompt = TypeVar("Prompt")

OneOrMany: TypeAlias = T | list[T]
ImageList: TypeAlias = "Sequence[ImageLike] | ImageFeatures"
"""Several images, or what `encode_images` gave for them."""
Images: TypeAlias = "ImageLike | ImageList"
QueryLike: TypeAlias = str | Phrase | Region | Query
"""A query, a single phrase or region, or text as `Query.parse` reads it: "{a dog} on [sofa.jpg@120,80]"."""
Queries: TypeAlias = QueryLike | Sequence[QueryLike]
Texts: TypeAlias = str | Sequence[str] | Sequence[Sequence[str]]


def is_one_image(images: Images) -> TypeIs[ImageLike]:
    """Whether this is one image, not a list of images (which an array of four dimensions is)."""
    if isinstance(images, np.ndarray):
        return images.ndim < 4
    return isinstance(images, (str, os.PathLike, Image.Image))


def as_list(images: Images) -> ImageList:
    """The images as a list, also of a single one."""
    return [images] if is_one_image(images) else images


def is_one_query(queries: object) -> TypeIs[QueryLike | JoinedQuery]:
    """Whether this is one query, not a list of queries."""
    return isinstance(queries, (str, Phrase, Region, Query, JoinedQuery))


def read_queries(queries: Queries) -> list[Query]:
    """The queries as a list, also of a single one; texts are read by `Query.parse`.

    Raises:
        InputError: a query of another type or with a syntax error; the message has its number.
    """
    if is_one_query(queries):
        return [_read_query(queries, "the query")]
    if not isinstance(queries, Sequence):
        kind = type(queries).__name__
        raise InputError(f"queries is a {kind}; give a query such as '{{a dog}}', or a list of queries")
    return [_read_query(query, f"query {number}") for number, query in enumerate(queries)]


def read_joined(queries: Askable | Sequence[Askable]) -> list[JoinedQuery]:
    """The queries, which may be joined by & and -, as a list, also of a single one."""
    if isinstance(queries, JoinedQuery):
        return [queries]
    if isinstance(queries, (str, Phrase, Region, Query)):
        return [JoinedQuery((_read_query(queries, "the query"),))]
    if not isinstance(queries, Sequence):
        raise InputError(
            f"queries is a {type(queries).__name__}; give a query such as '{{a dog}}', or a list of queries"
        )
    return [
        query if isinstance(query, JoinedQuery) else JoinedQuery((_read_query(query, f"query {number}"),))
        for number, query in enumerate(queries)
    ]


def ask(
    answer: Callable[[ImageList, Sequence[Prompt]], list[T]],
    encode: Callable[[Sequence[ImageLike]], ImageFeatures],
    images: Images,
    prompts: Sequence[Prompt],
    *,
    one_prompt: bool,
) -> T | list[T]:
    """The result for one prompt with one image; otherwise a list of results.

    A single prompt is applied to each image, and each prompt to a single image, which is encoded once; of two lists,
    prompt k is applied to image k.

    Args:
        answer: returns the results of prompts with as many images.
        encode: encodes images once for several prompts.
        one_prompt: the only one of `prompts` did not come in a list.
    """
    if not is_one_image(images):
        if not hasattr(images, "__len__"):
            raise InputError(
                f"images: {type(images).__name__} is neither an image (a path, a PIL image or a uint8 array [H, W, 3]) "
                "nor a list of them"
            )
        return answer(images, list(prompts) * len(images) if one_prompt else prompts)
    if one_prompt:
        return answer([images], prompts)[0]
    features = encode([images])
    return [answer(features, [prompt])[0] for prompt in prompts]


def _read_query(query: object, name: str) -> Query:
    if isinstance(query, Query):
        return query
    if isinstance(query, (Phrase, Region)):
        return Query(query)
    if isinstance(query, JoinedQuery):
        raise InputError(f"{name} is joined of several by & or -, which only an album can search and find_all can find")
    if not isinstance(query, str):
        raise InputError(
            f"{name} is a {type(query).__name__}; give text such as '{{a dog}}', a phrase, region or Query"
        )
    try:
        return Query.parse(query)
    except InputError as error:
        raise InputError(f"{name}, {query[:60]!r}: {error}") from error
