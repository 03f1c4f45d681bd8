"""Checks of callers' lists before anything is computed, such as a single item where a list is expected."""

import os
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from find.errors import InputError
from find.query.operators import JoinedQuery
from find.query.query import Query


def check_images(images: object) -> None:
    """Raises FindError for a single image where a list is expected."""
    is_array = isinstance(images, np.ndarray) and images.ndim < 4
    if is_array or isinstance(images, (str, os.PathLike, Image.Image)):
        raise InputError(f"images is one {type(images).__name__}; give a list, [image], also of one image")


def check_queries(queries: object) -> None:
    """Raises FindError for anything but a list of queries."""
    if not isinstance(queries, Sequence) or isinstance(queries, str):
        raise InputError(f"queries is one {type(queries).__name__}; give a list of queries, also of one: [query]")
    for number, query in enumerate(queries):
        if isinstance(query, Query):
            continue
        kind = type(query).__name__
        if isinstance(query, str):
            raise InputError(f"query {number} is a str; write Query.parse({query!r})")
        if isinstance(query, JoinedQuery):
            raise InputError(f"query {number} is joined of several by & or -, which only an album can search")
        raise InputError(f"query {number} is a {kind}; write Query(...) around it, or Query.parse('{{a dog}}')")


def check_entities(queries: Sequence[Query]) -> None:
    """Raises FindError for a query that has nothing to segment."""
    for number, query in enumerate(queries):
        if not query.entities:
            raise InputError(
                f"query {number} ({query.text!r}) has no entity, so there is nothing to segment; mark a phrase "
                "with braces, {a red sofa}, or give a region, [photo.jpg@120,80]"
            )


def check_strokes(strokes: Sequence[np.ndarray]) -> None:
    """Raises FindError for a stroke without a pixel."""
    for number, stack in enumerate(strokes):
        for k, stroke in enumerate(stack):
            if not stroke.any():
                raise InputError(f"stroke {k} of image {number} is empty; draw at least one pixel")


def check_negatives(strokes: Sequence[np.ndarray], negatives: Sequence[np.ndarray]) -> None:
    """Raises FindError unless there is one negative for each stroke."""
    for number, (stack, marks) in enumerate(zip(strokes, negatives, strict=True)):
        if len(stack) != len(marks):
            raise InputError(
                f"image {number} has {len(stack)} strokes but {len(marks)} negative ones; give one for each "
                "stroke, all False where there is nothing to leave out"
            )


def check_texts(texts: Iterable[object], name: str) -> None:
    """Raises FindError for anything but a list of str; `name` is the argument's name in the message."""
    if isinstance(texts, str):
        raise InputError(f"{name} is one str; give a list: [{texts!r}]")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"{name}: number {number} is a {type(text).__name__}, not a str")


def check_one_thing(query: JoinedQuery, what: str, hint: str) -> None:
    """Raises FindError unless each query has exactly one entity; `what` and `hint` begin and end the message."""
    for one in query.queries:
        if len(one.entities) != 1:
            raise InputError(
                f"{what} one thing; the query {one.text[:60]!r} has {len(one.entities)} entities: give one phrase or "
                f"region, such as '{{a red car}}', {hint}"
            )
