"""Referring expressions as chains: their entities take objects jointly, and the first one is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from find.images.canvas import ImageGeometry
from find.interface import Group, Interface
from find.model.features import EncodedBatch
from find.model.find_all import presence
from find.query.entity import Phrase
from find.query.query import Query
from find.tasks.mask_boxes import boxes_of_logits
from find.tasks.structured_interaction import (
    EXCLUDED,
    MOST_OBJECTS,
    QueryBatch,
    conditional_fits,
    nearest_objects,
    terms,
)
from find.tasks.tagging import entity_spans
from find.utils.transfer import upload

if TYPE_CHECKING:
    from find.model.inference import Inference

AT_ONCE = 64
"""Expressions whose chains are solved together."""


def grounds_by_chains(interface: Interface) -> bool:
    """Whether a model can: it finds entities in plain text, and compares what connects them."""
    return interface.pair_term is not None and interface.tagger is not None


def ground_by_chains(
    model: Inference, batch: EncodedBatch, texts: Sequence[Sequence[str]], frames: Sequence[ImageGeometry]
) -> tuple[Float[Tensor, "b t h w"], Float[Tensor, "b t"], Float[Tensor, "b t"] | None]:
    """Of each image's texts: mask logits, the probability with which the mask was chosen, and the probability that the
    first entity is in the image (None without a match head).

    A text in which no entity is found counts as one entity.
    """
    distinct = list(dict.fromkeys(text for row in texts for text in row))
    if not distinct:
        nothing = batch.masks(model.interface).new_zeros(len(texts), 0)
        return batch.masks(model.interface)[:, :0], nothing, None
    tagger = model.interface.tagger
    assert tagger is not None
    spans = entity_spans(model.language, tagger, distinct, model.device)
    read = {text: _expression(model, text, found) for text, found in zip(distinct, spans, strict=True)}
    logits, scores, heads = referred(model, batch, [[read[text] for text in row] for row in texts], frames)
    return logits, scores, presence(model.interface, batch, heads, frames)


def _expression(model: Inference, text: str, spans: Sequence[tuple[int, int]]) -> Query:
    if spans:
        return Query.from_sentence(text, spans)
    return Query(Phrase(text if text.strip() else model.language.placeholder))


def referred(
    model: Inference, batch: EncodedBatch, queries: Sequence[Sequence[Query]], frames: Sequence[ImageGeometry]
) -> tuple[Float[Tensor, "b t h w"], Float[Tensor, "b t"], Float[Tensor, "b t d"]]:
    """Of each image's expressions: the mask logits of the object that the first entity takes, the probability with
    which it was chosen among all, and the first entity's vector. The model has a pair term; every query an entity.

    Rows of fewer expressions are filled up with zeros.
    """
    interface = model.interface
    embedded = model.embed_queries([query for row in queries for query in row])
    connections = embedded.connections
    assert connections is not None
    places = [(image, number) for image, row in enumerate(queries) for number in range(len(row))]
    images, numbers = upload(torch.tensor(places), model.device).unbind(1)
    objects = F.normalize(batch.proposals(interface).semantic[Group.OBJECT].float(), dim=-1)
    masks = batch.masks(interface)
    extent = upload(torch.tensor([frame.extent for frame in frames]), model.device)
    boxes = boxes_of_logits(masks, extent).float()
    logits = []
    for rows in torch.arange(len(images), device=model.device).split(AT_ONCE):
        asked = QueryBatch(
            torch.zeros_like(embedded.query[rows]),
            embedded.entities[rows].float(),
            embedded.padding[rows],
            connections.said[rows],
        )
        own = images[rows]
        kept = nearest_objects(objects[own], asked.entities, asked.padding, most=MOST_OBJECTS)
        there = torch.ones(objects[own].shape[:2], dtype=torch.bool, device=model.device)
        seen = connections.images(asked.sentence, objects[own], boxes[own], there).each().of_objects(kept)
        found = terms(seen, asked.each(), connections.weights)
        fits = conditional_fits(found, found.score()[1])[:, 0, 0, 0]
        every = fits.new_full(objects[own].shape[:2], EXCLUDED)
        logits.append(every.scatter(1, kept, fits) / connections.weights.entity)
    scale = interface.logit_scale.exp().clamp(max=100)
    chance, chosen = (scale * torch.cat(logits)).softmax(dim=1).max(dim=1)
    most = max(map(len, queries))
    drawn = masks.new_zeros(len(queries), most, *masks.shape[-2:])
    drawn[images, numbers] = masks[images, chosen]
    scores = chance.new_zeros(len(queries), most)
    scores[images, numbers] = chance
    heads = embedded.entities.new_zeros(len(queries), most, embedded.entities.shape[-1])
    heads[images, numbers] = embedded.entities[:, 0]
    return drawn, scores, heads
