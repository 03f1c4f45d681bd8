"""Interleaved segmentation by structured late interaction: entity proposals are assigned to a sentence's entities
jointly."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from find.interface import Embeddings, GroupName, ImageMemory, Interface
from find.tasks.connections import Connections
from find.tasks.mask_boxes import boxes_of_logits
from find.tasks.prompted import PromptedTask, SplitTask
from find.tasks.structured_interaction import (
    EXCLUDED,
    MOST_OBJECTS,
    QueryBatch,
    conditional_fits,
    nearest_objects,
    terms,
)


@dataclass(frozen=True)
class ChainedTask:
    """A task whose queries are a sentence's entities, one sentence per image; neighbours get different proposals.

    Args:
        task: which groups are compared.
        connections: of the sentences.
        padding: of their entities.
        memory: of the images.
        extent: the fraction of the canvas's width and height that each image covers.
    """

    task: PromptedTask | SplitTask
    connections: Connections
    padding: Bool[Tensor, "b t"]
    memory: ImageMemory
    extent: Float[Tensor, "b 2"]

    @property
    def proposals(self) -> GroupName:
        return self.task.proposals

    def scores(self, interface: Interface, embeddings: Embeddings) -> Float[Tensor, "b n t"]:
        """Logits over the proposals of each query, given its neighbours' proposals in the best joint assignment."""
        logits = torch.einsum("bnm,bmhw->bnhw", embeddings.pixel[self.proposals], self.memory.mask_features)
        boxes = boxes_of_logits(logits, self.extent)
        objects, entities = (
            F.normalize(embeddings.semantic[group].float(), dim=-1) for group in (self.proposals, self.task.queries)
        )
        there = torch.ones(objects.shape[:2], dtype=torch.bool, device=objects.device)
        none = torch.zeros_like(objects[:, 0])
        kept = nearest_objects(objects, entities, self.padding, most=MOST_OBJECTS)
        images = self.connections.images(none, objects, boxes, there).each().of_objects(kept)
        weights = self.connections.weights
        asked = QueryBatch(none, entities, self.padding, self.connections.said)
        found = terms(images, asked.each(), weights)
        fits = conditional_fits(found, found.score()[1])[:, 0, 0]
        every = fits.new_full((*fits.shape[:2], objects.shape[1]), EXCLUDED)
        every = every.scatter(2, kept[:, None].expand(-1, fits.shape[1], -1), fits)
        return interface.logit_scale.exp().clamp(max=100) * (every / weights.entity).transpose(1, 2)
