"""Draws the parts of one thing in ink indices, so that the exact mask, the pattern and the colours can follow later."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from PIL import Image, ImageDraw

Point = tuple[float, float]

_CIRCLE = tuple((math.cos(2 * math.pi * k / 20), math.sin(2 * math.pi * k / 20)) for k in range(20))


class Ink(IntEnum):
    """What a pixel of a drawing is made of; NONE is outside the thing."""

    NONE = 0
    MAIN = 1  # the colour that the thing is named by; patterns lie on it
    DARK = 2
    LIGHT = 3
    TRIM = 4  # the stripes and spots
    EDGE = 5
    BLACK = 6
    WHITE = 7
    GREY = 8
    SKIN = 9
    WOOD = 10
    LEAF = 11
    GLASS = 12
    RED = 13
    AMBER = 14
    LIME = 15
    NAVY = 16
    ROSE = 17


@dataclass(frozen=True)
class Pose:
    """How one thing stands: a turn in radians, mirrored or not, and two free limbs in [-1, 1]."""

    mirror: bool
    turn: float
    swing: float
    lift: float


class Pen:
    """Draws in the thing's own frame (x right, y down, longest side 1) on a canvas of ink indices.

    Args:
        width, height: sides of the thing's frame.
        scale: canvas pixels a frame unit.
        pose: mirror and turn of the whole frame; limbs are read by the drawing functions.
    """

    def __init__(self, *, width: float, height: float, scale: float, pose: Pose) -> None:
        self.pose = pose
        reach = math.hypot(width, height) * scale
        side = math.ceil(reach * 1.25) + 4
        self.canvas = Image.new("L", (side, side), 0)
        self._draw = ImageDraw.Draw(self.canvas)
        cos, sin = math.cos(pose.turn) * scale, math.sin(pose.turn) * scale
        flip = -1.0 if pose.mirror else 1.0
        self._matrix = (cos * flip, -sin, sin * flip, cos)
        self._centre = (width / 2, height / 2)
        self._middle = side / 2

    def polygon(self, points: Sequence[Point], ink: Ink = Ink.MAIN, *, edge: bool = True) -> None:
        """Fills a polygon; `edge` adds the thin darker outline that keeps parts apart."""
        a, b, c, d = self._matrix
        (cx, cy), m = self._centre, self._middle
        placed = [(a * (x - cx) + b * (y - cy) + m, c * (x - cx) + d * (y - cy) + m) for x, y in points]
        self._draw.polygon(placed, fill=int(ink), outline=int(Ink.EDGE if edge else ink))

    def oval(
        self, x: float, y: float, rx: float, ry: float, ink: Ink = Ink.MAIN, *, turn: float = 0.0, edge: bool = True
    ) -> None:
        """Fills an ellipse of centre (x, y) and half-axes (rx, ry), turned by `turn` radians."""
        c, s = math.cos(turn), math.sin(turn)
        points = [(x + u * rx * c - v * ry * s, y + u * rx * s + v * ry * c) for u, v in _CIRCLE]
        self.polygon(points, ink, edge=edge)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, ink: Ink = Ink.MAIN, *, cut: float = 0.0, edge: bool = True
    ) -> None:
        """Fills a rectangle whose corners are cut by `cut`."""
        if cut:
            points = [
                (x0 + cut, y0), (x1 - cut, y0), (x1, y0 + cut), (x1, y1 - cut),
                (x1 - cut, y1), (x0 + cut, y1), (x0, y1 - cut), (x0, y0 + cut),
            ]  # fmt: skip
        else:
            points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        self.polygon(points, ink, edge=edge)

    def bar(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        width: float,
        ink: Ink = Ink.MAIN,
        *,
        end: float | None = None,
        edge: bool = True,
    ) -> None:
        """Fills a straight limb from (x0, y0) to (x1, y1), `width` thick at its start and `end` at its end."""
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        nx, ny = -(y1 - y0) / length / 2, (x1 - x0) / length / 2
        w, e = width, width if end is None else end
        points = [
            (x0 + nx * w, y0 + ny * w), (x1 + nx * e, y1 + ny * e),
            (x1 - nx * e, y1 - ny * e), (x0 - nx * w, y0 - ny * w),
        ]  # fmt: skip
        self.polygon(points, ink, edge=edge)

    def path(self, points: Sequence[Point], width: float, ink: Ink = Ink.MAIN, *, end: float | None = None) -> None:
        """Fills a bent limb along `points`, tapering from `width` to `end`."""
        last = width if end is None else end
        n = len(points) - 1
        for k in range(n):
            (x0, y0), (x1, y1) = points[k], points[k + 1]
            a, b = width + (last - width) * k / n, width + (last - width) * (k + 1) / n
            self.oval(x1, y1, b / 2, b / 2, ink, edge=False)
            self.bar(x0, y0, x1, y1, a, ink, end=b, edge=False)
