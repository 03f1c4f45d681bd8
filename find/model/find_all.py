"""Match probabilities of a model's objects: is a thing there at all, and all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from pycocotools import mask as rle
from torch import Tensor

from find.errors import InputError, check_counts
from find.images.canvas import ImageGeometry
from find.images.images import ImageLike
from find.interface import Group, Interface, object_numbers
from find.model.features import EncodedBatch, ImageFeatures
from find.model.predictions import EntityMask
from find.model.validation import check_one_thing
from find.query.entity import Entity, Phrase
from find.query.operators import JoinedQuery
from find.query.query import Query
from find.tasks import generic
from find.tasks.mask_boxes import boxes_of_logits
from find.utils.memory import halving
from find.utils.transfer import to_host_together, upload

if TYPE_CHECKING:
    from find.model.inference import Inference

T = TypeVar("T")

SAME = 0.5
"""Two masks that share so much of the smaller one show one thing, or a part of it: the likelier one is kept."""

DRAWN_AT_ONCE = 2**26
"""Bytes of masks of an image at its own size; those that are not kept are dropped before the next ones are drawn."""


def match_logits(
    interface: Interface, batch: EncodedBatch, entities: Float[Tensor, "b e d"], frames: Sequence[ImageGeometry]
) -> Float[Tensor, "b e n"]:
    """Of each entity with each object proposal of its image. The interface has a match head.

    Args:
        entities: unit vectors, or means of several.
        frames: of the batch's images.
    """
    objects = F.normalize(batch.proposals(interface).semantic[Group.OBJECT].float(), dim=-1)
    masks = batch.masks(interface)
    extent = upload(torch.tensor([frame.extent for frame in frames]), masks.device)
    numbers = object_numbers(boxes_of_logits(masks, extent).float(), generic.mask_confidence(masks).float())
    head = interface.match_head
    assert head is not None
    return head(entities.float(), objects, numbers)


def presence(
    interface: Interface, batch: EncodedBatch, entities: Float[Tensor, "b e d"], frames: Sequence[ImageGeometry]
) -> Float[Tensor, "b e"] | None:
    """The probability that each entity is in its image at all; None for a model without a match head."""
    if interface.match_head is None:
        return None
    logits = match_logits(interface, batch, F.normalize(entities.float(), dim=-1), frames)
    return interface.match_head.presence(logits.amax(dim=-1)).sigmoid()


def texts_present(
    model: Inference, batch: EncodedBatch, texts: Sequence[Sequence[str]], frames: Sequence[ImageGeometry]
) -> Float[Tensor, "b t"] | None:
    """The probability that what each text describes is in its image; None without a match head."""
    distinct = list(dict.fromkeys(text for row in texts for text in row if text.strip()))
    if model.interface.match_head is None or not distinct:
        return None
    entities = model.embed_queries([Query(Phrase(text)) for text in distinct]).entities[:, 0]
    number = {text: k for k, text in enumerate(distinct)}
    most = max(map(len, texts))
    rows = [[number.get(text, 0) for text in row] + [0] * (most - len(row)) for row in texts]
    return presence(model.interface, batch, entities[upload(torch.tensor(rows), model.device)], frames)


@dataclass(frozen=True)
class Sought:
    """Embedded targets of `find_all`: the mean of positive examples, and the negative examples.

    Args:
        like: of each query, the mean of its examples' unit vectors.
        unlike: of each query, a unit vector for each thing that is not meant.
    """

    like: Float[Tensor, "q d"]
    unlike: Float[Tensor, "q u d"]
    padding: Bool[Tensor, "q u"]

    @classmethod
    def embed(cls, model: Inference, queries: Sequence[JoinedQuery]) -> Sought:
        for query in queries:
            check_one_thing(query, "find_all takes", "or several joined by & (like these) and - (not like that)")
        asked = [one for query in queries for one in query.queries]
        vectors = model.embed_queries(asked).entities[:, 0].float()
        like, unlike, start = [], [], 0
        for query in queries:
            middle, end = start + len(query.include), start + len(query.queries)
            like.append(vectors[start:middle].mean(dim=0))
            unlike.append(vectors[middle:end])
            start = end
        most = max(1, max(map(len, unlike)))
        padding = torch.arange(most) >= torch.tensor([len(row) for row in unlike])[:, None]
        rows = [F.pad(row, (0, 0, 0, most - len(row))) for row in unlike]
        return cls(torch.stack(like), torch.stack(rows), upload(padding, vectors.device))

    def rows(self, numbers: Sequence[int]) -> Sought:
        return Sought(self.like[numbers], self.unlike[numbers], self.padding[numbers])

    def probabilities(
        self, interface: Interface, batch: EncodedBatch, frames: Sequence[ImageGeometry]
    ) -> Float[Tensor, "b n"]:
        """The probability that each object matches the positive examples and no negative one."""
        entities = torch.cat([self.like[:, None], self.unlike], dim=1)
        found = match_logits(interface, batch, entities, frames).sigmoid()
        unlike = found[:, 1:].masked_fill(self.padding[..., None], 0).amax(dim=1)
        return found[:, 0] * (1 - unlike)


def find_all(
    model: Inference,
    images: Sequence[ImageLike] | ImageFeatures,
    queries: Sequence[JoinedQuery],
    *,
    threshold: float,
    batch_size: int,
) -> list[list[EntityMask]]:
    """All instances of query k in image k, the most likely first; `score` and `present` are its match probability."""
    return find_all_as(model, images, queries, with_own_mask, threshold=threshold, batch_size=batch_size)


@halving
@torch.inference_mode()
def find_all_as(
    model: Inference,
    images: Sequence[ImageLike] | ImageFeatures,
    queries: Sequence[JoinedQuery],
    keep: Callable[[EntityMask], T],
    *,
    threshold: float,
    batch_size: int,
) -> list[list[T]]:
    """`keep` of each instance that `find_all` returns; the instance's mask is not held in memory afterwards."""
    if model.interface.match_head is None:
        raise InputError(
            "this model has no match head, so it cannot tell whether something is present; train one with "
            "scripts/train_match.py, or set match_width in the config of a new training run"
        )
    check_threshold(threshold)
    frames, encoded = model._encoded(images, batch_size)
    check_counts(len(frames), len(queries), "query", "queries")
    if not queries:
        return []
    sought = Sought.embed(model, queries)
    entities = [query.include[0].entities[0] for query in queries]
    return instances_of(model.interface, frames, encoded, sought, entities, threshold, keep)


def check_threshold(threshold: float) -> None:
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold:g}; it is a probability, between 0 and 1")


def instances_of(
    interface: Interface,
    frames: Sequence[ImageGeometry],
    encoded: Iterable[tuple[list[int], EncodedBatch]],
    sought: Sought,
    entities: Sequence[Entity],
    threshold: float,
    keep: Callable[[EntityMask], T],
) -> list[list[T]]:
    """`keep` of all instances of row k of `sought` in image k, as `find_all` returns them.

    Args:
        encoded: batches of the images, each with their numbers.
        entities: the `entity` of the instances of each image.
    """
    answers: list[list[T]] = [[] for _ in frames]
    for numbers, batch in encoded:
        own = [frames[number] for number in numbers]
        found = sought.rows(numbers).probabilities(interface, batch, own)
        distinct = {number: _Distinct() for number in numbers}
        places: list[int] = []
        drawn = _drawn(batch.masks(interface), found, own, threshold, numbers, places)
        for k, (masks, chances) in enumerate(to_host_together(drawn)):
            number = places[k]
            for mask, chance in zip(masks.numpy(), chances.tolist(), strict=True):
                if distinct[number].add(mask):
                    answers[number].append(keep(EntityMask(mask, chance, entities[number], chance)))
    return answers


def with_own_mask(found: EntityMask) -> EntityMask:
    """Copies the mask, so that it does not keep the others of its batch in memory."""
    return replace(found, mask=found.mask.copy())


def _drawn(
    masks: Float[Tensor, "b n h w"],
    found: Float[Tensor, "b n"],
    frames: Sequence[ImageGeometry],
    threshold: float,
    numbers: Sequence[int],
    places: list[int],
) -> Iterator[list[Tensor]]:
    """For each image, masks at its own size of objects above the threshold, the most likely first, and probabilities.

    Those of a large image come in several parts; the number of each part's image is added to `places`.
    """
    for logits, chances, frame, number in zip(masks, found, frames, numbers, strict=True):
        order = chances.sort(descending=True)
        kept = order.indices[order.values >= threshold]
        for some in kept.split(max(1, DRAWN_AT_ONCE // (frame.height * frame.width))):
            places.append(number)
            yield [frame.inside(logits[some]), chances[some]]


class _Distinct:
    """Filters empty masks of an image, and those that share more than SAME of the smaller mask with an earlier one."""

    def __init__(self) -> None:
        self._codes: list[dict[str, object]] = []

    def add(self, mask: Bool[np.ndarray, "H W"]) -> bool:
        """Whether the mask is new and not empty."""
        if not mask.any():
            return False
        code = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
        if self._codes:  # of a crowd COCO takes the intersection over the other one's area
            of_this = rle.iou([code], self._codes, [1] * len(self._codes))
            of_earlier = rle.iou(self._codes, [code], [1])
            if max(of_this.max(), of_earlier.max()) >= SAME:
                return False
        self._codes.append(code)
        return True
