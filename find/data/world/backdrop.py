"""Paints what stands behind the things: sky above grass, sea or road, or a wall above a floor."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw

from find.data.world.kinds import FENCE, FLOOR, GRASS, MOUNTAIN, ROAD, SAND, SEA, SKY, SNOW, WALL, Place, Stuff

RGB = tuple[int, int, int]


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


class _Painter:
    """Paints one band after the other, each over the lower part of those before."""

    def __init__(self, side: int, rng: random.Random) -> None:
        self.side, self.rng = side, rng
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
        self._details(stuff, base, top, bottom, outline)

    def _ridge(self, top: int, bottom: int) -> list[tuple[float, float]]:
        rng, n = self.rng, self.rng.choice((4, 6))
        return [
            (k * self.side / n, rng.uniform(top - 0.02 * self.side, top + 0.05 * self.side) if k % 2 else bottom - 0.3 * (bottom - top))
            for k in range(n + 1)
        ]  # fmt: skip

    def _details(self, stuff: Stuff, base: RGB, top: int, bottom: int, outline: list[tuple[float, float]]) -> None:
        rng, side, pen = self.rng, self.side, self.pen
        unit = side / 320
        dark, light = _shade(base, 0.88), _shade(base, 1.1)

        def spot() -> tuple[float, float]:
            return rng.random() * side, rng.uniform(top, bottom)

        if stuff is SKY:
            for _ in range(rng.randint(0, 3)):
                x, y = rng.random() * side, rng.uniform(0.03, 0.8) * bottom
                for dx, r in ((-16, 9), (0, 13), (17, 8)):
                    box = (x + (dx - 1.4 * r) * unit, y - r * unit, x + (dx + 1.4 * r) * unit, y + r * unit * 0.8)
                    pen.ellipse(box, fill=_shade(base, 1.12))
        elif stuff in (GRASS, SAND, SNOW):
            for k in range(26):
                x, y = spot()
                shade = dark if k % 2 else light
                if stuff is GRASS:
                    pen.line((x, y, x + 2 * unit, y - 6 * unit), fill=shade, width=max(1, round(2 * unit)))
                else:
                    pen.ellipse((x, y, x + 5 * unit, y + 2.5 * unit), fill=shade)
        elif stuff is SEA:
            for _ in range(22):
                x, y = spot()
                w = rng.uniform(8, 22) * unit
                pen.arc((x, y, x + w, y + 6 * unit), 0, 180, fill=light, width=max(1, round(2 * unit)))
        elif stuff is ROAD:
            pen.rectangle((0, top, side, top + 5 * unit), fill=(176, 172, 164))
            y, shift = top + rng.uniform(0.3, 0.6) * (bottom - top), rng.random() * 60 * unit
            x = -shift
            while x < side:
                pen.rectangle((x, y, x + 34 * unit, y + 5 * unit), fill=(226, 222, 204))
                x += 66 * unit
        elif stuff is WALL:
            x = rng.random() * 30 * unit
            while x < side:
                pen.line((x, top, x, bottom), fill=_shade(base, 0.965), width=max(1, round(6 * unit)))
                x += 34 * unit
            pen.rectangle((0, bottom - 8 * unit, side, bottom), fill=_shade(base, 0.8))
        elif stuff is FLOOR:
            y, step = float(top), 14 * unit
            while y < side:
                pen.line((0, y, side, y), fill=dark, width=max(1, round(2 * unit)))
                for _ in range(3):
                    x = rng.random() * side
                    pen.line((x, y, x, y + step), fill=dark, width=max(1, round(2 * unit)))
                y += step
                step *= 1.22
        elif stuff is MOUNTAIN:
            for x, y in outline[1::2]:
                drop, span = 0.22 * (bottom - y), 0.1 * side
                pen.polygon(
                    [(x, y), (x + span * 0.45, y + drop), (x, y + drop * 0.7), (x - span * 0.45, y + drop)],
                    fill=(238, 240, 246),
                )
        elif stuff is FENCE:
            x = -rng.random() * 20 * unit
            while x < side:
                pen.line((x, top, x, bottom), fill=_shade(base, 0.72), width=max(1, round(2 * unit)))
                x += 20 * unit
            for f in (0.25, 0.7):
                y = top + f * (bottom - top)
                pen.line((0, y, side, y), fill=_shade(base, 0.78), width=max(1, round(5 * unit)))


def paint(setting: Setting, *, side: int, rng: random.Random) -> Backdrop:
    """Paints `setting` on a square canvas of `side` pixels."""
    painter = _Painter(side, rng)
    tops = [round(top * side) for _, top in setting.bands] + [side]
    for k, (stuff, _) in enumerate(setting.bands):
        painter.band(stuff, k + 1, tops[k], tops[k + 1])
    return Backdrop(painter.picture, painter.labels, tuple(s for s, _ in setting.bands), setting.surfaces)
