"""Decides which things are in a scene and where, with duplicates, occlusion and (for evaluation) held-out pairs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from find.world.backdrop import SETTINGS, Setting, Surface
from find.world.drawing import SUPERSAMPLING, Look, Sprite, draw
from find.world.kinds import COLOURS, HELD_OUT, THINGS, Colour, Pattern, Place, Size, Thing

HELD_OUT_SHARE = 0.23
"""Share of evaluation scenes that show a held-out pair."""


@dataclass(frozen=True)
class Placed:
    """A thing at its place: the sprite's top-left corner (x, y) in canvas pixels."""

    look: Look
    surface: Surface
    sprite: Sprite
    x: int
    y: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Full extent as x0, y0, x1, y1 (exclusive), parts hidden by others included."""
        return self.x, self.y, self.x + self.sprite.mask.width, self.y + self.sprite.mask.height

    @property
    def depth(self) -> tuple[int, int]:
        """Sorts from back to front: what hangs or flies first, then by the base line."""
        return int(self.surface.place not in (Place.AIR, Place.WALL)), self.box[3]


def _allowed(thing: Thing, setting: Setting) -> bool:
    return any(surface.place in thing.places for surface in setting.surfaces)


def _colour(thing: Thing, rng: random.Random) -> Colour:
    return rng.choice([c for c in COLOURS if (thing.name, c.name) not in HELD_OUT])


def _pattern(thing: Thing, rng: random.Random) -> Pattern:
    if not thing.patterned:
        return Pattern.PLAIN
    return rng.choices(tuple(Pattern), (0.5, 0.25, 0.25))[0]


def _size(rng: random.Random) -> Size:
    return rng.choices(tuple(Size), (0.45, 0.55))[0]


def _twin(look: Look, rng: random.Random) -> Look:
    """A second thing of the same category, about half the time of the same colour too."""
    colour = look.colour
    pair = (look.thing.name, colour.name)
    if pair in HELD_OUT or rng.random() > 0.55:
        colour = _colour(look.thing, rng)
    return Look(look.thing, colour, _size(rng), _pattern(look.thing, rng))


def choose_looks(setting: Setting, *, held_out: tuple[Thing, Colour] | None, rng: random.Random) -> list[Look]:
    """Three to six things for a setting, half of the time with two of the first category among them."""
    things = [thing for thing in THINGS if _allowed(thing, setting)]
    # boats and clocks have one setting only, so they come up more often there
    weights = [
        3.0 if set(t.places) & {Place.WATER, Place.WALL} else 1.5 if t.places == (Place.AIR,) else 1.0 for t in things
    ]
    count = rng.choices((3, 4, 5, 6), (0.25, 0.35, 0.25, 0.15))[0]
    if held_out is None:
        first = rng.choices(things, weights)[0]
        looks = [Look(first, _colour(first, rng), _size(rng), _pattern(first, rng))]
    else:
        first, colour = held_out
        looks = [Look(first, colour, _size(rng), _pattern(first, rng))]
    if rng.random() < 0.55:
        looks.append(_twin(looks[0], rng))
    used = {first.id}
    while len(looks) < count:
        thing = rng.choices(things, weights)[0]
        if thing.id not in used:
            used.add(thing.id)
            looks.append(Look(thing, _colour(thing, rng), _size(rng), _pattern(thing, rng)))
    return looks


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Area that two boxes share, as a part of the smaller one."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def _place(
    look: Look, surface: Surface, sprite: Sprite, placed: Sequence[Placed], *, side: int, rng: random.Random
) -> Placed | None:
    """A free place on the surface; sometimes on purpose partly in front of what already stands there."""
    width, height = sprite.mask.size
    top, bottom = round(surface.top * side), round(surface.bottom * side)
    lowest = max(top, height)
    if lowest > bottom:
        if height > bottom:
            return None
        lowest = bottom
    partners = [p for p in placed if p.surface == surface and p.surface.place not in (Place.AIR, Place.WALL)]
    if partners and rng.random() < 0.3:
        other = rng.choice(partners)
        x0, _, x1, y1 = other.box
        shift = rng.choice((-1, 1)) * rng.uniform(0.3, 0.42) * (width + x1 - x0)
        x = round((x0 + x1 - width) / 2 + shift)
        base = min(bottom, y1 + round(rng.uniform(0.02, 0.06) * side))
        spot = Placed(look, surface, sprite, x, base - height)
        others = [p for p in placed if p is not other]
        if 0 <= x <= side - width and base > y1 and all(_overlap(spot.box, p.box) < 0.1 for p in others):
            return spot
    for _ in range(20):
        x, base = rng.randint(0, side - width), rng.randint(lowest, bottom)
        spot = Placed(look, surface, sprite, x, base - height)
        if all(_overlap(spot.box, p.box) < 0.06 for p in placed):
            return spot
    return None


def _held_out_pair(rng: random.Random) -> tuple[Thing, Colour]:
    name, colour = rng.choice(sorted(HELD_OUT))
    return next(t for t in THINGS if t.name == name), next(c for c in COLOURS if c.name == colour)


def _setting(rng: random.Random, thing: Thing | None) -> Setting:
    makers: tuple[Callable[[random.Random], Setting], ...] = tuple(make for make, _ in SETTINGS)
    weights = [weight for _, weight in SETTINGS]
    while True:
        setting = rng.choices(makers, weights)[0](rng)
        if thing is None or _allowed(thing, setting):
            return setting


def lay_out(*, image_side: int, held_out: bool, rng: random.Random) -> tuple[Setting, list[Placed]]:
    """A setting and at least three placed things, from back to front.

    Args:
        image_side: side of the final image in pixels.
        held_out: whether a held-out pair may appear (then it does in a fixed share of the scenes).
    """
    side = image_side * SUPERSAMPLING
    pair = _held_out_pair(rng) if held_out and rng.random() < HELD_OUT_SHARE else None
    while True:
        setting = _setting(rng, pair[0] if pair else None)
        looks = choose_looks(setting, held_out=pair, rng=rng)
        placed: list[Placed] = []
        for look in looks:
            surface = rng.choice([s for s in setting.surfaces if s.place in look.thing.places])
            sprite = draw(look, image_side=image_side, flying=surface.place is Place.AIR, rng=rng)
            spot = _place(look, surface, sprite, placed, side=side, rng=rng)
            if spot is None and not placed:
                break
            if spot is not None:
                placed.append(spot)
        if len(placed) >= 3:
            return setting, sorted(placed, key=lambda p: p.depth)
