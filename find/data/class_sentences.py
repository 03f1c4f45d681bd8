"""Template sentences for images without captions: classes and spatial relations of the segments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from find.data.plurals import NUMBERS, article, plural
from find.data.sample import Category, PhraseSpan, Reference, Segment, Sentence

MOST_THINGS, MOST_STUFF = 4, 2
CLEARLY_APART = 0.05
"""Minimum distance of two centres, relative to the picture, for left, right, above or below."""


@dataclass(frozen=True)
class Group:
    """All segments of one class in an image."""

    words: str
    segments: tuple[Segment, ...]

    @property
    def area(self) -> int:
        return sum(segment.area for segment in self.segments)

    @property
    def centre(self) -> tuple[float, float]:
        x, y, width, height = self.segments[0].bbox
        return x + width / 2, y + height / 2


def sentences_of_classes(
    segments: Mapping[int, Sequence[Segment]], categories: Sequence[Category], sizes: Mapping[int, tuple[int, int]]
) -> list[Sentence]:
    """A sentence for each image with classes to name, for data without texts; its id is the image's.

    A phrase's reference is the largest segment of its class in the next image that has one, wrapping around at the end.

    Args:
        segments: of each image, by its id, in the order of the data.
        sizes: height and width of each image.
    """
    shown: dict[int, list[tuple[int, int]]] = defaultdict(list)  # class -> images that have it, and its largest segment
    place: dict[tuple[int, int], int] = {}
    for image_id, own in segments.items():
        for category in dict.fromkeys(segment.category_id for segment in own):
            largest = max((one for one in own if one.category_id == category), key=lambda one: one.area)
            place[category, image_id] = len(shown[category])
            shown[category].append((image_id, largest.id))
    found = []
    for image_id, own in segments.items():
        description = describe(own, categories, sizes[image_id])
        if description is None:
            continue
        class_of = {segment.id: segment.category_id for segment in own}
        linked = []
        for phrase in description[1]:
            category = class_of[phrase.segment_ids[0]]
            others = shown[category]
            following = others[(place[category, image_id] + 1) % len(others)]
            linked.append(replace(phrase, reference=Reference(*following) if len(others) > 1 else None))
        found.append(Sentence(image_id, image_id, description[0], tuple(linked)))
    return found


def describe(
    segments: Sequence[Segment], categories: Sequence[Category], size: tuple[int, int]
) -> tuple[str, tuple[PhraseSpan, ...]] | None:
    """A sentence and its phrases; None for an image without classes to name.

    It names up to four thing classes and two stuff classes, the largest first, each once and with all its segments:
    "two cars" are all cars. Classes with a crowd, or with more things than there are number words, are skipped.
    """
    groups: dict[int, list[Segment]] = defaultdict(list)
    index_of = {category.id: category.index for category in categories}
    for segment in segments:
        groups[index_of[segment.category_id]].append(segment)
    numerals = {number: word for word, number in NUMBERS.items()}
    things, stuff = [], []
    for index, own in groups.items():
        category = categories[index]
        name = category.words.lower()
        if any(segment.is_crowd for segment in own) or (category.is_thing and len(own) > max(numerals)):
            continue
        if not category.is_thing:
            stuff.append(Group(f"the {name}", tuple(own)))
        elif len(own) == 1:
            things.append(Group(article(name), tuple(own)))
        else:
            things.append(Group(f"{numerals[len(own)]} {plural(name)}", tuple(own)))
    things = sorted(things, key=lambda group: (-group.area, group.words))[:MOST_THINGS]
    stuff = sorted(stuff, key=lambda group: (-group.area, group.words))[:MOST_STUFF]
    parts: list[str | Group] = []
    for start in range(0, len(things), 2):
        pair = things[start : start + 2]
        parts += [", and "] if start else []
        parts += [pair[0]] if len(pair) == 1 else [pair[0], f" {_relation(*pair, size)} ", pair[1]]
    for number, group in enumerate(stuff):
        parts += [" and " if number else " with ", group] if parts else [group]
    return _said(parts) if parts else None


def _said(parts: Sequence[str | Group]) -> tuple[str, tuple[PhraseSpan, ...]]:
    """The parts as a sentence, with the place of each group."""
    text = ""
    places = []
    for part in parts:
        start = len(text)
        text += part if isinstance(part, str) else part.words
        if isinstance(part, Group):
            places.append((start, len(text), tuple(segment.id for segment in part.segments)))
    text = text[0].upper() + text[1:] + "."
    return text, tuple(PhraseSpan(text[start:end], start, end, ids) for start, end, ids in places)


def _relation(first: Group, second: Group, size: tuple[int, int]) -> str:
    """The position of the first relative to the second, as the viewer sees it."""
    if len(first.segments) > 1 or len(second.segments) > 1:
        return "near"
    height, width = size
    across = (first.centre[0] - second.centre[0]) / width
    down = (first.centre[1] - second.centre[1]) / height
    if max(abs(across), abs(down)) < CLEARLY_APART:
        return "next to"
    if abs(across) >= abs(down):
        return "left of" if across < 0 else "right of"
    return "above" if down < 0 else "below"
