"""Paints what stands behind the things: sky above grass, sea or road, or a wall above a floor."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw

from find.world.kinds import FENCE, FLOOR, GRASS, MOUNTAIN, ROAD, SAND, SEA, SKY, SNOW, WALL, Place, Stuff

RGB = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Surface:
    """Where things of one place may rest: their base line lies between `top` and `bottom` (fractions of the side)."""

    place: Place
    stuff: Stuff
    top: float
    bottom: float


@dataclass(frozen=True)
class Setting:
    """Kinds of stuff from top to bottom, and the surfaces they offer."""

    bands: tuple[tuple[Stuff, float], ...]
    surfaces: tuple[Surface, ...]


@dataclass(frozen=True)
class Backdrop:
    """Painted background: `picture` RGB and `labels` (index into `stuff` + 1), both on the drawing canvas."""

    picture: Image.Image
    labels: Image.Image
    stuff: tuple[Stuff, ...]
    surfaces: tuple[Surface, ...]


def _outdoors(rng: random.Random, ground: Stuff, between: tuple[Stuff | None, ...]) -> Setting:
    horizon = rng.uniform(0.36, 0.46)
    middle = rng.choice(between)
    bands = [(SKY, 0.0)]
    if middle is not None:
        bands.append((middle, horizon - rng.uniform(0.13, 0.2)))
    bands.append((ground, horizon))
    air = Surface(Place.AIR, SKY, 0.16, bands[1][1] + 0.02)
    return Setting(tuple(bands), (air, Surface(Place.GROUND, ground, horizon + 0.06, 0.985)))


def meadow(rng: random.Random) -> Setting:
    return _outdoors(rng, GRASS, (None, MOUNTAIN, FENCE))


def street(rng: random.Random) -> Setting:
    return _outdoors(rng, ROAD, (None, GRASS, FENCE, MOUNTAIN))


def winter(rng: random.Random) -> Setting:
    return _outdoors(rng, SNOW, (None, MOUNTAIN, FENCE))


def beach(rng: random.Random) -> Setting:
    horizon = rng.uniform(0.3, 0.36)
    shore = rng.uniform(0.55, 0.62)
    surfaces = (
        Surface(Place.AIR, SKY, 0.16, horizon + 0.02),
        Surface(Place.WATER, SEA, horizon + 0.06, shore - 0.02),
        Surface(Place.GROUND, SAND, shore + 0.05, 0.985),
    )
    return Setting(((SKY, 0.0), (SEA, horizon), (SAND, shore)), surfaces)


def room(rng: random.Random) -> Setting:
    skirting = rng.uniform(0.46, 0.56)
    surfaces = (
        Surface(Place.WALL, WALL, 0.24, skirting - 0.06),
        Surface(Place.FLOOR, FLOOR, skirting + 0.05, 0.985),
    )
    return Setting(((WALL, 0.0), (FLOOR, skirting)), surfaces)


SETTINGS: tuple[tuple[Callable[[random.Random], Setting], float], ...] = (
    (meadow, 0.2),
    (street, 0.2),
    (winter, 0.16),
    (beach, 0.2),
    (room, 0.24),
)


_PAINTS: dict[int, tuple[RGB, ...]] = {
    SKY.id: ((150, 205, 245), (178, 216, 240), (198, 214, 228), (244, 204, 172)),
    GRASS.id: ((112, 186, 84), (134, 196, 92), (96, 168, 88)),
    SAND.id: ((232, 208, 154), (224, 196, 138)),
    SEA.id: ((52, 140, 176), (70, 158, 184), (62, 122, 160)),
    ROAD.id: ((122, 122, 126), (104, 106, 112), (138, 136, 134)),
    SNOW.id: ((226, 234, 242), (218, 226, 240)),
    WALL.id: ((226, 214, 188), (196, 216, 204), (208, 202, 220), (222, 198, 188), (196, 208, 220)),
    FLOOR.id: ((176, 136, 94), (158, 118, 82), (188, 152, 112)),
    MOUNTAIN.id: ((126, 124, 148), (112, 126, 136), (140, 124, 122)),
    FENCE.id: ((182, 146, 104), (164, 128, 92), (196, 164, 122)),
}


def _shade(colour: RGB, factor: float) -> RGB:
    return tuple(max(0, min(255, round(c * factor))) for c in colour)  # type: ignore[return-value]


@dataclass(frozen=True)
class _Band:
    """One kind of stuff on the canvas, down to where the next begins; `outline` is its upper edge."""

    base: RGB
    top: int
    bottom: int
    outline: list[Point]

    @property
    def shades(self) -> tuple[RGB, RGB]:
        """A little lighter and a little darker than the band."""
        return _shade(self.base, 1.1), _shade(self.base, 0.88)


class _Painter:
    """Paints one band after the other, each over the lower part of those before."""

    def __init__(self, side: int, rng: random.Random) -> None:
        self.side, self.rng = side, rng
        self.unit = side / 320  # details are drawn in pixels of a 320-pixel canvas
        self.picture = Image.new("RGB", (side, side))
        self.labels = Image.new("L", (side, side))
        self.pen = ImageDraw.Draw(self.picture)
        self.marks = ImageDraw.Draw(self.labels)

    def band(self, stuff: Stuff, label: int, top: int, bottom: int) -> None:
        """Fills from `top` to the bottom of the canvas and adds details above the row `bottom`."""
        rng, side = self.rng, self.side
        base = _shade(rng.choice(_PAINTS[stuff.id]), rng.uniform(0.95, 1.05))
        if stuff is MOUNTAIN:
            outline = self._ridge(top, bottom)
        elif stuff in (GRASS, SAND, SNOW, SEA) and top > 0:
            wave = 0.0 if stuff is SEA else 0.008
            outline = [(x * side / 8, top + rng.uniform(-wave, wave) * side) for x in range(9)]
        else:
            outline = [(0, top), (side, top)]
        shape = [*outline, (side, side), (0, side)]
        self.pen.polygon(shape, fill=base)
        self.marks.polygon(shape, fill=label)
        _DETAILS[stuff.id](self, _Band(base, top, bottom, outline))

    def _ridge(self, top: int, bottom: int) -> list[Point]:
        """Peaks and saddles in turn, from the left edge to the right one."""
        rng, side, n = self.rng, self.side, self.rng.choice((4, 6))
        saddle = bottom - 0.3 * (bottom - top)
        return [
            (k * side / n, rng.uniform(top - 0.02 * side, top + 0.05 * side) if k % 2 else saddle) for k in range(n + 1)
        ]

    def _spot(self, band: _Band) -> Point:
        return self.rng.random() * self.side, self.rng.uniform(band.top, band.bottom)

    def _width(self, pixels: float) -> int:
        return max(1, round(pixels * self.unit))

    def _clouds(self, band: _Band) -> None:
        rng, unit = self.rng, self.unit
        for _ in range(rng.randint(0, 3)):
            x, y = rng.random() * self.side, rng.uniform(0.03, 0.8) * band.bottom
            for dx, r in ((-16, 9), (0, 13), (17, 8)):
                box = (x + (dx - 1.4 * r) * unit, y - r * unit, x + (dx + 1.4 * r) * unit, y + r * unit * 0.8)
                self.pen.ellipse(box, fill=_shade(band.base, 1.12))

    def _blades(self, band: _Band) -> None:
        for k in range(26):
            x, y = self._spot(band)
            self.pen.line((x, y, x + 2 * self.unit, y - 6 * self.unit), fill=band.shades[k % 2], width=self._width(2))

    def _pebbles(self, band: _Band) -> None:
        for k in range(26):
            x, y = self._spot(band)
            self.pen.ellipse((x, y, x + 5 * self.unit, y + 2.5 * self.unit), fill=band.shades[k % 2])

    def _waves(self, band: _Band) -> None:
        for _ in range(22):
            x, y = self._spot(band)
            w = self.rng.uniform(8, 22) * self.unit
            self.pen.arc((x, y, x + w, y + 6 * self.unit), 0, 180, fill=band.shades[0], width=self._width(2))

    def _dashes(self, band: _Band) -> None:
        rng, unit = self.rng, self.unit
        self.pen.rectangle((0, band.top, self.side, band.top + 5 * unit), fill=(176, 172, 164))
        y = band.top + rng.uniform(0.3, 0.6) * (band.bottom - band.top)
        x = -rng.random() * 60 * unit
        while x < self.side:
            self.pen.rectangle((x, y, x + 34 * unit, y + 5 * unit), fill=(226, 222, 204))
            x += 66 * unit

    def _wallpaper(self, band: _Band) -> None:
        x = self.rng.random() * 30 * self.unit
        while x < self.side:
            self.pen.line((x, band.top, x, band.bottom), fill=_shade(band.base, 0.965), width=self._width(6))
            x += 34 * self.unit
        self.pen.rectangle((0, band.bottom - 8 * self.unit, self.side, band.bottom), fill=_shade(band.base, 0.8))

    def _planks(self, band: _Band) -> None:
        y, step, dark = float(band.top), 14 * self.unit, band.shades[1]
        while y < self.side:
            self.pen.line((0, y, self.side, y), fill=dark, width=self._width(2))
            for _ in range(3):
                x = self.rng.random() * self.side
                self.pen.line((x, y, x, y + step), fill=dark, width=self._width(2))
            y += step
            step *= 1.22  # boards look wider towards the viewer

    def _snow_caps(self, band: _Band) -> None:
        for x, y in band.outline[1::2]:
            drop, half = 0.22 * (band.bottom - y), 0.045 * self.side
            cap = [(x, y), (x + half, y + drop), (x, y + drop * 0.7), (x - half, y + drop)]
            self.pen.polygon(cap, fill=(238, 240, 246))

    def _boards(self, band: _Band) -> None:
        x = -self.rng.random() * 20 * self.unit
        while x < self.side:
            self.pen.line((x, band.top, x, band.bottom), fill=_shade(band.base, 0.72), width=self._width(2))
            x += 20 * self.unit
        for f in (0.25, 0.7):
            y = band.top + f * (band.bottom - band.top)
            self.pen.line((0, y, self.side, y), fill=_shade(band.base, 0.78), width=self._width(5))


_DETAILS: dict[int, Callable[[_Painter, _Band], None]] = {
    SKY.id: _Painter._clouds,
    GRASS.id: _Painter._blades,
    SAND.id: _Painter._pebbles,
    SNOW.id: _Painter._pebbles,
    SEA.id: _Painter._waves,
    ROAD.id: _Painter._dashes,
    WALL.id: _Painter._wallpaper,
    FLOOR.id: _Painter._planks,
    MOUNTAIN.id: _Painter._snow_caps,
    FENCE.id: _Painter._boards,
}


def paint(setting: Setting, *, side: int, rng: random.Random) -> Backdrop:
    """Paints `setting` on a square canvas of `side` pixels."""
    painter = _Painter(side, rng)
    tops = [round(top * side) for _, top in setting.bands] + [side]
    for k, (stuff, _) in enumerate(setting.bands):
        painter.band(stuff, k + 1, tops[k], tops[k + 1])
    return Backdrop(painter.picture, painter.labels, tuple(s for s, _ in setting.bands), setting.surfaces)
