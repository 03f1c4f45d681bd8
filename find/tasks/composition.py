"""The loss of structured late interaction: a sentence must score higher with its image than with others, and than false
sentences do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from find.interface import Embeddings, Group, ImageMemory
from find.tasks import interleaved
from find.tasks.connections import Connections
from find.tasks.interleaved_segmentation import DrawnSentences
from find.tasks.losses import contrastive
from find.tasks.structured_interaction import QueryBatch, terms
from find.tasks.task import TaskModel
from find.tasks.text_inputs import Sentences

TEMPERATURE = 0.07
"""Of the smooth maximum over joint choices of objects."""
MOST_OBJECTS = 32
"""Of an image, the nearest to any entity of the batch: pairs grow with their square."""
CONTRASTED = 32
"""Images that a sentence is compared with at most."""


@dataclass(frozen=True)
class ReadRelatives:
    """Inputs of the comparison with false sentences: their embeddings, and the true sentences' connections."""

    false: QueryBatch
    has_false: Bool[Tensor, " b"]
    connections: Connections

    @classmethod
    def of(cls, model: TaskModel, drawn: DrawnSentences, memory: ImageMemory, sentences: Sentences) -> ReadRelatives:
        """Runs a separate forward for false sentences; their regions are those of the true ones."""
        interface, device = model.interface, model.device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            false = Sentences.read(model.language, drawn.false_queries, device)
        width = false.padding.shape[1]
        origin = drawn.false_origin[:, :width]
        rows = torch.arange(len(origin), device=device)[:, None]
        regions, region_rows = drawn.regions[rows, origin], drawn.region_rows[rows, origin]
        region_rows = region_rows.masked_fill(~false.is_region, -1)
        tokens = interface.sampler(memory, regions, region_rows)
        aligned = interface.aligned_regions(memory, regions, region_rows)
        prompt = false.prompt(interface, interleaved.RETRIEVAL, tokens, aligned)
        found = interface(None, [prompt]).final.float().semantic
        term = interface.pair_term
        assert term is not None  # otherwise there are no false sentences
        true, lie = (
            Connections.read(model.language, term, queries, padding.shape[1], device)
            for queries, padding in ((drawn.queries, sentences.padding), (drawn.false_queries, false.padding))
        )
        entities = found[Group.INTERLEAVED_ENTITY]
        return cls(
            QueryBatch(found[Group.INTERLEAVED][:, 0], entities, false.padding, lie.said.float()), drawn.has_false, true
        )


@dataclass(frozen=True)
class Composed:
    """A batch's sentences and their false variants, with all that structured late interaction compares.

    Contrasts within a process's own batch; only `retrieval`'s loss is over all processes.
    """

    image: Float[Tensor, "b d"]
    objects: Float[Tensor, "b n d"]
    boxes: Float[Tensor, "b n 4"]
    true: QueryBatch
    false: QueryBatch
    has_false: Bool[Tensor, " b"]
    connections: Connections

    @classmethod
    def of(
        cls, final: Embeddings, boxes: Float[Tensor, "b n 4"], sentences: Sentences, relatives: ReadRelatives
    ) -> Composed:
        """`final` are the embeddings of the batch's joint forward."""
        words, said = final.semantic, relatives.connections
        sentence, entities = words[Group.INTERLEAVED][:, 0], words[Group.INTERLEAVED_ENTITY]
        true = QueryBatch(sentence, entities, sentences.padding, said.said.float())
        image, objects = words[Group.IMAGE][:, 0], words[Group.OBJECT]
        return cls(image, objects, boxes, true, relatives.false, relatives.has_false, said)

    def loss(self, width: int, scale: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """With the first `width` values of all embeddings: InfoNCE of true sentences over the batch's images, and
        softplus(false - true)."""
        image, objects = (F.normalize(x[..., :width], dim=-1) for x in (self.image, self.objects))
        true, false = (_cut(asked, width) for asked in (self.true, self.false))
        kept = _nearest(objects, true.entities, true.padding)
        objects, boxes = (x.gather(1, kept[..., None].expand(-1, -1, x.shape[-1])) for x in (objects, self.boxes))
        there = torch.ones(objects.shape[:2], dtype=torch.bool, device=objects.device)
        images = self.connections.images(image, objects, boxes, there)
        weights = self.connections.weights
        contrasts, better = [], []
        for start in range(0, len(image), CONTRASTED):
            rows = slice(start, start + CONTRASTED)
            scores = terms(images[rows].together(), true[rows].together(), weights).soft_score(temperature=TEMPERATURE)
            contrasts.append(contrastive(scale * scores[0]) * scores.shape[1] / len(image))
            better.append(scores[0].diagonal())
        worse = terms(images.each(), false.each(), weights).soft_score(temperature=TEMPERATURE)[:, 0, 0]
        gap = F.softplus(scale * (worse - torch.cat(better))) * self.has_false
        return torch.stack(contrasts).sum() + gap.sum() / self.has_false.sum().clamp(min=1)


def _cut(asked: QueryBatch, width: int) -> QueryBatch:
    sentence, entities = (F.normalize(x[..., :width], dim=-1) for x in (asked.sentence, asked.entities))
    return QueryBatch(sentence, entities, asked.padding, asked.connections)


def _nearest(objects: Float[Tensor, "b n d"], entities: Float[Tensor, "q e d"], padding: Bool[Tensor, "q e"]) -> Tensor:
    """Indices of the objects that are compared."""
    if objects.shape[1] <= MOST_OBJECTS:
        return torch.arange(objects.shape[1], device=objects.device).expand(len(objects), -1)
    with torch.no_grad():
        similarity = torch.einsum("bnd,qed->bnqe", objects, entities).masked_fill(padding, -1)
        return similarity.flatten(2).amax(dim=-1).topk(MOST_OBJECTS, dim=1).indices
