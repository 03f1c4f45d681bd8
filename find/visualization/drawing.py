"""Pictures of results: masks with phrases and scores over an image, regions cut out, sheets of tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

Color = tuple[int, int, int]

PALETTE: tuple[Color, ...] = (
    (230, 57, 87),
    (33, 118, 255),
    (247, 158, 27),
    (142, 68, 200),
    (18, 163, 148),
    (236, 80, 180),
    (110, 140, 20),
    (120, 84, 60),
)
"""Colours of entities, by their order in the query: far apart."""


@dataclass(frozen=True)
class Overlay:
    """One mask to draw, at the image's own size: what it stands for, and how sure the model is."""

    mask: Bool[np.ndarray, "h w"]
    label: str
    score: float | None = None
    color: Color | None = None

    @property
    def caption(self) -> str:
        return self.label if self.score is None else f"{self.label} {self.score:.3f}"


def entity_color(index: int) -> Color:
    """The colour of the query's entity number `index`."""
    return PALETTE[index % len(PALETTE)]


def hex_color(color: Color) -> str:
    """The colour as CSS writes it: #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def draw_overlays(
    image: UInt8[np.ndarray, "h w 3"],
    overlays: Sequence[Overlay],
    *,
    min_side: int = 480,
    font_size: int | None = None,
    opacity: float = 0.15,
) -> Image.Image:
    """The image with every mask tinted and outlined in its colour and tagged with its phrase and score.

    Small images are enlarged until their longer side has `min_side` pixels, so that the words can be read.
    Tags stand in the middle of their mask, or above it where they would hide it, and move where they would hide
    each other; the tint is light, so that the colours of the image stay what they are. An empty mask is not
    drawn. `font_size` is in pixels of the drawing; by default it grows with the drawing.
    """
    height, width = image.shape[:2]
    scale = max(1.0, min_side / max(height, width))
    size = (round(width * scale), round(height * scale))
    canvas = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    line = max(2, round(max(size) / 200))

    anchors = []
    for index, overlay in enumerate(overlays):
        if overlay.mask.shape != (height, width):
            raise ValueError(f"mask {overlay.label!r} is {overlay.mask.shape[::-1]}, the image {(width, height)}")
        if not overlay.mask.any():
            continue
        color = overlay.color or entity_color(index)
        mask = _enlarge_mask(overlay.mask, size)
        canvas.paste(Image.new("RGB", size, color), mask=mask.point(lambda value: round(value * opacity)))
        canvas.paste(Image.new("RGB", size, color), mask=_inner_edge(mask, line))
        anchors.append((overlay, color))

    font = ImageFont.load_default(size=font_size or max(13, round(max(size) / 30)))
    taken: list[tuple[int, int, int, int]] = []
    for overlay, color in anchors:
        taken.append(_draw_tag(canvas, overlay, scale, color, font, taken))
    return canvas


def crop_region(
    image: UInt8[np.ndarray, "h w 3"],
    region: Bool[np.ndarray, "h w"],
    *,
    side: int = 96,
    color: Color | None = None,
) -> Image.Image:
    """A square thumbnail around a region: the region in full colour and outlined, the rest pale."""
    rows, columns = np.nonzero(region)
    if rows.size == 0:
        raise ValueError("a region with no pixels has no thumbnail")
    height, width = region.shape
    reach = max(np.ptp(rows), np.ptp(columns)) + 1
    window = min(max(16, round(1.25 * reach)), max(height, width))  # with a margin, to see where the region lies
    left = _window_start((columns.min() + columns.max() + 1) / 2, window, width)
    top = _window_start((rows.min() + rows.max() + 1) / 2, window, height)
    box = (left, top, left + window, top + window)

    size = (2 * side, 2 * side)  # drawn at twice the size, so that the outline is smooth
    pixels = Image.fromarray(image).crop(box).resize(size, Image.Resampling.LANCZOS)
    mask = _smooth(Image.fromarray(region.astype(np.uint8) * 255).crop(box), size)
    pale = Image.blend(pixels, Image.new("RGB", size, "white"), 0.6)
    thumbnail = Image.composite(pixels, pale, mask)
    thumbnail.paste(Image.new("RGB", size, color or entity_color(0)), mask=_outer_edge(mask, max(3, side // 24)))
    on_image = Image.new("L", (width, height), 255).crop(box).resize(size, Image.Resampling.NEAREST)
    thumbnail = Image.composite(thumbnail, Image.new("RGB", size, (238, 240, 243)), on_image)
    return thumbnail.resize((side, side), Image.Resampling.LANCZOS)


def add_title(image: Image.Image, lines: Sequence[str]) -> Image.Image:
    """The image below lines of text on amber, each wrapped to the image's width."""
    font = ImageFont.load_default(size=15)
    wrapped = [text for line in lines for text in _wrap(line, font, image.width - 16)]
    height = 20 * len(wrapped) + 10
    titled = Image.new("RGB", (image.width, image.height + height), (255, 224, 150))
    draw = ImageDraw.Draw(titled)
    for number, text in enumerate(wrapped):
        draw.text((8, 5 + 20 * number), text, fill=(40, 44, 52), font=font)
    titled.paste(image, (0, height))
    return titled


def tile(
    images: Sequence[Image.Image],
    *,
    columns: int,
    captions: Sequence[str] | None = None,
    side: int = 320,
    gap: int = 12,
) -> Image.Image:
    """A sheet of images in rows of `columns`, each fitted into a square of `side` pixels, captions below."""
    if not images:
        raise ValueError("a sheet needs at least one image")
    font = ImageFont.load_default(size=15)
    wrapped = [_wrap(text, font, side) for text in captions] if captions else [[] for _ in images]
    line_height = 20
    rows = math.ceil(len(images) / columns)
    columns = min(columns, len(images))
    row_heights = [
        side + line_height * max(len(lines) for lines in wrapped[row * columns : (row + 1) * columns])
        for row in range(rows)
    ]
    sheet = Image.new("RGB", (columns * (side + gap) + gap, sum(row_heights) + gap * (rows + 1)), "white")
    draw = ImageDraw.Draw(sheet)
    top = gap
    for row, row_height in enumerate(row_heights):
        for column in range(columns):
            index = row * columns + column
            if index >= len(images):
                break
            left = gap + column * (side + gap)
            ratio = side / max(images[index].size)
            fitted = images[index].resize(
                (max(1, round(images[index].width * ratio)), max(1, round(images[index].height * ratio))),
                Image.Resampling.LANCZOS,
            )
            sheet.paste(fitted, (left + (side - fitted.width) // 2, top + (side - fitted.height) // 2))
            for number, text in enumerate(wrapped[index]):
                draw.text((left, top + side + 3 + number * line_height), text, fill=(40, 44, 52), font=font)
        top += row_height + gap
    return sheet


def _window_start(center: float, window: int, length: int) -> int:
    """Where a window around a centre begins: inside the image, or around it where the image is smaller."""
    if window >= length:
        return (length - window) // 2
    return min(max(0, round(center - window / 2)), length - window)


def _smooth(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A mask (L, 0 or 255) at another size, with edges that are smooth but stay sharp."""
    scale = max(1.0, size[0] / mask.width)
    enlarged = mask.resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(scale * 0.25))
    return enlarged.point(lambda value: min(255, max(0, (value - 96) * 4)))


def _enlarge_mask(mask: np.ndarray, size: tuple[int, int]) -> Image.Image:
    return _smooth(Image.fromarray(mask.astype(np.uint8) * 255), size)


def _inner_edge(mask: Image.Image, width: int) -> Image.Image:
    """The band of `width` pixels just inside a mask's edge."""
    padded = Image.new("L", (mask.width + 2, mask.height + 2), 0)  # the image's border closes the outline
    padded.paste(mask, (1, 1))
    inner = padded
    for _ in range(width):
        inner = inner.filter(ImageFilter.MinFilter(3))
    return ImageChops.subtract(padded, inner).crop((1, 1, mask.width + 1, mask.height + 1))


def _outer_edge(mask: Image.Image, width: int) -> Image.Image:
    """The band of `width` pixels just outside a mask's edge."""
    return ImageChops.subtract(mask.filter(ImageFilter.MaxFilter(2 * width + 1)), mask)


def _inner_point(mask: np.ndarray, scale: float) -> tuple[float, float]:
    """The mask's pixel nearest to its centre of mass, (x, y) on the enlarged canvas."""
    rows, columns = np.nonzero(mask)
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return (columns[nearest] + 0.5) * scale, (rows[nearest] + 0.5) * scale


def _tag_point(mask: np.ndarray, scale: float, width: int, height: int) -> tuple[float, float]:
    """Where the middle of a tag goes: inside the mask; above or else below one that is not four times as large."""
    if 4 * width * height <= mask.sum() * scale**2:
        return _inner_point(mask, scale)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x = (columns[0] + columns[-1] + 1) / 2 * scale
    above, below = rows[0] * scale - height / 2 - 3, (rows[-1] + 1) * scale + height / 2 + 3
    return x, above if above - height / 2 >= 2 else below


def _draw_tag(
    canvas: Image.Image,
    overlay: Overlay,
    scale: float,
    color: Color,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    taken: Sequence[tuple[int, int, int, int]],
) -> tuple[int, int, int, int]:
    """Draws a mask's tag where neither it hides the mask nor another tag hides it; returns its box (x0, y0, x1, y1)."""
    pad = max(3, round(font.size * 0.3))
    caption = _shorten(overlay.caption, font, canvas.width - 2 * pad - 4)
    left, _, right, _ = font.getbbox(caption)
    _, top, _, bottom = font.getbbox("Ag")  # the same for all words, so that tags are of one height
    width, height = round(right - left) + 2 * pad, round(bottom - top) + 2 * pad
    point = _tag_point(overlay.mask, scale, width, height)

    def box_at(shift: int) -> tuple[int, int, int, int]:
        x = min(max(2, round(point[0] - width / 2)), max(2, canvas.width - width - 2))
        y = min(max(2, round(point[1] - height / 2) + shift), max(2, canvas.height - height - 2))
        return x, y, x + width, y + height

    def is_free(box: tuple[int, int, int, int]) -> bool:
        return not any(box[0] < x1 and x0 < box[2] and box[1] < y1 and y0 < box[3] for x0, y0, x1, y1 in taken)

    steps = sorted(range(-canvas.height, canvas.height, 4), key=abs)
    box = next((box for box in map(box_at, steps) if is_free(box)), box_at(0))
    draw = ImageDraw.Draw(canvas)
    draw.rounded_rectangle(box, radius=pad, fill=color, outline="white", width=1)
    draw.text((box[0] + pad - left, box[1] + pad - top), caption, fill="white", font=font)
    return box


def _shorten(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _wrap(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(_shorten(word, font, width))
    return lines
