"""Turns a described thing into pixels: ink drawing, pattern and paint."""

from __future__ import annotations

import colorsys
import random
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw

from find.world.kinds import Colour, Pattern, Size, Thing
from find.world.pen import Ink, Pen, Pose

SUPERSAMPLING = 2
"""Canvas pixels per image pixel and axis."""

_REACH = {Size.SMALL: (29, 36), Size.LARGE: (51, 63)}
"""Longest side of a square thing in image pixels, for images of 160 pixels."""

_FIXED = {
    Ink.BLACK: (34, 34, 38), Ink.WHITE: (248, 248, 246), Ink.GREY: (156, 158, 164), Ink.SKIN: (238, 190, 154),
    Ink.WOOD: (110, 70, 42), Ink.LEAF: (58, 152, 62), Ink.GLASS: (186, 222, 240), Ink.RED: (226, 48, 40),
    Ink.AMBER: (250, 190, 50), Ink.LIME: (70, 200, 90), Ink.NAVY: (66, 72, 96), Ink.ROSE: (240, 170, 170),
}  # fmt: skip
_IS_MAIN = [255 if k == Ink.MAIN else 0 for k in range(256)]
_IS_DRAWN = [255 if k else 0 for k in range(256)]


@dataclass(frozen=True)
class Look:
    """A thing's describable attributes: category, colour, size and pattern."""

    thing: Thing
    colour: Colour
    size: Size
    pattern: Pattern


@dataclass(frozen=True)
class Sprite:
    """One drawn thing, cropped to its own extent: `picture` RGB and `mask` (0 or 255), on the drawing canvas."""

    picture: Image.Image
    mask: Image.Image


def _clip(value: float) -> int:
    return max(0, min(255, round(value)))


def _paints(colour: Colour, rng: random.Random) -> list[int]:
    """Flat palette of all inks, the main paint a little off its nominal shade."""
    h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in colour.rgb))
    h += rng.uniform(-0.012, 0.012)
    s = min(1.0, s * rng.uniform(0.92, 1.04))
    v = min(1.0, v * rng.uniform(0.92, 1.06))
    main = tuple(_clip(255 * c) for c in colorsys.hsv_to_rgb(h, s, v))
    if v < 0.3:  # on black, darker parts would vanish
        dark, light, edge = (62, 60, 68), (82, 80, 90), (84, 82, 90)
    else:
        dark = tuple(_clip(c * 0.78) for c in main)
        light = tuple(_clip(c + (255 - c) * 0.3) for c in main)
        edge = tuple(_clip(c * 0.5) for c in main)
    paints = {Ink.NONE: (0, 0, 0), Ink.MAIN: main, Ink.DARK: dark, Ink.LIGHT: light, Ink.EDGE: edge, **_FIXED}
    paints[Ink.TRIM] = colour.trim
    return [c for ink in Ink for c in paints[ink]]


def _pattern(pattern: Pattern, side: tuple[int, int], pitch: float, rng: random.Random) -> Image.Image:
    """Mask of the stripes or spots that cross a canvas."""
    mask = Image.new("L", side, 0)
    pen = ImageDraw.Draw(mask)
    width, height = side
    start = rng.random() * pitch
    if pattern is Pattern.STRIPED:
        lean = rng.uniform(-0.25, 0.25) * height
        x = start - abs(lean)
        while x < width + abs(lean):
            half = pitch * 0.19
            pen.polygon([(x - half, 0), (x + half, 0), (x + half + lean, height), (x - half + lean, height)], fill=255)
            x += pitch
    else:
        radius, row, y = pitch * 0.29, 0, start - pitch
        while y < height + pitch:
            x = start - pitch * (0.5 if row % 2 else 1.0)
            while x < width + pitch:
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
                x += pitch
            y += pitch * 0.8
            row += 1
    return mask


def draw(look: Look, *, image_side: int, flying: bool, rng: random.Random) -> Sprite:
    """Draws one thing for a square image of `image_side` pixels, on the supersampled canvas."""
    thing = look.thing
    low, high = _REACH[look.size]
    # slender things get a longer side, so that small and large mean a similar area for all
    reach = rng.uniform(low, high) * (thing.width * thing.height) ** -0.15 * image_side / 160
    turn = rng.uniform(-0.3, 0.3) if flying else rng.uniform(-0.06, 0.06)
    pose = Pose(rng.random() < 0.5, turn, rng.uniform(-1, 1), rng.uniform(-1, 1))
    pen = Pen(width=thing.width, height=thing.height, scale=reach * SUPERSAMPLING, pose=pose)
    thing.draw(pen)
    extent = pen.canvas.getbbox()
    assert extent is not None, f"{thing.name} draws nothing"
    ink = pen.canvas.crop(extent)
    if look.pattern is not Pattern.PLAIN:
        least = (11.0 if look.pattern is Pattern.STRIPED else 12.0) * image_side / 160
        pitch = max(least, 0.15 * reach * SUPERSAMPLING)
        where = ImageChops.darker(ink.point(_IS_MAIN), _pattern(look.pattern, ink.size, pitch, rng))
        ink.paste(int(Ink.TRIM), mask=where)
    mask = ink.point(_IS_DRAWN)
    ink.putpalette(_paints(look.colour, rng))
    return Sprite(ink.convert("RGB"), mask)
