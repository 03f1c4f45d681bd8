"""Where in the picture a thing is, and what lies between what: truth of claims about one thing, and about three."""

from __future__ import annotations

from enum import Enum

import numpy as np

from find.world.composition import Composition, Segment
from find.world.kinds import Place
from find.world.relations import Link, Relations


class Spot(Enum):
    """A part of the picture in which one thing is, as the viewer sees it."""

    LEFT = "on the left"
    RIGHT = "on the right"
    TOP = "at the top"
    BOTTOM = "at the bottom"
    FOREGROUND = "in the foreground"
    BACKGROUND = "in the background"


class Among(Enum):
    """How a thing is placed relative to two others."""

    BETWEEN = "between"


OPPOSITE_SPOT = {
    Spot.LEFT: Spot.RIGHT,
    Spot.RIGHT: Spot.LEFT,
    Spot.TOP: Spot.BOTTOM,
    Spot.BOTTOM: Spot.TOP,
    Spot.FOREGROUND: Spot.BACKGROUND,
    Spot.BACKGROUND: Spot.FOREGROUND,
}
SURE, POSSIBLE = 0.36, 0.52
"""A thing whose centre is within the first share of the picture's side is surely on that side; beyond the second it is
surely not."""
NEAR, FAR = 0.85, 0.66
"""Base lines from and up to which a standing thing is surely in the foreground or background."""


def with_spots(scene: Composition, relations: Relations) -> Relations:
    """The relations of a scene, with the truth of spots (arrays [n]) and of `Among.BETWEEN` ([n, n, n])."""
    n = len(scene.segments)
    surely = {spot: np.zeros(n, bool) for spot in Spot}
    possibly = {spot: np.zeros(n, bool) for spot in Spot}
    side = scene.image.shape[0]
    bases = [scene.segments[i].base / side for i in scene.things if _stands(scene.segments[i])]
    for i in scene.things:
        segment = scene.segments[i]
        x0, y0, x1, y1 = (edge / side for edge in segment.box)
        x, y, base = (x0 + x1) / 2, (y0 + y1) / 2, segment.base / side
        for spot, share in ((Spot.LEFT, x), (Spot.RIGHT, 1 - x), (Spot.TOP, y), (Spot.BOTTOM, 1 - y)):
            surely[spot][i], possibly[spot][i] = share <= SURE, share < POSSIBLE
        stands = _stands(segment)
        surely[Spot.FOREGROUND][i] = stands and base >= max(NEAR, max(bases) - 0.02)
        possibly[Spot.FOREGROUND][i] = not stands or base > FAR
        surely[Spot.BACKGROUND][i] = stands and base <= min(FAR, max(bases) - 0.12)
        possibly[Spot.BACKGROUND][i] = not stands or base < NEAR
    for truth, links in ((surely, relations.surely), (possibly, relations.possibly)):
        left = links[Link.LEFT_OF]
        onwards = left.T[:, :, None] & left[:, None, :]  # the second is left of the first, which is left of the third
        truth[Among.BETWEEN] = onwards | onwards.swapaxes(1, 2)
    return Relations({**relations.surely, **surely}, {**relations.possibly, **possibly})


def _stands(segment: Segment) -> bool:
    return segment.place not in (None, Place.AIR, Place.WALL)
