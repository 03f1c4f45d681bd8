"""A sheet of a data folder's pictures as training sees them: segments with their classes, and the linked sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from find.data.data_split import DataSplit
from find.data.sample import Sample, Sentence
from find.errors import DataError
from find.visualization.drawing import Color, Overlay, draw_overlays, entity_color

UNNAMED: Color = (128, 132, 140)
"""Segments that the sentence does not mention."""
INK: Color = (40, 44, 52)
LINE = 20
GAP = 16


@dataclass(frozen=True)
class _Word:
    text: str
    color: Color | None  # of the segments that it stands for


def contact_sheet(
    folder: DataSplit, *, n: int = 24, columns: int = 4, side: int = 380, seed: int | None = None
) -> Image.Image:
    """A sheet of `n` pictures: all segments outlined and called by class, and below the first sentence.

    A phrase and its segments have one colour; segments that the sentence does not name are grey. `*` behind a phrase
    says that a segment of another picture may stand for it (a reference).

    Args:
        seed: which pictures are drawn; None for the first ones.

    Raises:
        FindError: there is no picture, or one cannot be read.
    """
    if not len(folder):
        raise DataError(f"{folder.root}: {folder.split} has no pictures")
    positions = np.arange(len(folder))
    if seed is not None:
        positions = np.sort(np.random.default_rng(seed).permutation(len(folder))[:n])
    tiles = [_tile(folder, folder[int(position)], side) for position in positions[:n]]
    columns = min(columns, len(tiles))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile in row) for row in rows]
    sheet = Image.new("RGB", (columns * (side + GAP) + GAP, sum(heights) + GAP * (len(rows) + 1)), "white")
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (GAP + column * (side + GAP), top))
        top += height + GAP
    return sheet


def _tile(folder: DataSplit, sample: Sample, side: int) -> Image.Image:
    sentence = sample.sentences[0] if sample.sentences else None
    colors: dict[int, Color] = {}
    for number, phrase in enumerate(sentence.phrases if sentence else ()):
        colors |= dict.fromkeys(phrase.segment_ids, entity_color(number))
    names = {category.id: category.words for category in folder.categories}
    overlays = [
        Overlay(
            sample.segment_map == segment.id,
            names[segment.category_id] + (" (crowd)" if segment.is_crowd else ""),
            color=colors.get(segment.id, UNNAMED),
        )
        for segment in sorted(sample.segments, key=lambda one: one.id in colors)  # those of the sentence on top
    ]
    drawn = draw_overlays(sample.image, overlays, min_side=side, font_size=max(13, max(sample.size) * 13 // side))
    drawn.thumbnail((side, side), Image.Resampling.LANCZOS)
    font = ImageFont.load_default(size=15)
    lines = _lines(_words(sentence), font, side) if sentence else [[_Word("(no sentence)", UNNAMED)]]
    tile = Image.new("RGB", (side, drawn.height + LINE * (len(lines) + 1) + 8), "white")
    tile.paste(drawn, ((side - drawn.width) // 2, 0))
    pen = ImageDraw.Draw(tile)
    top = drawn.height + 6
    for line in lines:
        left = 0.0
        for word in line:
            pen.text((left, top), word.text, fill=word.color or INK, font=font)
            if word.color is not None:
                pen.line((left, top + LINE - 2, left + font.getlength(word.text), top + LINE - 2), word.color, 2)
            left += font.getlength(f"{word.text} ")
        top += LINE
    count = len(sample.segments)
    small = ImageFont.load_default(size=12)
    name = fitted(sample.file_name, f" ({count} segment{'' if count == 1 else 's'})", small, side)
    pen.text((0, top), name, fill=UNNAMED, font=small)
    return tile


def fitted(name: str, end: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """A name with its end behind it; a name that is too long loses its middle, as exports add long codes to names."""
    kept = len(name)
    shown = name
    while kept > 2 and font.getlength(shown + end) > width:
        kept -= 1
        shown = f"{name[: (kept + 1) // 2]}\N{HORIZONTAL ELLIPSIS}{name[len(name) - kept // 2 :]}"
    return shown + end


def _words(sentence: Sentence) -> list[_Word]:
    words: list[_Word] = []
    done = 0
    for number, phrase in enumerate(sentence.phrases):
        words = _followed(words, sentence.text[done : phrase.start])
        own = phrase.text.split()
        own[-1] += "*" if phrase.reference is not None else ""
        words += [_Word(word, entity_color(number)) for word in own]
        done = phrase.end
    return _followed(words, sentence.text[done:])


def _followed(words: list[_Word], text: str) -> list[_Word]:
    """The words with those of a text behind them; a comma or full stop stays at the phrase before it."""
    if words and text and not text[0].isspace():
        mark, _, text = text.partition(" ")
        words[-1] = _Word(words[-1].text + mark, words[-1].color)
    return words + [_Word(word, None) for word in text.split()]


def _lines(words: Sequence[_Word], font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[list[_Word]]:
    lines: list[list[_Word]] = [[]]
    for word in words:
        if lines[-1] and font.getlength(" ".join(one.text for one in (*lines[-1], word))) > width:
            lines.append([])
        lines[-1].append(word)
    return lines
