"""Interleaved segmentation as a task: each entity of a sentence, words or a region, is matched with a proposal."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool
from torch import Tensor

from find.interface import Group, Prompt
from find.tasks import interleaved
from find.tasks.losses import SegmentationWeights
from find.tasks.prompted import PromptedTask, SplitTask
from find.tasks.segmentation import PromptedSegmentation
from find.tasks.task import Step
from find.tasks.text_inputs import Sentences


@dataclass(frozen=True)
class ReadSentences:
    """A batch's sentences, and the segments that their entities mean, none for those that the encoder reads no word
    of."""

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

    def read(self, step: Step) -> ReadSentences:
        batch = step.batch
        sentences = Sentences.read(step.model.language, batch.queries, step.model.device)
        meant = batch.entity_targets
        if sentences.truncated_entities:
            row, entity = sentences.truncated_entities[0]
            warnings.warn(
                "sentences are longer than the language encoder reads, and entities at their ends are left out, such "
                f"as entity {entity + 1} of {batch.queries[row].text!r}",
                stacklevel=2,
            )
            meant = meant & ~sentences.padding[..., None]
        return ReadSentences(sentences, meant)

    def prompt(self, step: Step) -> Prompt:
        interface, shown = step.model.interface, (step.memory, step.batch.regions, step.batch.region_rows)
        regions, aligned = interface.sampler(*shown), interface.aligned_regions(*shown)
        return step.read[self.name].sentences.prompt(interface, self.prototype, regions, aligned)

    def comparison(self, step: Step) -> PromptedTask | SplitTask:
        return self.entity_comparison(step.read[self.name].sentences.is_region)

    def meant(self, step: Step) -> Bool[Tensor, "b e s"]:
        return step.read[self.name].meant
