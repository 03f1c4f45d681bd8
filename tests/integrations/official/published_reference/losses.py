"""The losses that the published FIND was trained with (reference section 11): all tasks, every layer's prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from find.interface import Embeddings, Group, Interface, Tokens
from find.tasks import generic, grounding
from find.tasks.losses import (
    assignment_cross_entropy,
    binary_cross_entropy,
    contrastive,
    dice,
)
from find.tasks.matching import hungarian, matching_cost
from find.tasks.prompted import PromptedTask, SegmentationLosses, SplitTask

FREE_TEXT, CLASS_NAMES = 2.0, 0.5
"""Factors of the grounding choice loss for images whose texts are sentences' phrases, and class names."""
TASKS = ("mask", "spatial", "grounding", "interleave")
CHOICE = {"mask": 2.0, "spatial": 0.4, "grounding": 0.4, "interleave": 0.4}
MASKS = {"mask": 5.0, "spatial": 1.0, "grounding": 1.0, "interleave": 1.0}
SENTENCES, CAPTIONS = 8.0, 8.0
AT_ONCE = 64
"""Masks whose points are handled together: more would not stay in a CPU's caches, and need memory of its own."""


@dataclass(frozen=True)
class MaskTargets:
    """Masks to be found, on the canvas, with padding."""

    masks: Bool[Tensor, "b t H W"]
    valid: Bool[Tensor, "b t"]

    @classmethod
    def stack(cls, masks: Sequence[Bool[Tensor, "_ H W"]]) -> MaskTargets:
        most = max(len(stack) for stack in masks)
        counts = torch.tensor([len(stack) for stack in masks], device=masks[0].device)
        padded = [F.pad(stack.bool(), (0, 0, 0, 0, 0, most - len(stack))) for stack in masks]
        return cls(torch.stack(padded), torch.arange(most, device=counts.device) < counts[:, None])


@dataclass(frozen=True)
class Targets:
    """What one batch should give; a task whose targets are not given is not trained.

    Args:
        segments, labels: of generic segmentation; label -1 is padding.
        strokes, phrases, entities: what the prompts of the three prompted tasks mean.
        text_number: equal numbers for equal texts of an image.
        is_free_text: of each image, whether its texts are phrases rather than class names.
        is_region: which entities are regions.
        class_number: the class of each class prompt.
        caption_words: the captions' tokens as they enter the stack.
    """

    segments: MaskTargets
    labels: Int[Tensor, "b s"]
    strokes: MaskTargets | None = None
    phrases: MaskTargets | None = None
    text_number: Int[Tensor, "b t"] | None = None
    is_free_text: Bool[Tensor, " b"] | None = None
    entities: MaskTargets | None = None
    is_region: Bool[Tensor, "b e"] | None = None
    class_number: Int[Tensor, " k"] | None = None
    caption_words: Tokens | None = None


class MaskPlaces(Protocol):
    """Chooses points, as (x, y) in [0, 1] of the canvas."""

    def matching(self, batch: int, device: torch.device) -> Float[Tensor, "b p 2"]:
        """Of each image, for the matching of all its masks."""
        ...

    def losses(self, logits: Float[Tensor, "n h w"]) -> Float[Tensor, "n p 2"]:
        """Of each matched mask."""
        ...


class UncertainPlaces:
    """Uniform points for matching; for losses mostly where a mask is least sure (PointRend, Mask2Former).

    Of three times `points` uniform ones the three quarters of `points` with the smallest logits, and fresh ones. Masks
    choose among the same uniform ones, so that these are drawn and looked up once.
    """

    def __init__(self, points: int = 12544, generator: torch.Generator | None = None) -> None:
        self.points = points
        self.generator = generator

    def matching(self, batch: int, device: torch.device) -> Float[Tensor, "b p 2"]:
        return self._uniform(batch, self.points, device=device)

    def losses(self, logits: Float[Tensor, "n h w"]) -> Float[Tensor, "n p 2"]:
        kept = self.points * 3 // 4
        candidates, fresh = (self._uniform(n, device=logits.device) for n in (3 * self.points, self.points - kept))
        places = fresh.expand(len(logits), -1, -1)
        return torch.cat(
            [
                torch.cat([candidates[_least_sure(masks, candidates, kept)], places[: len(masks)]], dim=1)
                for masks in logits.detach().split(AT_ONCE)
            ]
        )

    def _uniform(self, *size: int, device: torch.device) -> Float[Tensor, "*_ p 2"]:
        """From top to bottom, so that places that lie together in the maps are looked up together."""
        x, y = torch.rand(2, *size, generator=self.generator, device=device)
        return torch.stack([x, y.sort(dim=-1).values], dim=-1)


def _least_sure(masks: Float[Tensor, "n h w"], candidates: Float[Tensor, "p 2"], count: int) -> Int[Tensor, "n k"]:
    """Which candidates have the smallest logits in each mask."""
    sure = sample_maps(masks[None], candidates[None])[0].abs_()
    # The bits of positive numbers are ordered as the numbers are, and integers are compared faster.
    return sure.view(torch.int32).topk(count, dim=1, largest=False, sorted=False).indices


def sample_maps(maps: Float[Tensor, "n c h w"], xy: Float[Tensor, "n p 2"]) -> Float[Tensor, "n c p"]:
    """Bilinear samples, zero outside."""
    return F.grid_sample(maps, (2 * xy - 1)[:, None].to(maps.dtype), align_corners=False)[:, :, 0]


@dataclass(frozen=True)
class LayerLosses:
    """Of one layer's prediction, unweighted; None of a task that is not trained."""

    mask: SegmentationLosses
    spatial: SegmentationLosses | None = None
    grounding: SegmentationLosses | None = None
    interleave: SegmentationLosses | None = None
    sentences: Float[Tensor, ""] | None = None
    captions: Float[Tensor, ""] | None = None

    @property
    def total(self) -> Float[Tensor, ""]:
        contrasts = ((SENTENCES, self.sentences), (CAPTIONS, self.captions))
        parts = [weight * loss for weight, loss in contrasts if loss is not None]
        for task in TASKS:
            loss: SegmentationLosses | None = getattr(self, task)
            if loss is not None:
                parts.append(CHOICE[task] * loss.ce + MASKS[task] * (loss.bce + loss.dice))
        return torch.stack(parts).sum()


@dataclass(frozen=True)
class Scored:
    """One task at one layer: what proposals are compared by, and their mask embeddings."""

    targets: MaskTargets
    class_cost: Float[Tensor, "b n t"]
    scores: Float[Tensor, "b n _"]
    pixel: Float[Tensor, "b n m"]


@dataclass(frozen=True)
class Result:
    """Losses of each layer in the order of the forward, the final one last, and what was matched in them."""

    layers: list[LayerLosses]
    assigned: list[dict[str, Int[Tensor, "b _"]]]
    bank: Float[Tensor, "k+1 d"]  # the class bank after the step

    @property
    def total(self) -> Float[Tensor, ""]:
        return torch.stack([layer.total for layer in self.layers]).sum()


class OfficialCriterion:
    """Every task's loss at every prediction; one Hungarian step for them all.

    Args:
        places: at which masks are compared.
        interactive: how strokes are compared with proposals.
        words, regions: how entities are.
    """

    def __init__(
        self, *, places: MaskPlaces, interactive: PromptedTask, words: PromptedTask, regions: PromptedTask
    ) -> None:
        self.places = places
        self.interactive = interactive
        self.words, self.regions = words, regions

    def __call__(
        self,
        interface: Interface,
        layers: Sequence[Embeddings],
        class_layers: Sequence[Float[Tensor, "k d"]],
        mask_features: Float[Tensor, "b m h w"],
        bank: Float[Tensor, "k+1 d"],
        targets: Targets,
    ) -> Result:
        """Losses of a deep forward.

        Args:
            layers: predictions, the final one last.
            class_layers: in the same order, the embeddings of the classes whose prompts are in this batch, if any are.
            bank: embeddings of all classes and the background; rows of this batch's classes are replaced by theirs.
        """
        banks = [bank.detach()] * len(layers)
        if targets.class_number is not None:
            banks = [bank.detach().index_put((targets.class_number,), rows) for rows in class_layers]
        scored = [self._score(interface, layer, classes, targets) for layer, classes in zip(layers, banks, strict=True)]
        assigned = self._match(scored, mask_features)
        masks = {name: self._masks(name, scored, assigned, mask_features) for name in scored[0]}
        losses = [
            self._losses(interface, layer, scored[k], assigned[k], {name: masks[name][k] for name in masks}, targets)
            for k, layer in enumerate(layers)
        ]
        return Result(losses, assigned, banks[-1].detach())

    def _score(
        self, interface: Interface, layer: Embeddings, bank: Float[Tensor, "k+1 d"], targets: Targets
    ) -> dict[str, Scored]:
        objects = layer.semantic[Group.OBJECT]
        logits = interface.similarity(objects, bank.expand(len(objects), -1, -1), limit=interface.class_scale_limit)
        prompted: dict[str, tuple[PromptedTask | SplitTask, MaskTargets]] = {}
        if targets.strokes is not None:
            prompted["spatial"] = (self.interactive, targets.strokes)
        if targets.phrases is not None:
            prompted["grounding"] = (grounding.TASK, targets.phrases)
        if targets.entities is not None:
            prompted["interleave"] = (SplitTask(self.words, self.regions, targets.is_region), targets.entities)
        scored = {
            "mask": Scored(
                targets.segments,
                generic.class_cost(logits.detach(), targets.labels),
                logits,
                layer.pixel[Group.OBJECT],
            )
        }
        for name, (task, wanted) in prompted.items():
            scores = task.scores(interface, layer)
            cost = -scores.detach().softmax(dim=1)
            scored[name] = Scored(wanted, cost, scores, layer.pixel[task.proposals])
        return scored

    @torch.no_grad()
    def _match(
        self, layers: Sequence[dict[str, Scored]], mask_features: Float[Tensor, "b m h w"]
    ) -> list[dict[str, Int[Tensor, "b _"]]]:
        xy = self.places.matching(len(mask_features), mask_features.device)
        features = sample_maps(mask_features, xy)
        costs, valid = [], []
        for name, task in layers[0].items():
            class_cost = torch.cat([layer[name].class_cost for layer in layers], dim=1)
            pixel = torch.cat([layer[name].pixel for layer in layers], dim=1)
            cost = matching_cost(class_cost, pixel, features, sample_maps(task.targets.masks.float(), xy))
            costs += cost.chunk(len(layers), dim=1)
            valid += [task.targets.valid] * len(layers)
        matches = iter(hungarian(costs, valid))
        by_task = {name: [next(matches) for _ in layers] for name in layers[0]}
        return [{name: found[k] for name, found in by_task.items()} for k in range(len(layers))]

    def _losses(
        self,
        interface: Interface,
        layer: Embeddings,
        tasks: dict[str, Scored],
        assigned: dict[str, Int[Tensor, "b _"]],
        masks: dict[str, tuple[Float[Tensor, ""], Float[Tensor, ""]]],
        targets: Targets,
    ) -> LayerLosses:
        segmentation = {}
        for name, task in tasks.items():
            wanted, matched = task.targets, assigned[name]
            if name == "mask":
                ce = generic.class_cross_entropy(task.scores, targets.labels, matched)
            elif name == "grounding":
                ce = shared_choice(task.scores, matched, wanted.valid, targets.text_number, targets.is_free_text)
            else:
                ce = assignment_cross_entropy(task.scores, matched, _counted(name, wanted))
            bce, overlap = masks[name]
            if name == "grounding" and not bool(wanted.valid.any(dim=1).all()):
                ce, bce, overlap = 0 * ce, 0 * bce, 0 * overlap
            segmentation[name] = SegmentationLosses(ce, bce, overlap)
        sentences = captions = None
        image = layer.semantic[Group.IMAGE]
        if targets.entities is not None:
            sentences = contrastive(_all_pairs(interface, image, layer.semantic[Group.INTERLEAVED]))
        if targets.caption_words is not None:
            words = fine_retrieval(interface, layer.semantic[Group.OBJECT], targets.caption_words)
            captions = contrastive(_all_pairs(interface, image, layer.semantic[Group.CAPTION])) + 0.5 * words
        return LayerLosses(**segmentation, sentences=sentences, captions=captions)

    def _masks(
        self,
        name: str,
        layers: Sequence[dict[str, Scored]],
        assigned: Sequence[dict[str, Int[Tensor, "b t"]]],
        mask_features: Float[Tensor, "b m h w"],
    ) -> list[tuple[Float[Tensor, ""], Float[Tensor, ""]]]:
        """Both mask losses of a task at each layer: means over the counted pairs, each pair at points of its own.

        Only matched proposals are drawn, those of all layers by one matrix product an image; their targets, which all
        layers share, are never copied.
        """
        targets = layers[0][name].targets
        counted = _counted(name, targets)
        rows, columns = counted.nonzero(as_tuple=True)
        if len(rows) == 0:
            nothing = [layer[name].pixel.sum() * 0 for layer in layers]
            return list(zip(nothing, nothing, strict=True))
        chosen = torch.stack(
            [
                layer[name].pixel[rows, matches[name][rows, columns]]
                for layer, matches in zip(layers, assigned, strict=True)
            ],
            dim=1,
        )
        of_image = chosen.split(counted.sum(dim=1).tolist())
        drawn = [
            pixel.flatten(0, 1) @ features.flatten(1) for pixel, features in zip(of_image, mask_features, strict=True)
        ]
        logits = torch.cat(drawn).unflatten(0, chosen.shape[:2]).unflatten(-1, mask_features.shape[-2:])
        xy = self.places.losses(logits.flatten(0, 1)).unflatten(0, chosen.shape[:2])
        together = max(1, AT_ONCE // len(layers))
        pieces = (x.split(together) for x in (logits, xy, rows, columns))
        parts = [_mask_losses(*part, targets.masks[row, column]) for *part, row, column in zip(*pieces, strict=True)]
        cross_entropy, overlap = (torch.cat(part).mean(0) for part in zip(*parts, strict=True))
        return list(zip(cross_entropy.unbind(), overlap.unbind(), strict=True))


def _mask_losses(
    logits: Float[Tensor, "t layers h w"], xy: Float[Tensor, "t layers p 2"], masks: Bool[Tensor, "t H W"]
) -> tuple[Float[Tensor, "t layers"], Float[Tensor, "t layers"]]:
    """Both losses of each layer's drawings of each target, whose mask is looked up for all layers at once."""
    at_points = sample_maps(logits.flatten(0, 1)[:, None], xy.flatten(0, 1)).view(xy.shape[:-1])
    wanted = sample_maps(masks[:, None].float(), xy.flatten(1, 2)).view_as(at_points)
    return binary_cross_entropy(at_points, wanted), dice(at_points, wanted)


def _counted(name: str, targets: MaskTargets) -> Bool[Tensor, "b t"]:
    """Which targets a task's losses average over: strokes and entities that lie outside a crop teach nothing."""
    if name in ("spatial", "interleave"):
        return targets.valid & targets.masks.flatten(2).any(-1)
    return targets.valid


def shared_choice(
    scores: Float[Tensor, "b n t"],
    assigned: Int[Tensor, "b t"],
    valid: Bool[Tensor, "b t"],
    text_number: Int[Tensor, "b t"],
    is_free_text: Bool[Tensor, " b"],
) -> Float[Tensor, ""]:
    """Cross entropy of each text's proposal, where equal texts share the proposals of all of them.

    Mean over the texts of an image, weighted by their kind, then over images.
    """
    own = F.one_hot(assigned, scores.shape[1]).to(scores.dtype)
    same = (text_number[:, :, None] == text_number[:, None]) & valid[:, None] & valid[..., None]
    wanted = same.to(scores.dtype) @ own / same.sum(-1, keepdim=True).clamp(min=1)
    losses = -(wanted * scores.log_softmax(dim=1).mT).sum(-1)
    of_image = (losses * valid).sum(1) / valid.sum(1).clamp(min=1)
    return (torch.where(is_free_text, FREE_TEXT, CLASS_NAMES) * of_image).mean()


def fine_retrieval(interface: Interface, objects: Float[Tensor, "b n d"], words: Tokens) -> Float[Tensor, ""]:
    """Captions' words against images' objects, both ways: 0.7 of images choosing words, 0.3 of words choosing images.

    A word weighs as much as its place in the caption, counted from 1; images normalise these weights, words do not.
    """
    scale = interface.logit_scale.exp().clamp(max=100)
    real = ~words.padding
    owner, place = real.nonzero(as_tuple=True)
    word = F.normalize(words.values[real], dim=-1)
    weight = word.new_zeros(len(objects), len(word))
    rank = real.long().cumsum(dim=1)[owner, place].to(word.dtype)
    weight[owner, torch.arange(len(word), device=word.device)] = rank
    weight = weight / weight.sum(dim=1, keepdim=True)
    similarity = scale * F.normalize(objects, dim=-1).mean(dim=1) @ word.mT
    images = -(weight * similarity.log_softmax(dim=1)).sum(dim=1).mean()
    texts = -(weight * similarity.log_softmax(dim=0)).sum(dim=0).mean()
    return 0.7 * images + 0.3 * texts


def _all_pairs(interface: Interface, image: Float[Tensor, "b 1 d"], text: Float[Tensor, "b 1 d"]) -> Tensor:
    return interface.similarity(image.transpose(0, 1), text.transpose(0, 1))[0]
