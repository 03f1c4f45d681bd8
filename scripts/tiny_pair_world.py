"""The synthetic world as the tiny pair's training uses it: drawn into memory, with all that is true of each region."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from find.foundations import tiny
from find.world.composition import Segment, compose
from find.world.grammar import Description
from find.world.kinds import COLOURS, STUFF, THINGS, Pattern, Size
from find.world.language import Sentence, Speaker
from find.world.relations import relations

STRIDE = 4  # of the finest map; region masks are kept as the share of each of its cells
SLOTS = 12  # most regions an image
NATIVE = 160

NOUNS = {kind.id: kind.nouns for kind in (*THINGS, *STUFF)}
ATTRIBUTES = {
    "colour": tuple(c.name for c in COLOURS),
    "pattern": tuple(p.value for p in Pattern),
    "size": tuple(s.value for s in Size),
}
FUNCTION_WORDS = {"a", "an", "the", "in"}  # "in" as in "a person in blue"
PLAIN_WORDS = {w for values in ATTRIBUTES.values() for w in values} | {
    w for nouns in NOUNS.values() for noun in nouns for w in noun.split()
}


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower())) - FUNCTION_WORDS


@dataclass(frozen=True)
class Span:
    """Words at [start, end) of a sentence, and the slot of the one region they mean."""

    start: int
    end: int
    slot: int


@dataclass(frozen=True)
class Line:
    """A caption (without spans) or a sentence about an image."""

    text: str
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class World:
    """Scenes in memory. `known[i][s]` are the words of kind, colour, size and pattern true of region s of image i."""

    images: UInt8[Tensor, "n 3 h w"]
    masks: UInt8[Tensor, "n s g g"]  # pixels of each stride-4 cell, 0..16
    categories: Int64[Tensor, "n s"]  # category id, -1 = no region
    lines: list[list[Line]]
    phrases: list[list[list[str]]]
    known: list[list[set[str]]]

    def __len__(self) -> int:
        return len(self.images)


def draw_world(*, seed: str, numbers: range) -> World:
    """Scene number n of a seed is the same in every process; held-out pairs of category and colour never appear."""
    count, grid = len(numbers), NATIVE // STRIDE
    images = torch.zeros(count, 3, NATIVE, NATIVE, dtype=torch.uint8)
    masks = torch.zeros(count, SLOTS, grid, grid, dtype=torch.uint8)
    categories = torch.full((count, SLOTS), -1)
    lines, phrases, known = [], [], []
    for row, number in enumerate(numbers):
        chance = random.Random(f"tiny pair {seed} {number}")
        scene = compose(image_side=NATIVE, held_out=False, image_id=number + 1, rng=chance)
        segments = scene.segments[:SLOTS]
        images[row] = torch.from_numpy(scene.image.transpose(2, 0, 1).copy())
        for slot, segment in enumerate(segments):
            cells = (scene.segment_map == segment.id).reshape(grid, STRIDE, grid, STRIDE)
            masks[row, slot] = torch.from_numpy(cells.sum((1, 3)).astype(np.uint8))
            categories[row, slot] = segment.kind.id
        speaker = Speaker(scene, relations(scene), chance)
        said = [speaker.sentence() for _ in range(4)]
        lines.append([as_line(s) for s in (*said, speaker.paragraph())] + [Line(speaker.caption()) for _ in range(2)])
        row_phrases = [phrases_of(segment, chance) for segment in segments]
        index = chance.choice(scene.things)
        expression = speaker.expression(index)
        if expression is not None and index < SLOTS:
            row_phrases[index].append(expression.text.text)
        phrases.append(row_phrases)
        known.append([facts(segment) for segment in segments])
    return World(images, masks, categories, lines, phrases, known)


def as_line(sentence: Sentence) -> Line:
    entities = sentence.text.phrases
    spans = [Span(p.start, p.end, sentence.segments[p.entity]) for p in entities]
    return Line(sentence.text.text, tuple(s for s in spans if s.slot < SLOTS))


def facts(segment: Segment) -> set[str]:
    """All words of kind, colour, size and pattern that are true of a segment."""
    words = {w for noun in segment.kind.nouns for w in noun.split()}
    look = segment.look
    return words if look is None else words | {look.colour.name, look.size.value, look.pattern.value}


def phrases_of(segment: Segment, chance: random.Random) -> list[str]:
    """Ways to name a segment: its bare noun, and descriptions with some of its attributes."""
    kind, look = segment.kind, segment.look
    noun = chance.randrange(len(kind.nouns)) if chance.random() < 0.3 else 0
    if look is None:
        return [kind.nouns[noun], f"the {kind.nouns[noun]}"]
    found = [kind.nouns[noun]]
    for _ in range(5):
        described = Description(
            kind,
            colour=look.colour if chance.random() < 0.75 else None,
            size=look.size if chance.random() < 0.35 else None,
            pattern=look.pattern if chance.random() < 0.4 else None,
        )
        found.append(described.words(chance.choice(("a", "a", "the")), noun))
    return found


def with_regions(line: Line, chance: random.Random, probability: float) -> Line:
    """The line with some of its phrases replaced by `[region]`; the spans that are left are moved along."""
    text, spans, shift = "", [], 0
    position = 0
    for span in sorted(line.spans, key=lambda s: s.start):
        text += line.text[position : span.start]
        if chance.random() < probability:
            text += tiny.REGION
        else:
            shift = len(text) - span.start
            text += line.text[span.start : span.end]
            spans.append(Span(span.start + shift, span.end + shift, span.slot))
        position = span.end
    return Line(text + line.text[position:], tuple(spans))


def jitter(
    images: UInt8[Tensor, "b 3 h w"], masks: UInt8[Tensor, "b s g g"], chance: random.Random
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b s g g"]]:
    """Zoom the batch a little, shift each image by whole cells, change brightness and contrast a little.

    No flips, because words say left and right; no hues, because words say colours.
    """
    grid = NATIVE // STRIDE
    pixels, cells = images.float(), masks.float()
    side = chance.choice((grid, grid, chance.randint(grid - 8, grid + 8)))
    if side != grid:
        pixels = F.interpolate(pixels, size=(side * STRIDE,) * 2, mode="bilinear", antialias=side < grid)
        cells = F.interpolate(cells, size=(side,) * 2, mode="bilinear", antialias=side < grid)
    margin = 3 + max(0, grid - side)
    pixels = F.pad(pixels, (margin * STRIDE,) * 4, mode="replicate")
    cells = F.pad(cells, (margin,) * 4)
    free = side + 2 * margin - grid
    shifted_pixels, shifted_cells = torch.empty(images.shape), torch.empty(masks.shape)
    for i in range(len(images)):
        y, x = chance.randint(0, free), chance.randint(0, free)
        shifted_cells[i] = cells[i, :, y : y + grid, x : x + grid]
        y, x = y * STRIDE, x * STRIDE
        shifted_pixels[i] = pixels[i, :, y : y + NATIVE, x : x + NATIVE]
    contrast = torch.empty(len(images), 1, 1, 1).uniform_(0.9, 1.1)
    brightness = torch.empty(len(images), 1, 1, 1).uniform_(-8, 8)
    return ((shifted_pixels - 127) * contrast + 127 + brightness).clamp(0, 255), shifted_cells
