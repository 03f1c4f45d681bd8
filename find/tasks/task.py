"""The base class of tasks: the methods by which a task is trained with the interface and answers prompts.

A task may come from this or any other package, which declares it as an entry point of the group `find.tasks`.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from find.data.batch import Batch, Drawn
from find.data.collate import Scenes
from find.errors import check_counts
from find.foundations import LanguageEncoder
from find.images.canvas import ImageGeometry
from find.interface import Embeddings, GroupName, ImageMemory, Interface, Prompt, Prototype
from find.tasks.losses import SegmentationLosses, SegmentationWeights
from find.tasks.points import MaskPoints

T = TypeVar("T")


def expect(found: object, kind: type[T]) -> T:
    """An object that a task's own hook stored in a dictionary of all tasks, cast to its class.

    Raises:
        TypeError: it is of another class.
    """
    if not isinstance(found, kind):
        raise TypeError(f"expected {kind.__name__}, found {type(found).__name__}")
    return found


class TaskModel(Protocol):
    """What a task needs of a model."""

    interface: Interface
    language: LanguageEncoder

    @property
    def device(self) -> torch.device:
        """The device that it computes on."""
        ...

    def prompted(
        self, images: Any, batch_size: int
    ) -> tuple[list[ImageGeometry], Iterator[tuple[list[int], ImageMemory]]]:
        """The geometry of each image, and the images' memories a batch at a time, with the images' numbers."""


class Gathering(Protocol):
    """Collects rows of all processes, for losses that contrast a batch's images with those of the others.

    In a single process the methods return their arguments. All processes have to call them in the same order; gradients
    flow through them.
    """

    def group(self, group: GroupName) -> Float[Tensor, "all_b n d"]:
        """The semantic embeddings of a group after the last layer."""

    def rows(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "all_b ..."]:
        """Any rows of the batch's images."""

    def entities(
        self, entities: Float[Tensor, "b e d"], padding: Bool[Tensor, "b e"]
    ) -> tuple[Float[Tensor, "all_b all_e d"], Bool[Tensor, "all_b all_e"]]:
        """Gathers padded rows; processes may have different numbers of them."""


@dataclass(frozen=True)
class Matching:
    """Targets to be matched with one proposal each, and their costs; lists have one entry per layer.

    Args:
        masks: of each target, at the step's points.
        valid: which targets are not padding.
        scores: logits of the task's candidates.
        costs: of each proposal for each target, beside the costs of their masks.
        pixel: the proposals' pixel embeddings.
    """

    masks: Float[Tensor, "b t p"]
    valid: Bool[Tensor, "b t"]
    scores: Sequence[Float[Tensor, "b n k"]]
    costs: Sequence[Float[Tensor, "b n t"]]
    pixel: Sequence[Float[Tensor, "b n m"]]


@dataclass(frozen=True)
class Targets:
    """What a task's outputs are compared with.

    Args:
        counts: denominators of the task's means over this batch. `Step.shares` has a factor for each such mean, so that
            the average over processes is the mean over all of their batches.
        matching: for tasks whose proposals are matched.
    """

    counts: Sequence[Float[Tensor, ""] | Int[Tensor, ""]] = ()
    matching: Matching | None = None


@dataclass
class Step:
    """The state of a training step, which tasks' hooks read and the criterion fills in; dictionaries are by task name.

    Attributes:
        class_texts: the texts that class names are read as, in the order of `Batch.labels`.
        memory: of the batch's images.
        widths: to which retrieval losses truncate embeddings (nested widths); the last one is the full width.
        read: what `Task.read` gave.
        texts: the embeddings of what `Task.texts` gave.
        prompts: what `Task.prompt` gave.
        layers: predictions of the joint forward, in float32: the last layer's, or all of them (deep supervision).
        points: where masks are compared.
        targets: what `Task.targets` gave.
        assigned: of each layer, the proposal of each target of a task with a matching.
        shares: see `Targets.counts`.
        gathering: rows of all processes.
    """

    model: TaskModel
    batch: Batch
    class_texts: Sequence[str]
    memory: ImageMemory
    widths: Sequence[int]
    read: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, Float[Tensor, "t d"]] = field(default_factory=dict)
    prompts: dict[str, Prompt] = field(default_factory=dict)
    layers: Sequence[Embeddings] = ()
    points: MaskPoints = field(init=False, repr=False)
    targets: dict[str, Targets] = field(default_factory=dict)
    assigned: dict[str, Sequence[Int[Tensor, "b t"]]] = field(default_factory=dict)
    shares: dict[str, Sequence[Float[Tensor, ""]]] = field(default_factory=dict)
    gathering: Gathering = field(init=False, repr=False)

    @property
    def final(self) -> Embeddings:
        """The embeddings after the last layer, in float32."""
        return self.layers[-1]

    @property
    def scale(self) -> Float[Tensor, ""]:
        """The learned temperature of cosines, as `Interface.similarity` limits it."""
        return self.model.interface.logit_scale.exp().clamp(max=100)

    def mean_over_widths(self, loss: Callable[[int], Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """The mean of a loss over `widths`; `loss(width)` is that of embeddings truncated to their first `width`
        values."""
        return torch.stack([loss(width) for width in self.widths]).mean()


@dataclass(frozen=True)
class PromptBatch:
    """Prompts about a batch of images that share a canvas, one prompt per image.

    Attributes:
        memory: of the images.
        frames: which place each image has on the canvas.
        prompts: as they were given to `FIND.run`.
    """

    model: TaskModel
    memory: ImageMemory
    frames: Sequence[ImageGeometry]
    prompts: Sequence[Any]


Loss = Float[Tensor, ""] | SegmentationLosses
Weight = float | SegmentationWeights


class Task(nn.Module, ABC):
    """Something that the interface is trained for and that users can run by its name.

    In a training step the hooks are called in the order below, each for all tasks before the next;
    there is one forward of the interface for the prompts of all tasks, and one matching. `read` to `targets` run in
    each process separately; `losses` may gather from the others (`Step.gathering`). From `targets` on all is float32.

    A task with its own parameters creates them in `build`; they are trained, saved and loaded with the interface's.

    Attributes:
        name: an identifier, by which `FIND.run` finds it.
        prototype: its groups in the interface's stack; empty for tasks that only use other tasks' groups.
        weights: default weights of its losses, by the losses' names.
        needs: names of tasks whose results in the step it uses; they come before it.
    """

    name: ClassVar[str]
    prototype: ClassVar[Prototype] = Prototype(())
    weights: ClassVar[Mapping[str, Weight]]
    needs: ClassVar[tuple[str, ...]] = ()

    def build(self, interface: Interface) -> None:
        """Creates its parameters, with the interface's widths."""

    def collate(self, scenes: Scenes) -> Drawn | None:
        """Draws its prompts and targets from a batch's samples, in a loader's process; stored in `Step.batch.drawn`."""

    def read(self, step: Step) -> Any:
        """Encodes the batch's prompts with the frozen encoders, and runs forwards of its own (in the run's
        precision)."""

    def texts(self, step: Step) -> Sequence[str]:
        """Texts whose embeddings it compares with; they are embedded together for all tasks."""
        return ()

    def prompt(self, step: Step) -> Prompt | None:
        """Its part of the joint forward, without the groups of tasks that it needs."""

    def targets(self, step: Step) -> Targets:
        """What its outputs are compared with."""
        return Targets()

    def losses(self, step: Step) -> Mapping[str, Loss]:
        """Its losses, unweighted, by the names of `weights`."""
        raise NotImplementedError(f"task {self.name!r} has no losses")

    def predict(self, model: Any, images: Any, prompts: Sequence[Any], *, batch_size: int = 16) -> Any:
        """The results of `FIND.run`: those of `answer` for prompt k with image k, in the images' order."""
        frames, memories = model.prompted(images, batch_size)
        check_counts(len(frames), len(prompts), "prompt", "prompts")
        answers: dict[int, Any] = {}
        for numbers, memory in memories:
            batch = PromptBatch(model, memory, [frames[n] for n in numbers], [prompts[n] for n in numbers])
            answers.update(zip(numbers, self.answer(batch), strict=True))
        return [answers[number] for number in range(len(frames))]

    def answer(self, batch: PromptBatch) -> Sequence[Any]:
        """The results for a batch of prompts, one per image, on the host. Gradients are off."""
        raise NotImplementedError(f"task {self.name!r} answers nothing")
