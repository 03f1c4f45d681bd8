"""A task: counting by exemplar. How many things like this region are there?

Exemplar queries read the features under a region, as the spatial queries of interactive segmentation do; the object
proposals are those of panoptic segmentation. Its own head predicts for each pair whether the proposal is another of
the things that the region shows, and the count is the sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from find import Region
from find.data.strokes import StrokeKind
from find.errors import InputError
from find.interface import Embeddings, Group, GroupName, Interface, Member, Prompt, Prototype, Slots, Start
from find.tasks import Drawn, PromptBatch, Scenes, Step, Targets, Task, generic
from find.tasks.losses import masked_mean
from find.tasks.regions import own_rows

KINDS = (StrokeKind.POINT, StrokeKind.BOX, StrokeKind.MASK)
MOST_EXEMPLARS = 3


class Counted(GroupName):
    """The task's own groups in the stack."""

    EXEMPLAR = "exemplar queries"
    EXEMPLAR_TOKENS = "exemplar tokens"


@dataclass(frozen=True)
class DrawnExemplars(Drawn):
    """Regions, each of a thing, and how many things of its class its image has."""

    strokes: Bool[Tensor, "b r h w"]
    counts: Float[Tensor, "b r"]
    padding: Bool[Tensor, "b r"]


@dataclass(frozen=True)
class CountTargets(Targets):
    """The exemplars' counts as the loss compares them."""

    predicted: Float[Tensor, "b r"] | None = None


class CountingHead(nn.Module):
    """How sure it is of each object that it is one more of what an exemplar shows."""

    def __init__(self, semantic_width: int) -> None:
        super().__init__()
        self.objects = nn.Linear(semantic_width, semantic_width, bias=False)
        self.exemplars = nn.Linear(semantic_width, semantic_width, bias=False)
        self.scale = nn.Parameter(torch.tensor(5.0))
        self.threshold = nn.Parameter(torch.tensor(0.5))

    def forward(self, objects: Float[Tensor, "b n d"], exemplars: Float[Tensor, "b r d"]) -> Float[Tensor, "b r"]:
        """The expected number of objects that are such things."""
        a = F.normalize(self.objects(objects), dim=-1)
        b = F.normalize(self.exemplars(exemplars), dim=-1)
        return (self.scale * (b @ a.mT - self.threshold)).sigmoid().sum(dim=-1)


class Counting(Task):
    """How many things like this region are there?

    A prompt of `FIND.run` is a `Region`, or a mask at the picture's own size (bool, [H, W]); the answer is a number,
    not rounded.
    """

    name = "counting"
    prototype = Prototype(
        (
            Member(
                Counted.EXEMPLAR,
                Start.IMAGE_QUERY,
                content=Counted.EXEMPLAR_TOKENS,
                by_index=True,
                condition=(Counted.EXEMPLAR,),
            ),
            Member(Counted.EXEMPLAR_TOKENS, Start.SAMPLES, predicts=False),
        )
    )
    weights: ClassVar = {"counting": 1.0}
    needs = ("panoptic",)  # whose object proposals are counted

    def build(self, interface: Interface) -> None:
        self.head = CountingHead(interface.background.shape[0])

    # --- training ---

    def collate(self, scenes: Scenes) -> DrawnExemplars:
        strokes = np.zeros((len(scenes), MOST_EXEMPLARS, *scenes.canvas), bool)
        counts = np.zeros((len(scenes), MOST_EXEMPLARS), np.float32)
        padding = np.ones((len(scenes), MOST_EXEMPLARS), bool)
        for number, (row, rng) in enumerate(zip(scenes.rows, scenes.rngs, strict=True)):
            things = [k for k, one in enumerate(row.segments) if scenes.categories[one.category_id].is_thing]
            for slot, place in enumerate(rng.permutation(len(things))[:MOST_EXEMPLARS].tolist()):
                category = row.segments[things[place]].category_id
                row.draw(things[place], KINDS[rng.integers(len(KINDS))], rng).paint(strokes[number, slot])
                counts[number, slot] = sum(row.segments[k].category_id == category for k in things)
                padding[number, slot] = False
        return DrawnExemplars(*map(torch.from_numpy, (strokes, counts, padding)))

    def prompt(self, step: Step) -> Prompt:
        drawn: DrawnExemplars = step.batch.drawn[self.name]
        return self._prompt(step.model.interface, step.memory, drawn.strokes, drawn.padding)

    def targets(self, step: Step) -> CountTargets:
        drawn: DrawnExemplars = step.batch.drawn[self.name]
        return CountTargets(counts=[(~drawn.padding).sum()], predicted=self._count(step.final))

    def losses(self, step: Step) -> Mapping[str, Tensor]:
        """Smooth L1 of the logarithms: to count 4 as 5 is as bad as 40 as 50."""
        drawn: DrawnExemplars = step.batch.drawn[self.name]
        (share,) = step.shares[self.name]
        predicted = step.targets[self.name].predicted
        wrong = F.smooth_l1_loss(predicted.log1p(), drawn.counts.log1p(), reduction="none", beta=0.1)
        return {"counting": share * masked_mean(wrong, ~drawn.padding)}

    # --- answers ---

    def answer(self, batch: PromptBatch) -> Sequence[float]:
        interface, device = batch.model.interface, batch.model.device
        masks = [
            frame.place_mask(_bitmap(prompt, frame.height, frame.width))
            for prompt, frame in zip(batch.prompts, batch.frames, strict=True)
        ]
        strokes = torch.stack(masks)[:, None].to(device)
        padding = torch.zeros(strokes.shape[:2], dtype=torch.bool, device=device)
        prompts = [generic.prompt(), self._prompt(interface, batch.memory, strokes, padding)]
        return self._count(interface(batch.memory, prompts).final)[:, 0].tolist()

    def _prompt(self, interface: Interface, memory: Any, strokes: Tensor, padding: Tensor) -> Prompt:
        return Prompt(
            self.prototype,
            samples={Counted.EXEMPLAR_TOKENS: interface.sampler(memory, strokes, own_rows(padding))},
            slots={Counted.EXEMPLAR: Slots.of(padding)},
        )

    def _count(self, final: Embeddings) -> Float[Tensor, "b r"]:
        return self.head(final.semantic[Group.OBJECT], final.semantic[Counted.EXEMPLAR])


def _bitmap(prompt: Region | np.ndarray, height: int, width: int) -> Bool[np.ndarray, "H W"]:
    mask = np.asarray(prompt.bitmap() if isinstance(prompt, Region) else prompt)
    if mask.shape != (height, width) or mask.dtype != bool:
        raise InputError(
            f"counting: the exemplar is {mask.dtype} of shape {mask.shape}; give a Region of this image, or a bool "
            f"mask of its {height} x {width} pixels"
        )
    return mask


@dataclass(frozen=True)
class CountErrors:
    """How wrong counts are: the mean absolute error, its relation to the true counts, and how many are right when
    rounded (percent)."""

    mae: float
    relative: float
    exact: float

    @classmethod
    def of(cls, predicted: Sequence[float], true: Sequence[int]) -> CountErrors:
        found, wanted = np.asarray(predicted, float), np.asarray(true, float)
        wrong = np.abs(found - wanted)
        exact = 100 * float((np.rint(found) == wanted).mean())
        return cls(float(wrong.mean()), float((wrong / wanted).mean()), exact)
