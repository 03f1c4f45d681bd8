"""The exported parts of a model, as modules with plain tensors as inputs and outputs.

The interface has two independent halves (`find.interface.Interface`), so each is a separate graph:

    image      a picture on its canvas -> image vector, object vectors, boxes, masks, and the features of the picture
    regions    features and masks -> what is read under the masks, for queries that show them
    query      token ids, spans and regions -> sentence vector, entity vectors, what the connections say
    segment    features, token ids, spans and regions -> a mask for each entity
    score      vectors of an image and of a query -> structured late interaction, and the object of each entity

Shape legend as in `find.interface.types`; H, W sides of the canvas, g points of a region.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn

from find.foundations import LanguageEncoder, TextFeatures, TokenizedText
from find.interface import Group, ImageMemory, Interface, Prototype, Tokens
from find.interface.interface import align_map
from find.model.model import FIND
from find.tasks import generic, interleaved
from find.tasks.chained import ChainedTask
from find.tasks.connections import Connections
from find.tasks.mask_boxes import boxes_of_logits
from find.tasks.prompted import best_masks
from find.tasks.structured_interaction import QueryBatch, terms

Named = dict[str, Tensor]


class ImageHalf(nn.Module):
    """Encodes a picture, independent of any query."""

    def __init__(self, model: FIND) -> None:
        super().__init__()
        self.vision, self.interface = model.vision, model.interface

    def forward(
        self, pictures: UInt8[Tensor, "b 3 H W"] | Float[Tensor, "b 3 H W"], extent: Float[Tensor, "b 2"]
    ) -> Named:
        """`extent`: the fraction of the canvas's width and height that each picture covers, from its left and top."""
        features = self.vision(pictures)
        memory = self.interface.encode_image(features.maps, features.pooled, features.aligned)
        final = self.interface(memory, [generic.prompt()]).final
        masks = torch.einsum("bnm,bmhw->bnhw", final.pixel[Group.OBJECT], memory.mask_features)
        return {
            "image": F.normalize(final.semantic[Group.IMAGE][:, 0], dim=-1),
            "objects": F.normalize(final.semantic[Group.OBJECT], dim=-1),
            "confidence": generic.mask_confidence(masks),
            "boxes": boxes_of_logits(masks, extent),
            "masks": masks,
        } | features_of(memory)


class RegionHalf(nn.Module):
    """What the interface reads under regions of a picture; regions of others come from others' features."""

    def __init__(self, model: FIND) -> None:
        super().__init__()
        self.interface = model.interface

    def forward(self, features: Named, regions: Bool[Tensor, "b r H W"]) -> Named:
        """`regions`: masks on the canvas."""
        memory = memory_of(self.interface, features)
        batch, count = regions.shape[:2]
        rows = torch.arange(batch)[:, None].expand(batch, count)
        levels = self.interface.sampler(memory, regions, rows)
        points = self.interface.sampler.points
        given = {f"region_tokens_{k}": x.values.unflatten(1, (count, points)) for k, x in enumerate(levels)}
        given["region_padding"] = levels[0].padding.unflatten(1, (count, points))
        own = self.interface.aligned_regions(memory, regions, rows)
        return given if own is None else given | {"region_own": own}


@dataclass(frozen=True)
class Words:
    """The query's tensors as the exported graphs take them, by name.

    `ids`, `padding` of the sentence's tokens, `entity` (-1: none) of each; `is_region`, `entity_padding`; `region_*`
    as `RegionHalf` gives them, where entities are regions; `phrase_*`, each phrase alone, for a model whose
    foundations share a space; `connection_*`, the texts before, between and after the entities, for one with a pair
    term.
    """

    ids: Int64[Tensor, "q l"]
    padding: Bool[Tensor, "q l"]
    entity: Int64[Tensor, "q l"]
    is_region: Bool[Tensor, "q e"]
    entity_padding: Bool[Tensor, "q e"]
    region_tokens: tuple[Float[Tensor, "q e g c"], ...]
    region_padding: Bool[Tensor, "q e g"]
    region_own: Float[Tensor, "q e v"] | None
    phrase_ids: Int64[Tensor, "q e lp"] | None
    phrase_padding: Bool[Tensor, "q e lp"] | None
    connection_ids: Int64[Tensor, "q e+1 lc"] | None
    connection_padding: Bool[Tensor, "q e+1 lc"] | None

    @classmethod
    def named(cls, given: Mapping[str, Tensor]) -> "Words":
        levels = tuple(given[name] for name in sorted(given) if name.startswith("region_tokens_"))
        rest = {name: given.get(name) for name in cls.__dataclass_fields__ if name != "region_tokens"}
        return cls(region_tokens=levels, **rest)


class _Asking(nn.Module):
    """What the query half and the segmentation half share."""

    def __init__(self, model: FIND) -> None:
        super().__init__()
        self.language, self.interface = model.language, model.interface

    def _prompt(self, words: Words, prototype: Prototype):
        features = _read(self.language, words.ids, words.padding)
        count, points = words.region_padding.shape[1:]
        index = torch.arange(count).repeat_interleave(points).expand(words.ids.shape[0], -1)
        padding = words.region_padding.flatten(1)
        regions = tuple(Tokens(level.flatten(1, 2), padding, index) for level in words.region_tokens)
        own = None
        if words.phrase_ids is not None:
            phrases = _read(self.language, words.phrase_ids.flatten(0, 1), words.phrase_padding.flatten(0, 1)).pooled
            phrases = phrases.unflatten(0, words.phrase_ids.shape[:2])
            own = phrases.masked_fill((words.is_region | words.entity_padding)[..., None], 0.0)
            own = own if words.region_own is None else own + words.region_own
        return interleaved.prompt(
            self.interface,
            prototype,
            features.tokens,
            features.padding,
            words.entity,
            words.is_region,
            words.entity_padding,
            regions,
            features.pooled,
            own,
        )

    def _said(self, words: Words) -> Float[Tensor, "q e+1 5 r"]:
        ids, padding = words.connection_ids.flatten(0, 1), words.connection_padding.flatten(0, 1)
        features = _read(self.language, ids, padding)
        said = self.interface.pair_term.read(features.tokens, features.padding).float()
        empty = padding.all(dim=-1)[:, None, None]  # empty texts have no influence
        return said.masked_fill(empty, 0.0).unflatten(0, words.connection_ids.shape[:2])


class QueryHalf(_Asking):
    """Embeds a query, independent of any image."""

    def forward(self, words: Named) -> Named:
        given = Words.named(words)
        final = self.interface(None, [self._prompt(given, interleaved.RETRIEVAL)]).final
        entities = F.normalize(final.semantic[Group.INTERLEAVED_ENTITY], dim=-1)
        found = {
            "sentence": F.normalize(final.semantic[Group.INTERLEAVED][:, 0], dim=-1),
            "entities": entities.masked_fill(given.entity_padding[..., None], 0),
        }
        return found if self.interface.pair_term is None else found | {"said": self._said(given)}


class SegmentHalf(_Asking):
    """A mask for each entity of query k in picture k: its logits at the stride of the mask features, and the
    probability with which its proposal was chosen."""

    def __init__(self, model: FIND) -> None:
        super().__init__(model)
        self.entity_task = model.entity_task

    def forward(self, features: Named, extent: Float[Tensor, "b 2"], words: Named) -> Named:
        given = Words.named(words)
        memory = memory_of(self.interface, features)
        final = self.interface(memory, [self._prompt(given, interleaved.SEGMENTATION)]).final
        task = self.entity_task(given.is_region)
        if self.interface.pair_term is not None:
            connections = Connections(self._said(given), self.interface.pair_term)
            task = ChainedTask(task, connections, given.entity_padding, memory, extent)
        scores = task.scores(self.interface, final)
        masks, probability = best_masks(scores, final.pixel[task.proposals], memory.mask_features)
        return {"entity_masks": masks, "probability": probability}


class ScoreHalf(nn.Module):
    """Structured late interaction of one query with each of some images."""

    def __init__(self, model: FIND) -> None:
        super().__init__()
        self.pair_term = model.interface.pair_term

    def forward(
        self,
        image: Float[Tensor, "b d"],
        objects: Float[Tensor, "b n d"],
        boxes: Float[Tensor, "b n 4"],
        there: Bool[Tensor, "b n"],
        query: Named,
    ) -> Named:
        """`there`: which objects exist; the others are padding."""
        connections = Connections(query["said"], self.pair_term)
        images = connections.images(image[None], objects[None], boxes[None], there[None])
        asked = QueryBatch(
            query["sentence"][None], query["entities"][None], query["entity_padding"][None], query["said"][None]
        )
        score, chosen = terms(images, asked, connections.weights).score()
        return {"score": score[0, 0], "chosen": chosen[0, 0]}


def features_of(memory: ImageMemory) -> Named:
    """The features of pictures as they travel between the graphs: maps with their places apart."""
    named = {f"level_{k}": x.unflatten(1, memory.shapes[k]) for k, x in enumerate(memory.levels)}
    named["mask_features"] = memory.mask_features
    if memory.pooled is not None:
        named["pooled"] = memory.pooled
    if memory.aligned is not None:
        named["aligned"] = memory.aligned.values.unflatten(1, memory.aligned.shape)
    return named


def memory_of(interface: Interface, named: Mapping[str, Tensor]) -> ImageMemory:
    """Inverse of `features_of`; derived values are recomputed."""
    maps = [named[name] for name in sorted(named) if name.startswith("level_")]
    memory = interface.memory_of_projected_levels(maps, named["mask_features"], named.get("pooled"))
    aligned = named.get("aligned")
    if aligned is None:
        return memory
    return replace(memory, aligned=align_map(aligned, memory.mask_features))


def _read(language: LanguageEncoder, ids: Int64[Tensor, "t l"], padding: Bool[Tensor, "t l"]) -> TextFeatures:
    offsets = torch.zeros(*ids.shape, 2, dtype=torch.long)
    return language(TokenizedText(ids, padding, offsets, ()))
