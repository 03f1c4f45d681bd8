"""Relevance: the probability that an image matches a query, from its entities' match probabilities and connections.

Scores rank images but do not say whether even the best one matches. Relevance is a calibrated probability, so that a
search can return nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from find.errors import InputError
from find.interface import MatchHead, object_numbers
from find.query.operators import JoinedQuery
from find.retrieval.hits import Hit, ScorePart
from find.retrieval.vectors import QueryVectors, Vectors


def match_head_of(model: object) -> MatchHead | None:
    """The model's match head, on the CPU; None if it has none."""
    head = getattr(getattr(model, "interface", None), "match_head", None)
    if head is None or head.cosine.device.type == "cpu":
        return head
    return copy.deepcopy(head).cpu()


@torch.inference_mode()
def judged(
    head: MatchHead,
    query: JoinedQuery,
    asked: QueryVectors,
    vectors: Vectors,
    scores: Float[Tensor, "i n"],
    parts: Sequence[tuple[ScorePart, ...]],
) -> tuple[list[float | None], list[tuple[ScorePart, ...]]]:
    """The relevance of each image, None if a query has no entity; and its parts with `present`.

    For one query it is the smallest match probability of its entities, reduced by contradicting connections (to 0 at
    -1). For several it is the smallest over the included queries, times the probability that the excluded ones do not
    match.

    Args:
        asked: one row for each query of `query`, with as many values as `vectors`.
        scores: mask confidence of each object.
        parts: for each image, the parts of its score, with the matched objects.
    """
    if not parts or not all(part.objects for part in parts[0]):
        return [None] * len(parts), list(parts)
    columns, present = [], []
    for number in range(len(query.queries)):
        mine = [row[number] for row in parts]
        objects = torch.tensor([part.objects for part in mine])
        rows = torch.arange(len(mine))[:, None]
        entities = asked.entities[number, : objects.shape[1]].float()
        numbers = object_numbers(vectors.boxes[rows, objects].float(), scores[rows, objects].float())
        logits = head(
            entities.expand(len(mine), -1, -1)[..., None, :],
            vectors.objects[rows, objects].float()[..., None, :],
            numbers[..., None, :],
        )[..., 0, 0]
        each = head.presence(logits).sigmoid()
        present.append([tuple(row) for row in each.tolist()])
        likely = each.amin(dim=1)
        said = [[fit.value for fit in part.fits if len(fit.entities) == 2] for part in mine]
        agreed = [1 + min([0.0, *values]) for values in said]
        columns.append(likely * torch.tensor(agreed))
    found = torch.stack(columns)
    count = len(query.include)
    total = found[:count].amin(dim=0)
    if query.exclude:
        total = total * (1 - found[count:].amax(dim=0))
    row_parts = [
        tuple(replace(part, present=mine) for part, mine in zip(row, those, strict=True))
        for row, those in zip(parts, zip(*present, strict=True), strict=True)
    ]
    return total.tolist(), row_parts


def check_relevance(least: float | None, head: MatchHead | None, queries: Sequence[JoinedQuery]) -> None:
    """Raises InputError for a `min_relevance` that cannot be computed."""
    if least is None:
        return
    if not 0 <= least <= 1:
        raise InputError(f"min_relevance is {least:g}; it is a probability, between 0 and 1")
    if head is None:
        raise InputError(
            "this model has no match head, so it cannot estimate relevance; train one with "
            "scripts/train_match.py, or leave min_relevance out"
        )
    for query in queries:
        for one in query.queries:
            if not one.entities:
                raise InputError(
                    f"min_relevance needs entities, but the query {one.text[:60]!r} has none; "
                    "put braces around what must be there, such as {a red dog}"
                )


def relevant(hits: Sequence[Hit], least: float | None) -> list[Hit]:
    """The hits whose relevance is at least the minimum."""
    return [hit for hit in hits if least is None or (hit.relevance is not None and hit.relevance >= least)]
