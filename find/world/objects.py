"""How household and play things are drawn, in frames whose longest side is 1."""

from __future__ import annotations

import math

from find.world.pen import Ink, Pen


def bench(pen: Pen) -> None:
    for x in (0.12, 0.88):
        pen.bar(x, 0.05, x, 0.56, 0.06, Ink.BLACK)
    for y in (0.02, 0.15):
        pen.box(0.0, y, 1.0, y + 0.11)
    pen.polygon([(0.04, 0.32), (0.96, 0.32), (1.0, 0.42), (0.0, 0.42)])
    for x in (0.06, 0.94):
        pen.bar(x, 0.42, x, 0.6, 0.06, Ink.BLACK)


def umbrella(pen: Pen) -> None:
    pen.bar(0.5, 0.0, 0.5, 0.88, 0.04, Ink.WOOD)
    pen.path([(0.5, 0.86), (0.53, 0.94), (0.6, 0.95), (0.63, 0.88)], 0.045, Ink.WOOD)
    dome = [(0.5 - 0.5 * math.cos(t), 0.5 - 0.45 * math.sin(t)) for t in (k * math.pi / 12 for k in range(13))]
    scallops = [(1.0 - k / 8, 0.5 - (0.06 if k % 2 else 0.0)) for k in range(1, 8)]
    pen.polygon(dome + scallops)
    for x in (0.25, 0.75):
        pen.bar(0.5, 0.06, x, 0.49, 0.015, Ink.EDGE, edge=False)


def sports_ball(pen: Pen) -> None:
    pen.oval(0.5, 0.5, 0.5, 0.5)
    pen.polygon([
        (0.5 + 0.17 * math.cos(t), 0.5 + 0.17 * math.sin(t)) for t in (k * 2 * math.pi / 5 + 0.3 for k in range(5))
    ], Ink.WHITE)  # fmt: skip
    for k in range(5):
        t = k * 2 * math.pi / 5 + 0.3
        c, s = math.cos(t), math.sin(t)
        pen.bar(0.5 + 0.17 * c, 0.5 + 0.17 * s, 0.5 + 0.36 * c, 0.5 + 0.36 * s, 0.04, Ink.WHITE, edge=False)
        near, far = (t - 0.3, 0.35), (t, 0.48)
        wedge = [near, (t - 0.28, 0.485), far, (t + 0.28, 0.485), (t + 0.3, 0.35)]
        pen.polygon([(0.5 + r * math.cos(a), 0.5 + r * math.sin(a)) for a, r in wedge], Ink.WHITE, edge=False)


def kite(pen: Pen) -> None:
    lift = pen.pose.lift * 0.06
    tail = [(0.35, 0.6), (0.31 + lift, 0.7), (0.38 - lift, 0.8), (0.31 + lift, 0.9), (0.36, 0.98)]
    pen.path(tail, 0.025, Ink.BLACK)
    for x, y in tail[1:4]:
        pen.polygon([(x - 0.07, y - 0.035), (x + 0.07, y + 0.035), (x + 0.07, y - 0.035), (x - 0.07, y + 0.035)])
    pen.polygon([(0.35, 0.0), (0.7, 0.26), (0.35, 0.64), (0.0, 0.26)])
    pen.polygon([(0.35, 0.0), (0.7, 0.26), (0.35, 0.26)], Ink.LIGHT)
    pen.polygon([(0.0, 0.26), (0.35, 0.26), (0.35, 0.64)], Ink.LIGHT)


def bottle(pen: Pen) -> None:
    pen.box(0.12, 0.0, 0.25, 0.09, Ink.GREY)
    pen.polygon([
        (0.135, 0.08), (0.235, 0.08), (0.24, 0.28), (0.36, 0.42), (0.37, 0.97), (0.34, 1.0), (0.03, 1.0), (0.0, 0.97),
        (0.01, 0.42), (0.13, 0.28),
    ])  # fmt: skip
    pen.box(0.0, 0.56, 0.37, 0.76, Ink.WHITE)
    pen.bar(0.07, 0.46, 0.07, 0.54, 0.03, Ink.WHITE, edge=False)


def cup(pen: Pen) -> None:
    pen.oval(0.76, 0.46, 0.23, 0.24)
    pen.oval(0.76, 0.46, 0.12, 0.13, Ink.NONE, edge=False)
    pen.polygon([(0.0, 0.1), (0.76, 0.1), (0.7, 0.84), (0.06, 0.84)])
    pen.oval(0.38, 0.1, 0.38, 0.1, Ink.LIGHT)
    pen.oval(0.38, 0.11, 0.31, 0.065, Ink.WOOD)


def chair(pen: Pen) -> None:
    for x in (0.16, 0.5):
        pen.bar(x, 0.6, x, 0.9, 0.06, Ink.WOOD)
    pen.box(0.06, 0.0, 0.13, 0.6, Ink.WOOD)
    pen.box(0.5, 0.0, 0.57, 0.6, Ink.WOOD)
    pen.box(0.08, 0.03, 0.55, 0.42, cut=0.04)
    pen.polygon([(0.08, 0.5), (0.55, 0.5), (0.63, 0.66), (0.0, 0.66)])
    for x in (0.04, 0.59):
        pen.bar(x, 0.66, x, 1.0, 0.07, Ink.WOOD)


def couch(pen: Pen) -> None:
    for x in (0.1, 0.9):
        pen.box(x - 0.04, 0.5, x + 0.04, 0.58, Ink.WOOD)
    pen.box(0.1, 0.0, 0.9, 0.4, cut=0.06)
    pen.bar(0.5, 0.02, 0.5, 0.3, 0.015, Ink.EDGE, edge=False)
    pen.box(0.12, 0.27, 0.5, 0.4, Ink.LIGHT, cut=0.03)
    pen.box(0.5, 0.27, 0.88, 0.4, Ink.LIGHT, cut=0.03)
    pen.box(0.06, 0.38, 0.94, 0.52)
    for x in (0.0, 0.84):
        pen.box(x, 0.16, x + 0.16, 0.52, cut=0.05)


def potted_plant(pen: Pen) -> None:
    sway = pen.pose.lift * 0.05
    pen.bar(0.35, 0.25, 0.35, 0.62, 0.03, Ink.LEAF, edge=False)
    for x, y, turn in ((0.14, 0.38, 0.7), (0.56, 0.38, -0.7), (0.2, 0.18, 1.0), (0.5, 0.18, -1.0)):
        pen.oval(x + sway, y, 0.2, 0.085, Ink.LEAF, turn=turn)
    pen.oval(0.35 + sway, 0.16, 0.085, 0.16, Ink.LEAF)
    pen.polygon([(0.08, 0.64), (0.62, 0.64), (0.54, 1.0), (0.16, 1.0)])
    pen.box(0.03, 0.56, 0.67, 0.68)


def clock(pen: Pen) -> None:
    for side in (-1, 1):
        pen.bar(0.45 + side * 0.24, 0.82, 0.45 + side * 0.34, 1.0, 0.1, Ink.BLACK)
        pen.oval(0.45 + side * 0.26, 0.12, 0.15, 0.11, Ink.AMBER, turn=side * 0.6)
    pen.bar(0.45, 0.02, 0.45, 0.2, 0.08, Ink.BLACK)
    pen.oval(0.45, 0.55, 0.42, 0.42)
    pen.oval(0.45, 0.55, 0.27, 0.27, Ink.WHITE)
    for k in range(4):
        c, s = math.cos(k * math.pi / 2), math.sin(k * math.pi / 2)
        pen.bar(0.45 + 0.2 * c, 0.55 + 0.2 * s, 0.45 + 0.25 * c, 0.55 + 0.25 * s, 0.04, Ink.BLACK, edge=False)
    hour = pen.pose.lift * math.pi
    pen.bar(0.45, 0.55, 0.45 + 0.14 * math.cos(hour), 0.55 + 0.14 * math.sin(hour), 0.06, Ink.BLACK, edge=False)
    pen.bar(0.45, 0.55, 0.45 + 0.02, 0.55 - 0.21, 0.045, Ink.BLACK, edge=False)


def vase(pen: Pen) -> None:
    for side in (-1, 1):
        pen.path(
            [
                (0.35 + side * 0.1, 0.2),
                (0.35 + side * 0.28, 0.22),
                (0.35 + side * 0.31, 0.38),
                (0.35 + side * 0.2, 0.48),
            ],
            0.055,
            Ink.DARK,
        )
    outline = [(0.17, 0.02), (0.25, 0.14), (0.23, 0.28), (0.05, 0.5), (0.07, 0.7), (0.22, 0.9), (0.18, 1.0)]
    pen.polygon(outline + [(0.7 - x, y) for x, y in reversed(outline)])
    pen.box(0.15, 0.0, 0.55, 0.06, Ink.LIGHT)
    pen.polygon([(0.09, 0.44), (0.61, 0.44), (0.64, 0.5), (0.06, 0.5)], Ink.LIGHT)
    pen.polygon([(0.19, 0.93), (0.51, 0.93), (0.52, 1.0), (0.18, 1.0)], Ink.DARK)
