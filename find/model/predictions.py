"""What FIND answers with: embeddings of images and queries, and masks at the pictures' own sizes."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from find.errors import InputError
from find.images.canvas import ImageGeometry
from find.tasks.connections import Connections
from find.tasks.mask_boxes import boxes_of_logits


@dataclass(frozen=True, repr=False)
class ImageEmbeddings:
    """Images in the shared space, each embedded once, whatever is asked of it later. Vectors have unit length."""

    image: Float[Tensor, "b d"]
    objects: Float[Tensor, "b n d"]
    scores: Float[Tensor, "b n"]  # how sure a proposal is of its mask: mean probability inside it, 0..1
    masks: tuple[Float[Tensor, "n h w"], ...] | None  # logits on each image's canvas, at the stride of the mask
    # features; None if they were not asked for
    frames: tuple[ImageGeometry, ...]

    @cached_property
    def boxes(self) -> Float[Tensor, "b n 4"]:
        """Of the objects: x0, y0, x1, y1 in 0..1 of their image; zeros of an empty mask."""
        shown = zip(self._kept_masks(), self.frames, strict=True)
        rows = [boxes_of_logits(masks, torch.tensor(frame.extent, device=masks.device)) for masks, frame in shown]
        return torch.stack(rows)

    def __repr__(self) -> str:
        return f"ImageEmbeddings(image {list(self.image.shape)}, objects {list(self.objects.shape)})"

    def object_masks(self, number: int) -> Bool[Tensor, "n H W"]:
        """The masks of an image's object proposals at the image's own size."""
        return self.frames[number].inside(self._kept_masks()[number])

    def _kept_masks(self) -> tuple[Float[Tensor, "n h w"], ...]:
        if self.masks is None:
            raise InputError(
                "these images were embedded without their masks; embed_images(images, masks=True) keeps them"
            )
        return self.masks

    def to(self, device: torch.device | str) -> "ImageEmbeddings":
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
    """One mask, and the probability with which its proposal was chosen among all (0..1)."""

    mask: Bool[np.ndarray, "H W"]
    score: float

    def __repr__(self) -> str:
        height, width = self.mask.shape
        return f"EntityMask({int(self.mask.sum())} of {width}x{height} pixels, score {self.score:.3f})"


@dataclass(frozen=True)
class PredictedSegment:
    """A segment of a panoptic map: its id there, the index of its class name, its class probability."""

    id: int
    label: int
    score: float


@dataclass(frozen=True)
class PanopticPrediction:
    """Every pixel's segment id (0: none), and the segments."""

    segment_map: Int[np.ndarray, "H W"] = field(repr=False)
    segments: tuple[PredictedSegment, ...]


@dataclass(frozen=True)
class InstancePrediction:
    """Scored masks of things, best first; labels index the class names."""

    masks: Bool[np.ndarray, "i H W"] = field(repr=False)
    labels: Int[np.ndarray, " i"]
    scores: Float[np.ndarray, " i"]
