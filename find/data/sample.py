"""The content of a data set as frozen records: categories, segments, sentences with spans, annotated images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

CATEGORY_SUFFIXES = ("-merged", "-other", "-stuff")


@dataclass(frozen=True)
class Category:
    """A class of segments. `index` is contiguous, 0 to K-1, in the order of the panoptic JSON's categories."""

    id: int
    name: str
    is_thing: bool
    color: tuple[int, int, int]
    index: int

    @property
    def words(self) -> str:
        """The plain name, for texts."""
        return plain_name(self.name)


def plain_name(name: str) -> str:
    """A class's plain name: "sky-other-merged" becomes "sky"."""
    while name.endswith(CATEGORY_SUFFIXES):
        name = name.rpartition("-")[0]
    return name.replace("-", " ").replace("_", " ")


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment. `id` is its colour in the PNG (R + 256 G + 65536 B); `bbox` is x, y, width, height in pixels."""

    id: int
    category_id: int
    area: int
    bbox: tuple[int, int, int, int]
    is_crowd: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """A segment, usually of another image, that shows an instance of a phrase's category."""

    image_id: int
    segment_id: int


@dataclass(frozen=True, slots=True)
class PhraseSpan:
    """The words `text` at characters [start, end) of a sentence, their segments, and their reference."""

    text: str
    start: int
    end: int
    segment_ids: tuple[int, ...]
    reference: Reference | None = None


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence about an image; its phrases are sorted by start and do not overlap."""

    id: int
    image_id: int
    text: str
    phrases: tuple[PhraseSpan, ...]


@dataclass(frozen=True, slots=True)
class Foil:
    """A false variant of a sentence; `origin[k]` is the phrase of the true one that phrase k comes from."""

    false: Sentence
    origin: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """A referring expression: words that refer to exactly one segment of the image."""

    id: int
    image_id: int
    text: str
    segment_id: int
    held_out: bool = False


@dataclass(frozen=True)
class Sample:
    """One image with all its annotations.

    `image` is uint8 RGB [H, W, 3]; `segment_map` is int32 [H, W] and holds segment ids, 0 = void. `foils` are labelled
    false relatives of the sentences, by the true one's id.
    """

    image_id: int
    file_name: str
    image: np.ndarray
    segment_map: np.ndarray
    segments: tuple[Segment, ...] = ()
    captions: tuple[str, ...] = ()
    sentences: tuple[Sentence, ...] = field(default=())
    expressions: tuple[Expression, ...] = field(default=())
    foils: Mapping[int, tuple[Foil, ...]] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]
