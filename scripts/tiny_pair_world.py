"""A synthetic world in memory as the tiny pair's training reads it: images, region masks, lines and phrases."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from find.data.coco import CocoFolder
from find.data.world.kinds import COLOURS, STUFF, THINGS, Pattern, Size
from find.foundations import tiny

STRIDE = 4  # of the finest map; region masks are kept as the share of each of its cells
SLOTS = 16  # most regions an image
NATIVE = 160

NOUNS = {kind.id: kind.nouns for kind in (*THINGS, *STUFF)}
ATTRIBUTES = {
    "colour": tuple(c.name for c in COLOURS),
    "pattern": tuple(p.value for p in Pattern),
    "size": tuple(s.value for s in Size),
}
ARTICLES = {"a", "an", "the"}
PLAIN_WORDS = {w for values in ATTRIBUTES.values() for w in values} | {
    w for nouns in NOUNS.values() for noun in nouns for w in noun.split()
}


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower())) - ARTICLES


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
    """One split of a world in memory. `known[i][s]` are the attribute words that are true of region s of image i."""

    images: UInt8[Tensor, "n 3 h w"]
    masks: UInt8[Tensor, "n s g g"]  # pixels of each stride-4 cell, 0..16
    categories: Int64[Tensor, "n s"]  # category id, -1 = no region
    lines: list[list[Line]]
    phrases: list[list[list[str]]]
    known: list[list[set[str]]]

    def __len__(self) -> int:
        return len(self.images)


def read_world(root: Path, split: str, positions: range) -> World:
    """The images of a split at `positions` (as far as there are any), with all that is written about them."""
    folder = CocoFolder(root, split)
    positions = range(len(folder))[positions.start : positions.stop : positions.step]
    count = len(positions)
    grid = NATIVE // STRIDE
    images = torch.zeros(count, 3, NATIVE, NATIVE, dtype=torch.uint8)
    masks = torch.zeros(count, SLOTS, grid, grid, dtype=torch.uint8)
    categories = torch.full((count, SLOTS), -1)
    lines, phrases, known = [], [], []
    for row, position in enumerate(positions):
        sample = folder[position]
        images[row] = torch.from_numpy(sample.image.transpose(2, 0, 1).copy())
        segments = [s for s in sample.segments if not s.is_crowd][:SLOTS]
        slots = {s.id: slot for slot, s in enumerate(segments)}
        for slot, segment in enumerate(segments):
            cells = (sample.segment_map == segment.id).reshape(grid, STRIDE, grid, STRIDE)
            masks[row, slot] = torch.from_numpy(cells.sum((1, 3)).astype(np.uint8))
            categories[row, slot] = segment.category_id
        row_phrases = [[f"a {n}" for n in NOUNS[s.category_id]] + list(NOUNS[s.category_id]) for s in segments]
        row_lines = [Line(caption) for caption in sample.captions]
        for sentence in sample.sentences:
            spans = []
            for phrase in sentence.phrases:
                if len(phrase.segment_ids) == 1 and phrase.segment_ids[0] in slots:
                    slot = slots[phrase.segment_ids[0]]
                    spans.append(Span(phrase.start, phrase.end, slot))
                    row_phrases[slot].append(phrase.text.strip())
            row_lines.append(Line(sentence.text, tuple(spans)))
        for expression in sample.expressions:
            if expression.segment_id in slots:
                row_phrases[slots[expression.segment_id]].append(expression.text)
        plain = [[p for p in texts if words_of(p) <= PLAIN_WORDS] for texts in row_phrases]
        lines.append(row_lines)
        phrases.append(row_phrases)
        known.append([set().union(*(words_of(p) for p in texts)) for texts in plain])
    return World(images, masks, categories, lines, phrases, known)


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
