"""Interleaved segmentation as a task: each entity of a sentence, words or a region, is matched with a proposal."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from find.data.batch import Drawn
from find.data.collate import Scenes, longest
from find.interface import Group, Prompt
from find.query.query import RenderedQuery
from find.tasks import interleaved
from find.tasks.losses import SegmentationWeights
from find.tasks.prompted import PromptedTask, SplitTask
from find.tasks.segmentation import PromptedSegmentation
from find.tasks.task import Step, expect
from find.tasks.text_inputs import Sentences

if TYPE_CHECKING:
    from find.data.interleave import InterleavedQuery


@dataclass(frozen=True)
class DrawnSentences(Drawn):
    """One sentence per image, and a false variant of it."""

    queries: list[RenderedQuery]
    """Visual entities stand as the placeholder already, their words are gone."""
    targets: Bool[Tensor, "b e s"]
    """The segments of this image that an entity of the sentence means."""
    padding: Bool[Tensor, "b e"]
    """True where there is no entity."""
    regions: Bool[Tensor, "b e h w"]
    """A visual entity's stroke, on the canvas of batch row `region_rows`; empty for a phrase."""
    region_rows: Int64[Tensor, "b e"]
    """Batch row of the image that the region lies in; -1 = phrase or padding."""
    false_queries: list[RenderedQuery]
    """A false relative of each sentence, about the same image; the sentence itself where there is none."""
    false_origin: Int64[Tensor, "b e"]
    """Whose region each entity of the false sentence has: that of this entity of the true one."""
    has_false: Bool[Tensor, " b"]


@dataclass(frozen=True)
class ReadSentences:
    """A batch's sentences, and the segments of their entities; none for entities that were truncated away."""

    sentences: Sentences
    meant: Bool[Tensor, "b e s"]


class InterleavedSegmentation(PromptedSegmentation):
    """A mask for each entity of a sentence.

    Args:
        words, regions: how entities of the two kinds are compared with proposals.
    """

    name = "interleaved_segmentation"
    prototype = interleaved.SEGMENTATION
    weights: ClassVar = {"interleaved": SegmentationWeights(1, 3, 3)}
    proposals = Group.ENTITY

    def __init__(self, words: PromptedTask = interleaved.TASK, regions: PromptedTask = interleaved.TASK) -> None:
        super().__init__()
        self.words = words
        self.regions = regions

    def entity_comparison(self, is_region: Bool[Tensor, "b e"]) -> PromptedTask | SplitTask:
        """How the entities of sentences are compared with entity proposals."""
        if self.words == self.regions:
            return self.words
        return SplitTask(self.words, self.regions, is_region)

    def collate(self, scenes: Scenes) -> DrawnSentences:
        from find.data.interleave import Interleaver  # readers of data, which a model does without

        interleave = Interleaver(placeholder=scenes.placeholder, max_entities=scenes.limits.entities)
        queries = interleave(scenes.rows, scenes.captions, scenes.rngs, scenes.seeds)
        targets, padding, regions, region_rows = _place_entities(queries, scenes.segments, scenes.canvas)
        return DrawnSentences(
            queries=[query.rendered for query in queries],
            targets=targets,
            padding=padding,
            regions=regions,
            region_rows=region_rows,
            false_queries=[query.false.rendered if query.false else query.rendered for query in queries],
            false_origin=_origins(queries, padding.shape[1]),
            has_false=torch.tensor([query.false is not None for query in queries]),
        )

    def read(self, step: Step) -> ReadSentences:
        drawn = expect(step.batch.drawn[self.name], DrawnSentences)
        sentences = Sentences.read(step.model.language, drawn.queries, step.model.device)
        meant = drawn.targets
        if sentences.truncated_entities:
            row, entity = sentences.truncated_entities[0]
            warnings.warn(
                "sentences are longer than the language encoder reads, and entities at their ends are left out, such "
                f"as entity {entity + 1} of {drawn.queries[row].text!r}",
                stacklevel=2,
            )
            meant = meant & ~sentences.padding[..., None]
        return ReadSentences(sentences, meant)

    def prompt(self, step: Step) -> Prompt:
        interface, drawn = step.model.interface, expect(step.batch.drawn[self.name], DrawnSentences)
        shown = step.memory, drawn.regions, drawn.region_rows
        regions, aligned = interface.sampler(*shown), interface.aligned_regions(*shown)
        return step.read[self.name].sentences.prompt(interface, self.prototype, regions, aligned)

    def comparison(self, step: Step) -> PromptedTask | SplitTask:
        return self.entity_comparison(step.read[self.name].sentences.is_region)

    def meant(self, step: Step) -> Bool[Tensor, "b e s"]:
        return step.read[self.name].meant

    def predict(self, model: Any, images: Any, prompts: Sequence[Any], *, batch_size: int = 16) -> Any:
        """A prompt is a query; the result has a mask for each of its entities (`FIND.segment`)."""
        return model.segment(images, prompts, batch_size=batch_size)


def _place_entities(
    queries: Sequence[InterleavedQuery], segments: int, canvas: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Entity targets, padding, regions and region rows of a batch."""
    shape = (len(queries), longest(query.targets for query in queries))
    targets = np.zeros((*shape, segments), bool)
    padding = np.ones(shape, bool)
    regions = np.zeros((*shape, *canvas), bool)
    region_rows = np.full(shape, -1, np.int64)
    for number, query in enumerate(queries):
        padding[number, : len(query.targets)] = False
        for slot, (columns, region) in enumerate(zip(query.targets, query.regions, strict=True)):
            targets[number, slot, list(columns)] = True
            if region is not None:
                region.stroke.paint(regions[number, slot])
                region_rows[number, slot] = region.row
    places = torch.from_numpy(padding), torch.from_numpy(regions), torch.from_numpy(region_rows)
    return torch.from_numpy(targets), *places


def _origins(queries: Sequence[InterleavedQuery], entities: int) -> Tensor:
    origins = torch.arange(entities).repeat(len(queries), 1)
    for number, query in enumerate(queries):
        if query.false is not None:
            origins[number, : len(query.false.origin)] = torch.tensor(query.false.origin, dtype=torch.int64)
    return origins
