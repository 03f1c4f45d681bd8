"""What FIND returns: embeddings of images and queries, and masks at the images' own sizes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from find.errors import InputError
from find.images.canvas import ImageGeometry
from find.query.entity import Entity
from find.tasks.connections import Connections
from find.tasks.mask_boxes import boxes_of_logits


@dataclass(frozen=True, repr=False)
class ImageEmbeddings:
    """Images in the shared space, independent of any query. Vectors have unit length."""

    image: Float[Tensor, "b d"]
    objects: Float[Tensor, "b n d"]
    scores: Float[Tensor, "b n"]  # confidence of a proposal's mask: its mean probability inside the mask, 0..1
    masks: tuple[Float[Tensor, "n _ _"], ...] | None  # logits on each image's canvas, at the stride of the mask
    # features; None if not requested
    frames: tuple[ImageGeometry, ...]

    @cached_property
    def boxes(self) -> Float[Tensor, "b n 4"]:
        """Boxes of the objects: x0, y0, x1, y1 in 0..1 of their image; zeros for an empty mask."""
        shown = zip(self.kept_masks(), self.frames, strict=True)
        rows = [boxes_of_logits(masks, torch.tensor(frame.extent, device=masks.device)) for masks, frame in shown]
        return torch.stack(rows)

    def __repr__(self) -> str:
        return f"ImageEmbeddings(image {list(self.image.shape)}, objects {list(self.objects.shape)})"

    def object_masks(self, number: int) -> Bool[Tensor, "n H W"]:
        """The masks of an image's object proposals at the image's own size."""
        return self.frames[number].inside(self.kept_masks()[number])

    def kept_masks(self) -> tuple[Float[Tensor, "n _ _"], ...]:
        """`masks`; raises InputError if they were not requested."""
        if self.masks is None:
            raise InputError(
                "these images were embedded without their masks; embed_images(images, masks=True) keeps them"
            )
        return self.masks

    def to(self, device: torch.device | str) -> "ImageEmbeddings":
        """The same embeddings on another device."""
        return ImageEmbeddings(
            self.image.to(device),
            self.objects.to(device),
            self.scores.to(device),
            None if self.masks is None else tuple(mask.to(device) for mask in self.masks),
            self.frames,
        )


@dataclass(frozen=True, repr=False)
class QueryEmbeddings:
    """Interleaved queries in the shared space. Vectors have unit length."""

    query: Float[Tensor, "q d"]
    entities: Float[Tensor, "q e d"]
    padding: Bool[Tensor, "q e"]  # True = the query has fewer entities
    unknown_words: tuple[tuple[str, ...], ...]  # of each query: words that the language encoder has never seen
    connections: Connections | None = None  # what the words between entities say, of models that compare them

    def __repr__(self) -> str:
        return f"QueryEmbeddings(query {list(self.query.shape)}, entities {list(self.entities.shape)})"


@dataclass(frozen=True, repr=False)
class EntityMask:
    """A mask, and the probability with which its proposal was chosen among all (0..1).

    Attributes:
        entity: the phrase or region that was queried; None for a stroke that is not a `Region`.
        present: the probability (0..1) that the entity is in the image at all; None for models without a match head,
            and for strokes.
    """

    mask: Bool[np.ndarray, "H W"]
    score: float
    entity: Entity | None = field(default=None, compare=False)
    present: float | None = None

    @cached_property
    def box(self) -> tuple[int, int, int, int] | None:
        """The smallest box (x0, y0, x1, y1) around the mask, x1 and y1 just outside; None for an empty mask."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        if not rows.size:
            return None
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    def __repr__(self) -> str:
        height, width = self.mask.shape
        name = "" if self.entity is None else f"{self.entity}, "
        there = "" if self.present is None else f", present {self.present:.3f}"
        return f"EntityMask({name}{int(self.mask.sum())} of {width}x{height} pixels, score {self.score:.3f}{there})"


@dataclass(frozen=True)
class PredictedSegment:
    """A segment of a panoptic map: its id there, the index and name of its class, its class probability."""

    id: int
    label: int
    score: float
    name: str = field(default="", compare=False)


@dataclass(frozen=True)
class PanopticPrediction:
    """Every pixel's segment id (0: none), and the segments."""

    segment_map: Int[np.ndarray, "H W"] = field(repr=False)
    segments: tuple[PredictedSegment, ...]

    def named(self, names: Sequence[str]) -> "PanopticPrediction":
        """The same, each segment with the name of its class."""
        segments = tuple(replace(segment, name=names[segment.label]) for segment in self.segments)
        return PanopticPrediction(self.segment_map, segments)


@dataclass(frozen=True)
class InstancePrediction:
    """Scored masks of things, best first; labels index the class names, `names` are those of the instances."""

    masks: Bool[np.ndarray, "i H W"] = field(repr=False)
    labels: Int[np.ndarray, " i"]
    scores: Float[np.ndarray, " i"]
    names: tuple[str, ...] = field(default=(), compare=False)

    def __len__(self) -> int:
        return len(self.scores)

    def named(self, names: Sequence[str]) -> "InstancePrediction":
        """The same with the name of each instance's class."""
        return replace(self, names=tuple(names[label] for label in self.labels))

    def best(self, min_score: float = 0.0, limit: int | None = None) -> "InstancePrediction":
        """Those whose score is at least `min_score`, at most `limit` of them."""
        if not 0 <= min_score <= 1:
            raise InputError(f"min_score is {min_score:g}; scores are between 0 and 1")
        if limit is not None and limit < 1:
            raise InputError(f"limit is {limit}; give the most instances of an image, at least 1, or None")
        count = int((self.scores >= min_score).sum())  # best first
        count = count if limit is None else min(count, limit)
        return InstancePrediction(self.masks[:count], self.labels[:count], self.scores[:count], self.names[:count])


def with_entities(
    found: Sequence[Sequence[EntityMask]], entities: Sequence[Sequence[Entity | None]]
) -> list[list[EntityMask]]:
    """The masks of each image, each with its entity."""
    pairs = zip(found, entities, strict=True)
    return [[replace(mask, entity=e) for mask, e in zip(*row, strict=True)] for row in pairs]
