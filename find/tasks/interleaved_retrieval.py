"""Interleaved retrieval as a task: images by sentences whose entities are words or regions, with the entities found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from find.errors import check_counts
from find.interface import Embeddings, Group, Prompt, Prototype, object_numbers
from find.tasks import generic, interleaved
from find.tasks.composition import Composed, ReadRelatives
from find.tasks.interleaved_segmentation import DrawnSentences
from find.tasks.late_interaction import late_interaction
from find.tasks.losses import assignment_cross_entropy, contrastive
from find.tasks.mask_boxes import boxes_of_logits
from find.tasks.match import Matches
from find.tasks.structured_interaction import MOST_OBJECTS, QueryBatch, nearest_objects, terms
from find.tasks.tagging import IGNORED, labels_of, tagging_loss
from find.tasks.task import Gathering, Step, Targets, Task, expect
from find.utils.transfer import upload


@dataclass(frozen=True)
class Searched:
    """Images and sentences as search compares them."""

    image: Float[Tensor, "b d"]
    sentence: Float[Tensor, "b d"]
    objects: Float[Tensor, "b n d"]
    entities: Float[Tensor, "b e d"]
    padding: Bool[Tensor, "b e"]

    @classmethod
    def of(cls, final: Embeddings, padding: Bool[Tensor, "b e"]) -> Searched:
        return cls(
            image=final.semantic[Group.IMAGE][:, 0],
            sentence=final.semantic[Group.INTERLEAVED][:, 0],
            objects=final.semantic[Group.OBJECT],
            entities=final.semantic[Group.INTERLEAVED_ENTITY],
            padding=padding,
        )

    def gathered(self, gathering: Gathering) -> Searched:
        """Of all processes."""
        entities, padding = gathering.entities(self.entities, self.padding)
        return Searched(
            image=gathering.group(Group.IMAGE)[:, 0],
            sentence=gathering.group(Group.INTERLEAVED)[:, 0],
            objects=gathering.group(Group.OBJECT),
            entities=entities,
            padding=padding,
        )

    def cut(self, width: int) -> Searched:
        """Unit vectors of the first `width` values."""
        names = ("image", "sentence", "objects", "entities")
        return replace(self, **{name: F.normalize(getattr(self, name)[..., :width], dim=-1) for name in names})


@dataclass(frozen=True)
class ReadParts:
    """Inputs of a model's optional parts: for its pair term, the sentences' false variants; for its tagger, the label
    of each token of the sentences."""

    relatives: ReadRelatives | None
    labels: Int64[Tensor, "b l"] | None


@dataclass(frozen=True)
class DrawnObjects:
    """Boxes of a batch's object proposals, in 0..1 of the image, and the confidence of their masks."""

    boxes: Float[Tensor, "b n 4"]
    confidence: Float[Tensor, "b n"]

    @classmethod
    @torch.no_grad()
    def of(cls, step: Step) -> DrawnObjects:
        features = step.memory.mask_features.float()
        logits = torch.einsum("bnm,bmhw->bnhw", step.final.pixel[Group.OBJECT], features)
        sides = upload(torch.tensor(step.batch.images.shape[-2:], dtype=torch.float), logits.device)
        boxes = boxes_of_logits(logits, (step.batch.sizes / sides).flip(-1))
        return cls(boxes, generic.mask_confidence(logits))


@dataclass(frozen=True)
class SearchTargets(Targets):
    """Besides the counts: the (first) segment of each entity, whether it has any; for models with a pair term, the
    inputs of structured late interaction; for models with a match head, the known matches and the objects' geometry."""

    segment: Int[Tensor, "b e"] = field(kw_only=True)
    means_one: Bool[Tensor, "b e"] = field(kw_only=True)
    composed: Composed | None = None
    matches: Matches | None = None
    drawn: DrawnObjects | None = None


class InterleavedRetrieval(Task):
    """An image for a sentence, and an object of it for each entity.

    Its losses: "sentence", contrastive, by the sentence term alone; "retrieval", contrastive, by the score that search
    uses; "entity", each entity chooses its object among the proposals of its own image; "composition", of models with
    a pair term, contrastive by structured late interaction, and each sentence against a false one about its image;
    "match", of models with a match head: which objects are what an entity says, and whether it is there at all;
    "tagger", of models with one: which words are entities.
    """

    name = "interleaved_retrieval"
    prototype = interleaved.RETRIEVAL
    weights: ClassVar = {
        "sentence": 2.0,
        "retrieval": 4.0,
        "entity": 1.0,
        "composition": 2.0,
        "match": 1.0,
        "tagger": 1.0,
    }
    needs = ("panoptic", "interleaved_segmentation")

    def read(self, step: Step) -> ReadParts:
        model, drawn = step.model, expect(step.batch.drawn["interleaved_segmentation"], DrawnSentences)
        sentences = step.read["interleaved_segmentation"].sentences
        relatives, labels = None, None
        if model.interface.pair_term is not None:
            relatives = ReadRelatives.of(model, drawn, step.memory, sentences)
        if model.interface.tagger is not None:
            texts, spans = [query.text for query in drawn.queries], [query.spans for query in drawn.queries]
            labels = upload(labels_of(texts, spans, sentences.offsets), model.device)
        return ReadParts(relatives, labels)

    def prompt(self, step: Step) -> Prompt:
        shared = step.prompts["interleaved_segmentation"].prototype.members
        return Prompt(Prototype(tuple(member for member in self.prototype.members if member not in shared)))

    def targets(self, step: Step) -> SearchTargets:
        read = step.read["interleaved_segmentation"]
        means_one = read.meant.any(-1)
        parts: ReadParts = step.read[self.name]
        counts = [means_one.sum()]
        composed, matches, drawn = None, None, None
        if parts.relatives is not None or step.model.interface.match_head is not None:
            drawn = DrawnObjects.of(step)
        if drawn is not None and parts.relatives is not None:
            composed = Composed.of(step.final, drawn.boxes, read.sentences, parts.relatives)
        if step.model.interface.match_head is not None:
            masks = step.final.pixel[Group.OBJECT] @ step.points.features
            matches = Matches.of(masks, step.points.segments, step.batch.labels, read.meant)
        if parts.labels is not None:
            counts.append((parts.labels != IGNORED).sum())
        return SearchTargets(
            counts=counts,
            segment=read.meant.int().argmax(dim=-1),
            means_one=means_one,
            composed=composed,
            matches=matches,
            drawn=drawn,
        )

    def losses(self, step: Step) -> Mapping[str, Float[Tensor, ""]]:
        targets = expect(step.targets[self.name], SearchTargets)
        own = Searched.of(step.final, step.read["interleaved_segmentation"].sentences.padding)
        everybody = own.gathered(step.gathering)
        own_object = step.assigned["panoptic"][-1].gather(1, targets.segment)
        share, *share_of_tokens = step.shares[self.name]
        scale = step.scale
        cut = {width: (own.cut(width), everybody.cut(width)) for width in step.widths}

        def sentence(width: int) -> Float[Tensor, ""]:
            x = cut[width][1]
            return contrastive(scale * x.sentence @ x.image.mT)

        def retrieval(width: int) -> Float[Tensor, ""]:
            x = cut[width][1]
            return contrastive(scale * late_interaction(x.image, x.objects, x.sentence, x.entities, x.padding))

        def entity(width: int) -> Float[Tensor, ""]:
            x = cut[width][0]
            return assignment_cross_entropy(scale * x.objects @ x.entities.mT, own_object, targets.means_one)

        losses = {
            "sentence": step.mean_over_widths(sentence),
            "retrieval": step.mean_over_widths(retrieval),
            "entity": share * step.mean_over_widths(entity),
        }
        if targets.composed is not None:
            losses["composition"] = step.mean_over_widths(partial(targets.composed.loss, scale=scale))
        matches, drawn, head = targets.matches, targets.drawn, step.model.interface.match_head
        if matches is not None and drawn is not None and head is not None:
            numbers = object_numbers(drawn.boxes, drawn.confidence)

            def match(width: int) -> Float[Tensor, ""]:
                x = cut[width][0]
                return matches.loss(head, x.entities, x.objects, numbers)

            losses["match"] = step.mean_over_widths(match)
        labels, tagger = step.read[self.name].labels, step.model.interface.tagger
        if labels is not None and tagger is not None:
            read = step.read["interleaved_segmentation"].sentences
            loss = tagging_loss(tagger, read.tokens, read.token_padding, labels)
            losses["tagger"] = share_of_tokens[0] * loss
        return losses

    def predict(
        self, model: Any, images: Any, prompts: Sequence[Sequence[Any]], *, batch_size: int = 16
    ) -> list[Float[Tensor, " q"]]:
        """A prompt is a list of queries; the result is the search score of each with the image."""
        embedded = model.embed_images(images, batch_size=batch_size)
        check_counts(len(embedded.image), len(prompts), "list of queries", "lists of queries")
        return [_scores(embedded, row, model.embed_queries(list(queries))) for row, queries in enumerate(prompts)]


def _scores(images: Any, row: int, asked: Any) -> Float[Tensor, " q"]:
    """Of queries with image number `row`."""
    own = slice(row, row + 1)
    image, objects = images.image[own], images.objects[own]
    if asked.connections is None or asked.padding.shape[1] == 0:
        return late_interaction(image, objects, asked.query, asked.entities, asked.padding)[:, 0]
    there = torch.ones(objects.shape[:2], dtype=torch.bool, device=objects.device)
    shown = asked.connections.images(image, objects, images.boxes[own], there).each()
    queries = QueryBatch(asked.query, asked.entities, asked.padding, asked.connections.said)
    kept = nearest_objects(objects.expand(len(asked.query), -1, -1), asked.entities, asked.padding, most=MOST_OBJECTS)
    shown = shown.repeated(len(kept)).of_objects(kept)
    chained = terms(shown, queries.each(), asked.connections.weights).score()[0][:, 0, 0]
    return torch.where(asked.padding.all(dim=1), asked.query @ image[0], chained)
