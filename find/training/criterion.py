"""All tasks' losses on one batch: one joint forward, one Hungarian step, named and weighted parts."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from find.data.batch import Batch
from find.foundations import TextFeatures
from find.interface import Embeddings, Group, ImageMemory, Interface, Prompt
from find.model.model import FIND
from find.tasks import generic, grounding, interactive, interleaved, retrieval
from find.tasks.counter_rng import NEGATIVE_STROKES, uniform
from find.tasks.late_interaction import late_interaction
from find.tasks.losses import assignment_cross_entropy, contrastive
from find.tasks.matching import hungarian, matching_cost
from find.tasks.points import EveryPlace, MaskPoints, MaskSampling
from find.tasks.prompted import PromptedTask, SegmentationLosses, SplitTask, prompted_losses
from find.tasks.text_inputs import Phrases, Sentences, concat_text_features, read_texts
from find.training.canvases import encode_batch
from find.training.composition import Composed
from find.training.distributed import gather_entities, gather_rows, propagate_errors, shares

NEGATIVE_SHARE = 0.3
"""How often a stroke in training comes with a mark of what does not belong to its thing."""


@dataclass(frozen=True)
class SegmentationWeights:
    """Of one segmentation task: of the class or choice loss, and of the two mask losses."""

    ce: float
    bce: float
    dice: float

    def total(self, losses: SegmentationLosses, share: "RankWeight") -> Float[Tensor, ""]:
        return self.ce * share.ce * losses.ce + share.masks * (self.bce * losses.bce + self.dice * losses.dice)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the tasks.

    Args:
        panoptic, grounding, interactive, interleaved: the four segmentation tasks.
        caption: contrastive, images with captions.
        sentence: contrastive, images with interleaved sentences by the sentence term alone.
        retrieval: contrastive, images with interleaved sentences by the score that search uses.
        entity: each entity chooses its object among the proposals of its own image.
        composition: contrastive, images with interleaved sentences by structured late interaction, and each sentence
            against a false one about its image; of models with a pair term.
    """

    panoptic: SegmentationWeights = field(default_factory=lambda: SegmentationWeights(2, 5, 5))
    grounding: SegmentationWeights = field(default_factory=lambda: SegmentationWeights(2, 3, 3))
    interactive: SegmentationWeights = field(default_factory=lambda: SegmentationWeights(1, 3, 3))
    interleaved: SegmentationWeights = field(default_factory=lambda: SegmentationWeights(1, 3, 3))
    caption: float = 2.0
    sentence: float = 2.0
    retrieval: float = 4.0
    entity: float = 1.0
    composition: float = 2.0


@dataclass(frozen=True)
class PromptedTargets:
    """What one prompted task is asked and should answer, as the union of segments for each prompt."""

    task: PromptedTask | SplitTask
    masks: Float[Tensor, "b t p"]
    valid: Bool[Tensor, "b t"]


@dataclass(frozen=True)
class RankWeight:
    """Of one segmentation task: what the means of this process's batch count in the means of all of them."""

    ce: Float[Tensor, ""]
    masks: Float[Tensor, ""]


@dataclass(frozen=True)
class RankWeights:
    """Of the four segmentation tasks. Means are over targets, of which processes have different numbers."""

    panoptic: RankWeight
    grounding: RankWeight
    interactive: RankWeight
    interleaved: RankWeight

    @classmethod
    def of(cls, batch: Batch, targets: Sequence[PromptedTargets], proposals: int) -> "RankWeights":
        """Asks the other processes, in one message; all of them have to."""
        counts = [
            generic.class_weights(batch.labels, proposals),
            (batch.labels >= 0).sum(),
            *(target.valid.sum() for target in targets),
        ]
        classes, segments, *prompts = shares(torch.stack([count.float() for count in counts]))
        named = {target.task.name: RankWeight(count, count) for target, count in zip(targets, prompts, strict=True)}
        return cls(panoptic=RankWeight(classes, segments), **named)


class Criterion:
    """Computes every task's loss.

    In several processes the average of their losses, and of their gradients, is that of one process with all batches.

    Args:
        weights: of the tasks.
        sampling: the places at which masks are compared.
        deep_supervision: the segmentation losses also before every layer (Mask2Former); slower, better in long runs.
        nested_widths: the retrieval losses also with embeddings cut to their first so many numbers, so that they may be
            cut when they are searched (Matryoshka representation learning, Kusupati et al. 2022, Eq. 1).
    """

    def __init__(
        self,
        *,
        weights: LossWeights | None = None,
        sampling: MaskSampling | None = None,
        deep_supervision: bool = False,
        nested_widths: Sequence[int] = (),
    ) -> None:
        self.weights = weights or LossWeights()
        self.sampling = sampling or EveryPlace()
        self.deep_supervision = deep_supervision
        self.nested_widths = tuple(nested_widths)
        self._classes: tuple[Any, TextFeatures] | None = None  # what the class names are read as, and of what

    def __call__(self, model: FIND, batch: Batch, class_names: Sequence[str]) -> dict[str, Float[Tensor, ""]]:
        """The weighted loss of each task, by the task's name; their sum is to be minimised.

        `class_names[k]` is the name of the category with index k.
        """
        with propagate_errors(model.device):  # whatever the batch; from here on they wait for each other
            own = self._own(model, batch, class_names)
        share = RankWeights.of(own.batch, own.targets, own.final.semantic[Group.OBJECT].shape[1])
        with torch.autocast(model.device.type, enabled=False):
            losses: dict[str, Tensor] = {}
            for parts in own.segmentation:
                for name, part in parts.items():
                    weighted = getattr(self.weights, name).total(part, getattr(share, name)) / len(own.segmentation)
                    losses[name] = losses.get(name, 0) + weighted
            return losses | self._retrieval(model, own, share)

    def _own(self, model: FIND, batch: Batch, class_names: Sequence[str]) -> "LocalOutputs":
        """The forward and the matching."""
        interface = model.interface
        with torch.no_grad():
            phrases = Phrases.read(model.language, batch.phrases, model.device)
            sentences = Sentences.read(model.language, batch.queries, model.device)
            captions = read_texts(model.language, batch.captions, model.device)
            texts = concat_text_features(captions, self._read_classes(model, class_names))
        batch = self._readable(batch, sentences)
        memory = encode_batch(model, batch)
        prompts = self._prompts(model, batch, memory, phrases, sentences)
        outputs = interface(memory, prompts, deep=self.deep_supervision)
        written = retrieval.embed_texts(interface, texts.tokens, texts.padding, texts.pooled)
        captions, classes = written.split([len(batch.captions), len(class_names)])

        layers = [layer.float() for layer in (outputs.layers if self.deep_supervision else [outputs.final])]
        with torch.autocast(model.device.type, enabled=False):  # similarities and losses are worth float32
            count = batch.labels.shape[1]
            points = self.sampling(memory.mask_features.float(), batch.segments, count, batch.seeds, memory.extents)
            targets = self._targets(model, batch, points, sentences)
            parts, assigned = self._segmentation(interface, layers, batch, points, targets, classes.float())
        composed = None
        if interface.pair_term is not None:
            composed = Composed.of(model, batch, memory, layers[-1], sentences)
        return LocalOutputs(batch, targets, layers[-1], parts, assigned, sentences, captions.float(), composed)

    def _read_classes(self, model: FIND, class_names: Sequence[str]) -> TextFeatures:
        """They are the same in each step, so they are read in the first."""
        prompts = tuple(model.config.class_prompt.format(name) for name in class_names)
        source = (id(model.language), model.device, prompts)
        if self._classes is None or self._classes[0] != source:
            with torch.inference_mode(False), torch.no_grad():  # a validation may come first
                self._classes = (source, read_texts(model.language, prompts, model.device))
        return self._classes[1]

    @staticmethod
    def _readable(batch: Batch, sentences: Sentences) -> Batch:
        """Without what entities mean that the language encoder reads no word of, because their sentence is cut."""
        if not sentences.truncated_entities:
            return batch
        row, entity = sentences.truncated_entities[0]
        warnings.warn(
            "sentences are longer than the language encoder reads, and entities at their ends are left out, such as "
            f"entity {entity + 1} of {batch.queries[row].text!r}",
            stacklevel=2,
        )
        return replace(batch, entity_targets=batch.entity_targets & ~sentences.padding[..., None])

    def _prompts(
        self, model: FIND, batch: Batch, memory: ImageMemory, phrases: Phrases, sentences: Sentences
    ) -> list[Prompt]:
        interface = model.interface
        regions = interface.sampler(memory, batch.regions, batch.region_rows)
        aligned = interface.aligned_regions(memory, batch.regions, batch.region_rows)
        return [
            generic.prompt(),
            phrases.prompt(interface),
            interactive.prompt(interface, memory, batch.strokes, batch.stroke_targets < 0, negatives=_negatives(batch)),
            sentences.prompt(interface, interleaved.SEGMENTATION + interleaved.RETRIEVAL, regions, aligned),
        ]

    def _targets(self, model: FIND, batch: Batch, points: MaskPoints, sentences: Sentences) -> list[PromptedTargets]:
        drawn = F.one_hot(batch.stroke_targets.clamp(min=0), batch.labels.shape[1]).bool()
        drawn &= (batch.stroke_targets >= 0)[..., None]
        meant = (
            (grounding.TASK, batch.phrase_targets),
            (model.interactive_task, drawn),
            (model.entity_task(sentences.is_region), batch.entity_targets),
        )
        return [
            PromptedTargets(task, (segments.to(points.segments.dtype) @ points.segments).clamp(max=1), segments.any(-1))
            for task, segments in meant
        ]

    def _segmentation(
        self,
        interface: Interface,
        layers: Sequence[Embeddings],
        batch: Batch,
        points: MaskPoints,
        targets: Sequence[PromptedTargets],
        classes: Float[Tensor, "k d"],
    ) -> tuple[list[dict[str, SegmentationLosses]], Int[Tensor, "b s"]]:
        """The four segmentation losses of each layer, and the last layer's object of each segment."""
        present = batch.labels >= 0
        costs, valid, rows = [], [], []
        for layer in layers:
            logits = generic.class_logits(interface, layer.semantic[Group.OBJECT], classes)
            objects = layer.pixel[Group.OBJECT]
            with torch.no_grad():
                cost = generic.class_cost(logits, batch.labels)
                costs.append(matching_cost(cost, objects, points.features, points.segments, points.blank))
            valid.append(present)
            prompted = []
            for target in targets:
                scores = target.task.scores(interface, layer)
                proposals = layer.pixel[target.task.proposals]
                with torch.no_grad():
                    cost = -scores.softmax(dim=1)
                    costs.append(matching_cost(cost, proposals, points.features, target.masks, points.blank))
                valid.append(target.valid)
                prompted.append((scores, proposals))
            rows.append((logits, objects, prompted))

        assignments = iter(hungarian(costs, valid))
        parts: list[dict[str, SegmentationLosses]] = []
        assigned = None
        features, blank = points.features, points.blank
        for logits, objects, prompted in rows:
            assigned = next(assignments)
            panoptic = generic.losses(logits, objects, features, points.segments, batch.labels, assigned, blank)
            part = {"panoptic": panoptic}
            for target, (scores, proposals) in zip(targets, prompted, strict=True):
                part[target.task.name] = prompted_losses(
                    scores, proposals, features, target.masks, next(assignments), target.valid, blank
                )
            parts.append(part)
        return parts, assigned

    def _retrieval(self, model: FIND, own: "LocalOutputs", share: RankWeights) -> dict[str, Tensor]:
        final, batch = own.final, own.batch
        meant = batch.entity_targets.int().argmax(dim=-1)
        searched = RetrievalInputs(
            image=final.semantic[Group.IMAGE][:, 0],
            caption=own.captions,
            sentence=final.semantic[Group.INTERLEAVED][:, 0],
            objects=final.semantic[Group.OBJECT],
            entities=final.semantic[Group.INTERLEAVED_ENTITY],
            padding=own.sentences.padding,
            own_object=own.assigned.gather(1, meant),
            means_one=batch.entity_targets.any(-1),
        )
        gathered = searched.gathered()
        scale = model.interface.logit_scale.exp().clamp(max=100)
        widths = (*self.nested_widths, own.captions.shape[-1])
        losses = [self._search_losses(searched.cut(w), gathered.cut(w), scale, share) for w in widths]
        if own.composed is not None:
            for loss, width in zip(losses, widths, strict=True):
                loss["composition"] = self.weights.composition * own.composed.loss(width, scale)
        return {name: torch.stack([loss[name] for loss in losses]).mean() for name in losses[0]}

    def _search_losses(
        self, own: "RetrievalInputs", everybody: "RetrievalInputs", scale: Float[Tensor, ""], share: RankWeights
    ) -> dict[str, Tensor]:
        """Contrasts are over the images of all processes, an entity's choice is in its own image."""
        weights, x = self.weights, everybody
        choice = assignment_cross_entropy(scale * own.objects @ own.entities.mT, own.own_object, own.means_one)
        whole = late_interaction(x.image, x.objects, x.sentence, x.entities, x.padding)
        return {
            "caption": weights.caption * contrastive(scale * x.caption @ x.image.mT),
            "sentence": weights.sentence * contrastive(scale * x.sentence @ x.image.mT),
            "retrieval": weights.retrieval * contrastive(scale * whole),
            "entity": weights.entity * share.interleaved.ce * choice,
        }


@dataclass(frozen=True)
class LocalOutputs:
    """What a process finds of its own batch, before it hears of the others'."""

    batch: Batch
    targets: Sequence[PromptedTargets]
    final: Embeddings
    segmentation: Sequence[dict[str, SegmentationLosses]]
    """Of each layer, by task."""
    assigned: Int[Tensor, "b s"]
    """The last layer's object of each segment."""
    sentences: Sentences
    captions: Float[Tensor, "b d"]
    composed: Composed | None


@dataclass(frozen=True)
class RetrievalInputs:
    """What retrieval compares: the embeddings of a batch, and which object each entity means."""

    image: Float[Tensor, "b d"]
    caption: Float[Tensor, "b d"]
    sentence: Float[Tensor, "b d"]
    objects: Float[Tensor, "b n d"]
    entities: Float[Tensor, "b e d"]
    padding: Bool[Tensor, "b e"]
    own_object: Int[Tensor, "b e"]
    means_one: Bool[Tensor, "b e"]

    def gathered(self) -> "RetrievalInputs":
        """Of all processes; `own_object` and `means_one` stay this one's."""
        names = ("image", "caption", "sentence", "objects")
        entities, padding = gather_entities(self.entities, self.padding)
        rows = {name: gather_rows(getattr(self, name)) for name in names}
        return replace(self, **rows, entities=entities, padding=padding)

    def cut(self, width: int) -> "RetrievalInputs":
        """Unit vectors of the first `width` numbers."""
        names = ("image", "caption", "sentence", "objects", "entities")
        return replace(self, **{name: F.normalize(getattr(self, name)[..., :width], dim=-1) for name in names})


def _negatives(batch: Batch) -> Bool[Tensor, "b r h w"]:
    """For some strokes, the one before, of another segment of the image, as a mark of what does not belong.

    The first one's is the image's last; how much padding follows depends on the other images.
    """
    there = batch.stroke_targets >= 0
    count = there.sum(dim=1, keepdim=True)
    place = (torch.arange(there.shape[1], device=there.device) - 1) % count.clamp(min=1)
    neighbour = batch.stroke_targets.gather(1, place)
    usable = there & (neighbour != batch.stroke_targets)
    usable &= uniform(batch.seeds, NEGATIVE_STROKES, there.shape[1]) < NEGATIVE_SHARE
    rows = torch.arange(len(batch), device=there.device)[:, None]
    return batch.strokes[rows, place] & usable[..., None, None]
