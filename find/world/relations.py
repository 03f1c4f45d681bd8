"""Which relations hold between the segments of a scene: surely, possibly, or surely not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from find.world.composition import Composition, Segment
from find.world.kinds import Place


class Link(Enum):
    """How a first segment stands to a second one, as the viewer sees it."""

    NEXT_TO = "next to"
    LEFT_OF = "left of"
    RIGHT_OF = "right of"
    ABOVE = "above"
    BELOW = "below"
    IN_FRONT_OF = "in front of"
    BEHIND = "behind"
    ON = "on"  # rests on, floats on, hangs on or flies in a kind of stuff


OPPOSITE = {
    Link.LEFT_OF: Link.RIGHT_OF,
    Link.RIGHT_OF: Link.LEFT_OF,
    Link.ABOVE: Link.BELOW,
    Link.BELOW: Link.ABOVE,
    Link.IN_FRONT_OF: Link.BEHIND,
    Link.BEHIND: Link.IN_FRONT_OF,
}


@dataclass(frozen=True)
class Relations:
    """Truth of all links: `surely[link][i, j]` is what a sentence may claim of segments i and j of a scene,
    and only where `possibly[link][i, j]` is False may a sentence that claims it be called wrong.
    """

    surely: dict[Link, np.ndarray]
    possibly: dict[Link, np.ndarray]


def relations(scene: Composition) -> Relations:
    """Reads every link from boxes, depth and masks."""
    n, side = len(scene.segments), scene.image.shape[0]
    surely = {link: np.zeros((n, n), bool) for link in Link}
    possibly = {link: np.zeros((n, n), bool) for link in Link}
    for i in scene.things:
        for j in scene.things:
            if i != j:
                _between_things(scene, i, j, side, surely, possibly)
        for j in scene.stuff:
            _with_stuff(scene, i, j, surely, possibly)
    for there, back in ((Link.LEFT_OF, Link.RIGHT_OF), (Link.ABOVE, Link.BELOW), (Link.IN_FRONT_OF, Link.BEHIND)):
        surely[back], possibly[back] = surely[there].T.copy(), possibly[there].T.copy()
    for truth in (surely, possibly):  # things stand before stuff, never the other way round in words
        for link in (Link.IN_FRONT_OF, Link.BEHIND):
            truth[link][list(scene.stuff), :] = False
    return Relations(surely, possibly)


def _stands(segment: Segment) -> bool:
    return segment.place not in (Place.AIR, Place.WALL)


def _between_things(
    scene: Composition, i: int, j: int, side: int, surely: dict[Link, np.ndarray], possibly: dict[Link, np.ndarray]
) -> None:
    a, b = scene.segments[i], scene.segments[j]
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.box, b.box
    dx = ((bx0 + bx1) - (ax0 + ax1)) / 2 / side
    dy = ((by0 + by1) - (ay0 + ay1)) / 2 / side
    across = min(ax1, bx1) - max(ax0, bx0)  # shared columns; negative: the gap
    along = min(ay1, by1) - max(ay0, by0)  # shared rows
    narrow, low = min(ax1 - ax0, bx1 - bx0), min(ay1 - ay0, by1 - by0)

    surely[Link.LEFT_OF][i, j] = across <= 0.15 * narrow and dx > 1.2 * abs(dy)
    possibly[Link.LEFT_OF][i, j] = dx > -0.03
    surely[Link.NEXT_TO][i, j] = (
        _stands(a) == _stands(b) and 0.15 * narrow >= across >= -0.1 * side and along >= 0.5 * low
    )
    possibly[Link.NEXT_TO][i, j] = across >= -0.28 * side and along >= -0.12 * side
    surely[Link.ABOVE][i, j] = not _stands(a) and across >= 0.4 * narrow and along <= 0.02 * side and dy > 0
    possibly[Link.ABOVE][i, j] = dy > -0.03 and across >= -0.15 * side
    nearer = a.order > b.order
    hides = scene.overlaps[i, j]
    surely[Link.IN_FRONT_OF][i, j] = nearer and hides >= 0.05 and _stands(a) and _stands(b)
    possibly[Link.IN_FRONT_OF][i, j] = (nearer and hides > 0) or (
        a.base > b.base - 0.02 * side and across > -0.06 * side
    )


def _with_stuff(
    scene: Composition, i: int, j: int, surely: dict[Link, np.ndarray], possibly: dict[Link, np.ndarray]
) -> None:
    thing, stuff = scene.segments[i], scene.segments[j]
    rests = thing.support is stuff.kind
    surely[Link.ON][i, j] = possibly[Link.ON][i, j] = rests
    if stuff.kind.upright and not rests:
        surely[Link.IN_FRONT_OF][i, j] = _stands(thing) and scene.backing[i, j] >= 0.4
        possibly[Link.IN_FRONT_OF][i, j] = scene.backing[i, j] > 0.02
