"""The losses of all tasks on a batch: one joint forward pass, one Hungarian matching, named and weighted losses."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from find.data.batch import Batch
from find.errors import InputError
from find.foundations import TextFeatures
from find.interface import Embeddings, GroupName
from find.model.model import FIND
from find.tasks import retrieval
from find.tasks.losses import SegmentationWeights
from find.tasks.matching import hungarian, matching_cost
from find.tasks.points import AllPositions, MaskSampling
from find.tasks.task import Loss, Step, Task, Weight
from find.tasks.text_inputs import concat_text_features, read_texts
from find.training.canvases import encode_batch
from find.training.distributed import gather_entities, gather_rows, propagate_errors, shares

Change = float | SegmentationWeights | Mapping[str, float]
"""A changed loss weight: a number, or for a segmentation loss all its weights, or some of them by name."""


class Criterion:
    """Computes the losses of all tasks.

    With several processes, averaging their losses and gradients gives those of one process with the joint batch.

    Args:
        weights: loss weights by name, where they differ from the tasks' defaults (`Task.weights`).
        sampling: how the points are chosen at which masks are compared.
        deep_supervision: apply the segmentation losses before every layer, too (Mask2Former); slower, better in long
            runs.
        nested_widths: apply the retrieval losses to embeddings truncated to these widths, too, so that searches can use
            truncated vectors (Matryoshka representation learning, Kusupati et al. 2022, Eq. 1).
    """

    def __init__(
        self,
        *,
        weights: Mapping[str, Change] | None = None,
        sampling: MaskSampling | None = None,
        deep_supervision: bool = False,
        nested_widths: Sequence[int] = (),
    ) -> None:
        self.weights = dict(weights or {})
        self.sampling = sampling or AllPositions()
        self.deep_supervision = deep_supervision
        self.nested_widths = tuple(nested_widths)
        self._read: dict[str, tuple[object, TextFeatures]] = {}  # last encoded texts and features of each task

    def __call__(self, model: FIND, batch: Batch, class_names: Sequence[str]) -> dict[str, Float[Tensor, ""]]:
        """The weighted losses by name; their sum is to be minimised.

        `class_names[k]` is the name of the category with index k.
        """
        tasks = list(model.tasks.values())
        weights = merged_weights(tasks, self.weights)
        with propagate_errors(model.device):  # for any batch; from here on the processes wait for each other
            step = self.forward(model, batch, class_names)
        _share(step)
        step.gathering = _Gathering(step.final)
        with torch.autocast(model.device.type, enabled=False):
            return {name: _weighted(loss, weights[name]) for task in tasks for name, loss in task.losses(step).items()}

    def forward(self, model: FIND, batch: Batch, class_names: Sequence[str]) -> Step:
        """Forward pass and matching of this process's batch, before communication with other processes."""
        interface, tasks = model.interface, list(model.tasks.values())
        class_texts = tuple(model.config.class_prompt.format(name) for name in class_names)
        widths = (*self.nested_widths, model.config.interface.semantic_width)
        step = Step(model, batch, class_texts, encode_batch(model, batch), widths)
        for task in tasks:
            step.read[task.name] = task.read(step)
        texts = self._embed_texts(step, tasks)
        for task in tasks:
            prompt = task.prompt(step)
            if prompt is not None:
                step.prompts[task.name] = prompt
        outputs = interface(step.memory, list(step.prompts.values()), deep=self.deep_supervision)
        step.layers = [layer.float() for layer in (outputs.layers if self.deep_supervision else [outputs.final])]
        step.texts = {name: embedded.float() for name, embedded in texts.items()}
        with torch.autocast(model.device.type, enabled=False):  # similarities and losses are computed in float32
            features, count = step.memory.mask_features.float(), batch.labels.shape[1]
            step.points = self.sampling(features, batch.segments, count, batch.seeds, step.memory.extents)
            for task in tasks:
                step.targets[task.name] = task.targets(step)
            _match(step)
        return step

    def _embed_texts(self, step: Step, tasks: Sequence[Task]) -> dict[str, Float[Tensor, "t d"]]:
        """Text features of all tasks, encoded together. Those of constant texts, such as class names, are cached."""
        features = {}
        for task in tasks:
            texts = tuple(task.texts(step))
            if texts:
                features[task.name] = self._read_texts(step.model, task.name, texts)
        if not features:
            return {}
        joint = concat_text_features(list(features.values()))
        embedded = retrieval.embed_texts(step.model.interface, joint.tokens, joint.padding, joint.pooled)
        parts = embedded.split([len(read.tokens) for read in features.values()])
        return dict(zip(features, parts, strict=True))

    def _read_texts(self, model: FIND, task: str, texts: tuple[str, ...]) -> TextFeatures:
        source = (id(model.language), model.device, texts)
        kept = self._read.get(task)
        if kept is None or kept[0] != source:
            with torch.inference_mode(False), torch.no_grad():  # a validation may come first
                kept = self._read[task] = (source, read_texts(model.language, texts, model.device))
        return kept[1]


def merged_weights(tasks: Sequence[Task], changed: Mapping[str, Change]) -> dict[str, Weight]:
    """The weight of each loss: the task's default, or the given one. Single weights of a segmentation loss can be given
    in a mapping, or by a dotted name such as "grounding.dice".

    Raises:
        InputError: an unknown loss name, or a weight of the wrong kind.
    """
    weights = {name: weight for task in tasks for name, weight in task.weights.items()}
    for named, change in changed.items():
        name, _, part = named.partition(".")
        if name not in weights:
            near = difflib.get_close_matches(name, weights, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(weights)}"
            raise InputError(f"loss_weights: no task has a loss {name!r}; {hint}")
        weights[name] = _changed(name, weights[name], {part: change} if part else change)
    return weights


def _changed(name: str, own: Weight, change: Change) -> Weight:
    if not isinstance(own, SegmentationWeights):
        if not isinstance(change, (int, float)):
            raise InputError(f"loss_weights.{name} is {change}; this loss has one weight, a number")
        return change
    if isinstance(change, SegmentationWeights):
        return change
    parts = [field.name for field in fields(own)]
    if not isinstance(change, Mapping) or set(change) - set(parts):
        raise InputError(f"loss_weights.{name} is {change}; this loss has the weights {', '.join(parts)}")
    return replace(own, **change)


def _weighted(loss: Loss, weight: Weight) -> Float[Tensor, ""]:
    return weight.total(loss) if isinstance(weight, SegmentationWeights) else weight * loss


def _match(step: Step) -> None:
    """One transfer to the host for all tasks and layers."""
    points, found = step.points, {}
    for name, targets in step.targets.items():
        if targets.matching is not None:
            found[name] = targets.matching
    costs, valid = [], []
    for matching in found.values():
        for cost, pixel in zip(matching.costs, matching.pixel, strict=True):
            costs.append(matching_cost(cost, pixel, points.features, matching.masks, points.blank))
            valid.append(matching.valid)
    assignments = iter(hungarian(costs, valid)) if costs else iter(())
    step.assigned = {name: [next(assignments) for _ in matching.costs] for name, matching in found.items()}


def _share(step: Step) -> None:
    """Gathers counts from all processes in one collective, which all must enter. Means are over objects, whose numbers
    differ between processes."""
    counts = [count.float() for targets in step.targets.values() for count in targets.counts]
    if counts:
        found = iter(shares(torch.stack(counts)))
        step.shares = {name: [next(found) for _ in targets.counts] for name, targets in step.targets.items()}


class _Gathering:
    """See `find.tasks.task.Gathering`; what several tasks request is sent once."""

    def __init__(self, final: Embeddings) -> None:
        self.final = final
        self.groups: dict[GroupName, Float[Tensor, "all_b n d"]] = {}

    def group(self, group: GroupName) -> Float[Tensor, "all_b n d"]:
        if group not in self.groups:
            self.groups[group] = gather_rows(self.final.semantic[group])
        return self.groups[group]

    def rows(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "all_b ..."]:
        return gather_rows(x)

    def entities(
        self, entities: Float[Tensor, "b e d"], padding: Bool[Tensor, "b e"]
    ) -> tuple[Float[Tensor, "all_b all_e d"], Bool[Tensor, "all_b all_e"]]:
        return gather_entities(entities, padding)
