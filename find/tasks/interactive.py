"""Interactive segmentation: segment proposals matched with spatial queries, which read the strokes of a user."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from find.data.batch import Drawn
from find.data.collate import Scenes, longest
from find.data.strokes import StrokeKind
from find.interface import Group, ImageMemory, Interface, Member, Prompt, Prototype, Slots, Start
from find.tasks.counter_rng import NEGATIVE_STROKES, uniform
from find.tasks.losses import SegmentationWeights
from find.tasks.prompted import PromptedTask, Space
from find.tasks.regions import own_rows
from find.tasks.segmentation import PromptedSegmentation
from find.tasks.task import Step, expect

PROTOTYPE = Prototype(
    (
        Member(
            Group.SEGMENT,
            Start.OBJECT_QUERIES,
            content=Group.PIXELS,
            masked=True,
            condition=(Group.SEGMENT, Group.SPATIAL_TOKENS, Group.MEMORY),
        ),
        Member(
            Group.SPATIAL,
            Start.IMAGE_QUERY,
            content=Group.SPATIAL_TOKENS,
            by_index=True,
            condition=(Group.SPATIAL,),
        ),
        Member(Group.SPATIAL_TOKENS, Start.SAMPLES, predicts=False),
    )
)
MEMORY = Prototype(
    (
        Member(
            Group.MEMORY,
            Start.MEMORIES,
            content=Group.PIXELS,
            masked=True,
            condition=(Group.MEMORY,),
            predicts=False,
        ),
    )
)
"""Memories of the last answer, for interfaces that have them: they look into its mask, and proposals see them."""
TASK = PromptedTask("interactive", Group.SEGMENT, Group.SPATIAL, Space.PIXEL)
NEGATIVE_SHARE = 0.3
"""How often a stroke in training comes with a mark of what does not belong to its thing."""


def prompt(
    interface: Interface,
    memory: ImageMemory,
    strokes: Bool[Tensor, "b r h w"],
    padding: Bool[Tensor, "b r"],
    *,
    negatives: Bool[Tensor, "b r h w"] | None = None,
    previous: Float[Tensor, "b _ _ _"] | None = None,
) -> Prompt:
    """Strokes on the canvas of their own image; `negatives` mark what each answer must leave out.

    `previous`: mask logits of the last round, for an interface with memories; one mask for all memories, or one each.
    """
    samples = interface.sampler(memory, strokes, own_rows(padding), negatives=negatives)
    return Prompt(
        PROTOTYPE if previous is None else PROTOTYPE + MEMORY,
        samples={Group.SPATIAL_TOKENS: samples},
        slots={Group.SPATIAL: Slots.of(padding)},
        masks={} if previous is None else {Group.MEMORY: previous},
    )


STROKE_KINDS = tuple(StrokeKind)
POINT_SHARE = 0.4  # users (and the benchmark) begin with a click; the other kinds share the rest


@dataclass(frozen=True)
class DrawnStrokes(Drawn):
    """Strokes that users might draw, one segment each."""

    strokes: Bool[Tensor, "b r h w"]
    targets: Int64[Tensor, "b r"]
    """Segment that the stroke means; -1 = padding."""


class Interactive(PromptedSegmentation):
    """A mask for each stroke.

    Args:
        compared: how strokes are compared with proposals.
    """

    name = "interactive"
    prototype = PROTOTYPE
    weights: ClassVar = {"interactive": SegmentationWeights(1, 3, 3)}
    proposals = Group.SEGMENT

    def __init__(self, compared: PromptedTask = TASK) -> None:
        super().__init__()
        self.compared = compared

    def collate(self, scenes: Scenes) -> DrawnStrokes:
        most = scenes.limits.strokes
        count = max(1, min(most, longest(row.segments for row in scenes.rows)))
        strokes = np.zeros((len(scenes), count, *scenes.canvas), bool)
        targets = np.full((len(scenes), count), -1, np.int64)
        for number, (row, rng) in enumerate(zip(scenes.rows, scenes.rngs, strict=True)):
            for slot, column in enumerate(rng.permutation(len(row.segments))[:most].tolist()):
                kind = StrokeKind.POINT
                if rng.random() >= POINT_SHARE:
                    kind = STROKE_KINDS[rng.integers(len(STROKE_KINDS))]
                row.draw(column, kind, rng).paint(strokes[number, slot])
                targets[number, slot] = column
        return DrawnStrokes(torch.from_numpy(strokes), torch.from_numpy(targets))

    def prompt(self, step: Step) -> Prompt:
        drawn = expect(step.batch.drawn[self.name], DrawnStrokes)
        negatives = _negatives(drawn, step.batch.seeds)
        return prompt(step.model.interface, step.memory, drawn.strokes, drawn.targets < 0, negatives=negatives)

    def comparison(self, step: Step) -> PromptedTask:
        return self.compared

    def meant(self, step: Step) -> Bool[Tensor, "b r s"]:
        targets = expect(step.batch.drawn[self.name], DrawnStrokes).targets
        return F.one_hot(targets.clamp(min=0), step.batch.labels.shape[1]).bool() & (targets >= 0)[..., None]

    def predict(self, model: Any, images: Any, prompts: Sequence[Any], *, batch_size: int = 16) -> Any:
        """A prompt is a list of strokes; the result has a mask for each (`FIND.interact`)."""
        return model.interact(images, prompts, batch_size=batch_size)


def _negatives(drawn: DrawnStrokes, seeds: Int64[Tensor, " b"]) -> Bool[Tensor, "b r h w"]:
    """For some strokes, the preceding one, of another segment, as a negative stroke.

    The first stroke gets the image's last one; the amount of padding depends on the other images.
    """
    there = drawn.targets >= 0
    count = there.sum(dim=1, keepdim=True)
    place = (torch.arange(there.shape[1], device=there.device) - 1) % count.clamp(min=1)
    neighbour = drawn.targets.gather(1, place)
    usable = there & (neighbour != drawn.targets)
    usable &= uniform(seeds, NEGATIVE_STROKES, there.shape[1]) < NEGATIVE_SHARE
    rows = torch.arange(len(there), device=there.device)[:, None]
    return drawn.strokes[rows, place] & usable[..., None, None]
