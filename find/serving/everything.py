"""Requests for all instances of an object, and for all segments of a picture, and their responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from find.model.class_sets import ClassSet, classes_for
from find.model.find_all import find_all_as
from find.model.predictions import EntityMask, PanopticPrediction
from find.query.entity import Phrase
from find.query.operators import JoinedQuery
from find.query.query import Query
from find.serving import messages
from find.serving.limits import Limits, Refusal, check_count
from find.visualization.results import encode_mask, mask_box, shown
from find.visualization.uncertainty import UnknownWords

if TYPE_CHECKING:
    from find.model.model import FIND

Pixels = UInt8[np.ndarray, "h w 3"]
DEFAULT = "coco-panoptic"


@dataclass(frozen=True)
class Sought:
    """A picture, and the query whose instances are searched in it."""

    picture: Pixels
    query: JoinedQuery
    threshold: float


@dataclass(frozen=True)
class ToDivide:
    """A picture to segment into classes."""

    picture: Pixels
    classes: ClassSet


@dataclass(frozen=True)
class Found:
    """An instance whose mask is a code: all instances of a large picture, as bitmaps, would fill the memory."""

    score: float
    box: tuple[int, int, int, int] | None
    code: dict[str, object]

    @classmethod
    def of(cls, one: EntityMask) -> Found:
        return cls(one.score, one.box, encode_mask(one.mask))


def find_each(model: FIND, items: Sequence[Sought], queries: Sequence[JoinedQuery]) -> list[list[Found]]:
    """The instances of each item's query; `queries` are theirs with entities."""
    least = min(item.threshold for item in items)  # a lower threshold finds the same likelier instances
    pictures = [item.picture for item in items]
    found = find_all_as(model, pictures, list(queries), Found.of, threshold=least, batch_size=16)
    return [[one for one in row if one.score >= item.threshold] for row, item in zip(found, items, strict=True)]


def divide_each(model: FIND, items: Sequence[ToDivide]) -> list[PanopticPrediction]:
    """One call of the model for all items of the same classes."""
    answers: dict[int, PanopticPrediction] = {}
    for classes in dict.fromkeys(item.classes for item in items):
        numbers = [number for number, item in enumerate(items) if item.classes == classes]
        found = model.panoptic([items[number].picture for number in numbers], classes)
        answers |= zip(numbers, found, strict=True)
    return [answers[number] for number in range(len(items))]


def read_classes(model: FIND, request: messages.PanopticRequest, limits: Limits) -> ClassSet:
    """The classes of a request, or the model's own.

    Raises Refusal for class names that are empty or repeated, too many or too long.
    """
    if request.classes is None:
        return classes_for(model, None, request.is_thing, DEFAULT)
    names = [" ".join(name.split()) for name in request.classes]
    check_count("characters of class names", sum(map(len, names)), limits.characters)
    for number, name in enumerate(names):
        if not name:
            raise Refusal(422, f"classes[{number}] is empty; give each class a name, such as: dog")
        if name in names[:number]:
            raise Refusal(422, f"classes[{number}] repeats {name[:80]!r}; give each class once")
    return ClassSet.of(names, request.is_thing)


def instances_answer(
    picture: Pixels, query: JoinedQuery, read_as: list[str], found: Sequence[Found], unknown: list[str]
) -> messages.FindAllAnswer:
    height, width = picture.shape[:2]
    return messages.FindAllAnswer(
        read_as=read_as,
        width=width,
        height=height,
        unknown_words=unknown,
        instances=[
            messages.Instance(
                text=query.include[0].entity_names[0],
                score=shown(one.score),
                box=list(one.box or (0, 0, 0, 0)),
                segmentation=messages.Mask(**one.code),
            )
            for one in found
        ],
    )


def segments_answer(model: FIND, classes: ClassSet, found: PanopticPrediction) -> messages.PanopticAnswer:
    height, width = found.segment_map.shape
    segments = []
    for segment in found.segments:
        mask = found.segment_map == segment.id
        if (box := mask_box(mask)) is not None:
            segments.append(
                messages.Segment(
                    text=segment.name,
                    is_thing=classes.is_thing[segment.label],
                    score=shown(segment.score),
                    box=list(box),
                    segmentation=messages.Mask(**encode_mask(mask)),
                )
            )
    asked = Query(*[part for name in classes.names for part in (Phrase(name), " ")])
    return messages.PanopticAnswer(
        width=width,
        height=height,
        classes=list(classes.names),
        unknown_words=list(UnknownWords.read(model.language, asked).query),
        segments=segments,
    )
