"""How likely an image is what a query means: the match probabilities of what its entities took, and their connections.

A score ranks; it does not tell whether even the best image has what is sought. Relevance does: it is a probability, and
"nothing found" is an answer.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from find.errors import InputError
from find.interface import MatchHead, object_numbers
from find.query.operators import JoinedQuery
from find.retrieval.hits import Hit, ScorePart
from find.retrieval.vectors import QueryVectors, Vectors


def match_head_of(model: object) -> MatchHead | None:
    """A model's match head, on the CPU; None of models that have none."""
    head = getattr(getattr(model, "interface", None), "match_head", None)
    if head is None or head.cosine.device.type == "cpu":
        return head
    return copy.deepcopy(head).cpu()


@torch.inference_mode()
def relevances(
    head: MatchHead,
    query: JoinedQuery,
    asked: QueryVectors,
    vectors: Vectors,
    scores: Float[Tensor, "i n"],
    parts: Sequence[tuple[ScorePart, ...]],
) -> list[float | None]:
    """Of each image; None where a query has no entity, so that nothing tells.

    A query is as relevant as its least likely entity, less where a connection says otherwise (-1: not at all); several
    are as the least of what must be there, times that what must not be is not.

    Args:
        asked: a row a query of `query`, with as many values as `vectors`.
        scores: how sure each object is of its mask.
        parts: of each image, with the objects that entities took.
    """
    if not parts or not all(part.objects for part in parts[0]):
        return [None] * len(parts)
    columns = []
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
        likely = head.presence(logits).sigmoid().amin(dim=1)
        said = [[fit.value for fit in part.fits if len(fit.entities) == 2] for part in mine]
        agreed = [1 + min([0.0, *values]) for values in said]
        columns.append(likely * torch.tensor(agreed))
    found = torch.stack(columns)
    count = len(query.include)
    total = found[:count].amin(dim=0)
    if query.exclude:
        total = total * (1 - found[count:].amax(dim=0))
    return total.tolist()


def check_relevance(least: float | None, head: MatchHead | None, queries: Sequence[JoinedQuery]) -> None:
    """Refuses a least relevance where nothing could tell it."""
    if least is None:
        return
    if not 0 <= least <= 1:
        raise InputError(f"min_relevance is {least:g}; it is a probability, between 0 and 1")
    if head is None:
        raise InputError(
            "this model has no match head, so it cannot tell how relevant an image is; train one with "
            "scripts/train_match.py, or leave min_relevance out"
        )
    for query in queries:
        for one in query.queries:
            if not one.entities:
                raise InputError(
                    f"min_relevance needs things whose presence can be told, but the query {one.text[:60]!r} has none; "
                    "put braces around what must be there, such as {a red dog}"
                )


def relevant(hits: Sequence[Hit], least: float | None) -> list[Hit]:
    """The hits that are relevant enough."""
    return [hit for hit in hits if least is None or (hit.relevance is not None and hit.relevance >= least)]
