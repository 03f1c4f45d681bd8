"""Schemas of annotation files: fields, types and limits (see `find.data.records`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from find.data.records import VISIBLE, Record, brief
from find.images.images import LARGEST_IMAGE

Id = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Side = Annotated[int, Meta(ge=1, le=LARGEST_IMAGE)]
Flag = bool | Annotated[int, Meta(ge=0, le=1)]
Length = Annotated[float, Meta(ge=-2e9, le=2e9)]
Area = Annotated[float, Meta(ge=-1e15, le=1e15)]
Number = Id | str
"""An id as FIND-Bench writes it: a whole number, or a string of digits."""

Digits = Annotated[str, Meta(pattern=r"^-?[0-9]{1,18}$")]
Words = Annotated[str, Meta(pattern=VISIBLE)]


class ImageRecord(Record, gc=False):
    unchecked: ClassVar[tuple[str, ...]] = ("file_name",)

    id: Id
    file_name: str
    height: Side
    width: Side

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"image {_id(raw, number)}"


class SegmentRecord(Record, gc=False):
    fix: ClassVar[str] = "Correct segments_info"

    id: Id
    category_id: Id
    area: Area
    bbox: tuple[Length, Length, Length, Length]
    iscrowd: Flag = 0

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"segment {_id(raw, number)}"


class PanopticRecord(Record):
    unchecked: ClassVar[tuple[str, ...]] = ("file_name",)
    parts: ClassVar[str] = "segments_info"

    image_id: Id
    file_name: str
    segments_info: list[SegmentRecord]

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"image {_id(raw, number, 'image_id')}"


class CategoryRecord(Record):
    id: Id
    name: Words
    isthing: Flag = 1
    color: Any = None
    """Used for drawing only: three numbers or "#rrggbb"; anything else is replaced."""

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"category {_id(raw, number)}"


class PanopticDocument(msgspec.Struct):
    images: list[ImageRecord]
    annotations: list[PanopticRecord]
    categories: list[CategoryRecord]


class CaptionRecord(Record, gc=False):
    fix: ClassVar[str] = "Write it as text, or take it out"
    stops: ClassVar[bool] = False

    image_id: Id
    caption: str
    id: Any = None

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"caption {_id(raw, number)} of image {_id(raw, None, 'image_id')}"


class CaptionDocument(msgspec.Struct):
    annotations: list[CaptionRecord]


class InstanceRecord(Record):
    unchecked: ClassVar[tuple[str, ...]] = ("id", "area")

    image_id: Id
    category_id: Id
    id: Any = None
    segmentation: Any = None
    """Polygons or a run-length code, validated by `find.data.instances`."""
    area: Any = None
    iscrowd: Flag = 0

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"instance {_id(raw, number)} of image {_id(raw, None, 'image_id')}"


class InstanceDocument(msgspec.Struct):
    images: list[ImageRecord]
    annotations: list[InstanceRecord]
    categories: list[CategoryRecord]


class ReferenceRecord(Record):
    image_id: Number | None = None
    annotation_id: Number | None = None


class PhraseRecord(Record):
    phrase: str
    annotation_id: Number | list[Number]
    end_idx: Id
    start_idx: Id | None = None
    other_start: Id | None = msgspec.field(name="_start_idx", default=None)
    reference: ReferenceRecord | None = None

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"phrase {number + 1}"


class SentenceRecord(Record):
    parts: ClassVar[str] = "phrase"

    image_id: Id
    sentence: str
    phrase: list[PhraseRecord]
    id: Id | None = None

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"sentence {_id(raw, number)} of image {_id(raw, None, 'image_id')}"


class SentenceDocument(msgspec.Struct):
    annotations: list[SentenceRecord]


class ExpressionRecord(Record):
    fix: ClassVar[str] = "Write it again, or take it out"
    stops: ClassVar[bool] = False

    image_id: Id
    segment_id: Id
    sentence: str
    id: Id | None = None
    held_out: Flag = False

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"expression {_id(raw, number)} of image {_id(raw, None, 'image_id')}"


class ExpressionDocument(msgspec.Struct):
    annotations: list[ExpressionRecord]


class ChangeRecord(msgspec.Struct):
    what: str
    form: str = ""


class FalseSentenceRecord(Record):
    """Additional fields of each false sentence."""

    id: Id
    sentence_id: Id
    changed: ChangeRecord

    @classmethod
    def item(cls, raw: Mapping[str, Any], number: int) -> str:
        return f"sentence {_id(raw, number)}"


class FalseSentenceDocument(msgspec.Struct):
    annotations: list[FalseSentenceRecord]


class HeldOutDocument(msgspec.Struct):
    segments: dict[str, dict[Digits, list[Id | Digits]]]
    """Ids of segments, by split and image id."""


class KarpathyImage(msgspec.Struct):
    cocoid: Id | Digits
    split: str


class KarpathyDocument(msgspec.Struct):
    images: list[KarpathyImage]


ImageIds = list[Id | Digits] | KarpathyDocument

Synonyms = dict[str, list[Words]]
"""Class name -> nouns."""


def _id(raw: Mapping[str, Any], number: int | None, field: str = "id") -> str:
    """The id in the file, otherwise the index in the list."""
    value = raw.get(field)
    if isinstance(value, str) and len(value) <= 40:
        return value
    return brief(value) if value is not None or number is None else f"number {number}"
