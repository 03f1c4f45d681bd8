"""How people and animals are drawn, facing right, in frames whose longest side is 1."""

from __future__ import annotations

import math

from find.world.pen import Ink, Pen


def _legs(pen: Pen, xs: tuple[float, ...], top: float, bottom: float, width: float, ink: Ink = Ink.MAIN) -> None:
    """Straight legs that swing in turn; every second one is the darker far leg, drawn first."""
    swing = pen.pose.swing * 0.05
    for k in (1, 3, 0, 2):
        far = k % 2 == 1
        shift = swing if k in (0, 3) else -swing
        shade = Ink.DARK if far and ink == Ink.MAIN else ink
        pen.bar(xs[k], top, xs[k] + shift, bottom, width * 1.15, shade, end=width * 0.85)


def person(pen: Pen) -> None:
    swing, lift = pen.pose.swing * 0.06, pen.pose.lift
    pen.bar(0.17, 0.58, 0.14 - swing, 0.96, 0.12, Ink.NAVY, end=0.09)
    pen.bar(0.27, 0.58, 0.3 + swing, 0.96, 0.12, Ink.NAVY, end=0.09)
    pen.box(0.08 - swing, 0.95, 0.2 - swing, 1.0, Ink.BLACK, edge=False)
    pen.box(0.24 + swing, 0.95, 0.38 + swing, 1.0, Ink.BLACK, edge=False)
    for side in (-1, 1):
        hand = (0.22 + side * 0.2, 0.42 - 0.16 * lift if side == 1 else 0.52)
        pen.bar(0.22 + side * 0.11, 0.28, *hand, 0.09, end=0.08)
        pen.oval(*hand, 0.04, 0.04, Ink.SKIN, edge=False)
    pen.polygon([(0.08, 0.27), (0.15, 0.22), (0.29, 0.22), (0.36, 0.27), (0.35, 0.62), (0.09, 0.62)])
    pen.oval(0.22, 0.115, 0.095, 0.11, Ink.SKIN)
    pen.polygon([(0.115, 0.12), (0.13, 0.03), (0.22, 0.0), (0.31, 0.03), (0.325, 0.11), (0.27, 0.07)], Ink.WOOD)


def bird(pen: Pen) -> None:
    lift = pen.pose.lift * 0.12
    pen.bar(0.45, 0.5, 0.42, 0.66, 0.03, Ink.AMBER, edge=False)
    pen.bar(0.55, 0.5, 0.56, 0.66, 0.03, Ink.AMBER, edge=False)
    pen.polygon([(0.32, 0.36), (0.0, 0.26), (0.03, 0.42), (0.3, 0.48)], Ink.DARK)
    pen.polygon([(0.88, 0.14), (1.0, 0.2), (0.87, 0.25)], Ink.AMBER)
    pen.oval(0.5, 0.4, 0.28, 0.17)
    pen.oval(0.76, 0.19, 0.15, 0.14)
    pen.polygon([(0.62, 0.32), (0.5, 0.26), (0.14, 0.1 - lift), (0.22, 0.3), (0.42, 0.48)], Ink.DARK)
    pen.oval(0.8, 0.16, 0.035, 0.035, Ink.WHITE)
    pen.oval(0.81, 0.16, 0.02, 0.02, Ink.BLACK, edge=False)


def cat(pen: Pen) -> None:
    lift = pen.pose.lift * 0.08
    pen.path([(0.22, 0.92), (0.06, 0.84), (0.04, 0.66), (0.13 + lift, 0.5)], 0.09, Ink.DARK, end=0.07)
    pen.polygon([(0.24, 0.46), (0.56, 0.46), (0.66, 0.75), (0.66, 0.97), (0.14, 0.97), (0.14, 0.75)])
    pen.oval(0.24, 0.86, 0.13, 0.13)
    for x in (0.43, 0.57):
        pen.bar(x, 0.66, x, 0.96, 0.1, end=0.1)
        pen.oval(x, 0.97, 0.065, 0.03, Ink.WHITE, edge=False)
    for x in (0.24, 0.64):
        out = -0.04 if x < 0.4 else 0.04
        pen.polygon([(x - 0.09, 0.2), (x + out, 0.0), (x + 0.09, 0.16)])
        pen.polygon([(x - 0.04, 0.18), (x + out * 0.7, 0.06), (x + 0.04, 0.16)], Ink.ROSE, edge=False)
    pen.oval(0.44, 0.3, 0.24, 0.2)
    for x in (0.35, 0.53):
        pen.oval(x, 0.27, 0.045, 0.05, Ink.LIME)
        pen.oval(x, 0.27, 0.018, 0.045, Ink.BLACK, edge=False)
    pen.oval(0.44, 0.39, 0.1, 0.06, Ink.WHITE, edge=False)
    pen.polygon([(0.41, 0.35), (0.47, 0.35), (0.44, 0.39)], Ink.ROSE, edge=False)


def dog(pen: Pen) -> None:
    lift = pen.pose.lift * 0.1
    pen.path([(0.1, 0.38), (0.03, 0.24), (0.04 + lift, 0.08)], 0.09, end=0.05)
    _legs(pen, (0.16, 0.27, 0.56, 0.66), 0.5, 0.79, 0.1)
    pen.polygon([(0.06, 0.38), (0.14, 0.32), (0.6, 0.31), (0.72, 0.4), (0.66, 0.56), (0.3, 0.52), (0.14, 0.57)])
    pen.polygon([(0.52, 0.36), (0.6, 0.16), (0.78, 0.24), (0.72, 0.5)])
    pen.box(0.74, 0.17, 0.99, 0.32, cut=0.04)
    pen.oval(0.7, 0.19, 0.14, 0.14)
    pen.oval(0.97, 0.19, 0.04, 0.04, Ink.BLACK, edge=False)
    pen.polygon([(0.55, 0.08), (0.66, 0.06), (0.65, 0.36), (0.55, 0.4), (0.5, 0.24)], Ink.DARK)
    pen.oval(0.76, 0.15, 0.03, 0.03, Ink.BLACK, edge=False)
    pen.bar(0.6, 0.37, 0.74, 0.42, 0.05, Ink.RED, edge=False)


def horse(pen: Pen) -> None:
    lift = pen.pose.lift * 0.05
    pen.path([(0.1, 0.42), (0.01, 0.52), (0.02, 0.76)], 0.1, Ink.BLACK, end=0.06)
    _legs(pen, (0.15, 0.25, 0.57, 0.66), 0.54, 0.95, 0.09)
    pen.polygon([(0.06, 0.42), (0.14, 0.35), (0.4, 0.38), (0.64, 0.34), (0.72, 0.46), (0.66, 0.62), (0.16, 0.6)])
    pen.polygon([(0.5, 0.38), (0.66, 0.1 - lift), (0.8, 0.12 - lift), (0.8, 0.22), (0.72, 0.52)])
    pen.polygon([(0.7, 0.06 - lift), (0.82, 0.08 - lift), (1.0, 0.28 - lift), (0.94, 0.37 - lift), (0.72, 0.24)])
    pen.polygon([(0.7, 0.08 - lift), (0.72, -0.02 - lift), (0.78, 0.08 - lift)])
    pen.polygon(
        [(0.72, 0.0 - lift), (0.62, 0.06 - lift), (0.44, 0.32), (0.48, 0.44), (0.6, 0.3), (0.72, 0.1 - lift)], Ink.BLACK
    )
    pen.oval(0.81, 0.15 - lift, 0.025, 0.025, Ink.BLACK, edge=False)


def sheep(pen: Pen) -> None:
    _legs(pen, (0.24, 0.33, 0.58, 0.67), 0.5, 0.76, 0.075, Ink.BLACK)
    for x, y in ((0.2, 0.24), (0.4, 0.16), (0.6, 0.2), (0.14, 0.42), (0.3, 0.52), (0.52, 0.53), (0.68, 0.42)):
        pen.oval(x, y, 0.14, 0.14)
    pen.oval(0.42, 0.35, 0.32, 0.22, edge=False)
    pen.polygon([(0.72, 0.2), (0.62, 0.26), (0.72, 0.3)], Ink.BLACK)
    pen.polygon([(0.72, 0.16), (0.86, 0.14), (0.98, 0.36), (0.92, 0.44), (0.8, 0.42), (0.71, 0.28)], Ink.BLACK)
    pen.oval(0.76, 0.14, 0.1, 0.08)
    pen.oval(0.85, 0.25, 0.025, 0.025, Ink.WHITE, edge=False)


def cow(pen: Pen) -> None:
    lift = pen.pose.lift * 0.03
    pen.path([(0.05, 0.22), (0.0, 0.34), (0.02, 0.52)], 0.035, end=0.03)
    pen.oval(0.02, 0.54, 0.035, 0.05, Ink.BLACK, edge=False)
    pen.oval(0.28, 0.55, 0.09, 0.06, Ink.ROSE)
    _legs(pen, (0.11, 0.21, 0.53, 0.63), 0.48, 0.74, 0.095)
    pen.box(0.04, 0.18, 0.72, 0.54, cut=0.06)
    pen.polygon([(0.62, 0.2), (0.76, 0.12), (0.82, 0.36), (0.7, 0.48)])
    for x in (0.72, 0.88):
        out = -0.06 if x < 0.8 else 0.06
        pen.polygon([(x - 0.03, 0.12), (x + out, 0.0), (x + 0.04, 0.12)], Ink.WHITE)
    pen.oval(0.66, 0.19, 0.07, 0.035, Ink.DARK, turn=0.3)
    pen.oval(0.95, 0.18, 0.06, 0.035, Ink.DARK, turn=-0.3)
    pen.polygon([(0.7, 0.12 - lift), (0.9, 0.12 - lift), (0.93, 0.24), (0.92, 0.46), (0.74, 0.46), (0.7, 0.24)])
    pen.oval(0.83, 0.44, 0.125, 0.075, Ink.ROSE)
    for x in (0.79, 0.88):
        pen.oval(x, 0.43, 0.018, 0.025, Ink.BLACK, edge=False)
        pen.oval(x, 0.24, 0.02, 0.03, Ink.BLACK, edge=False)


def elephant(pen: Pen) -> None:
    lift = pen.pose.lift
    pen.path([(0.05, 0.3), (0.0, 0.42), (0.02, 0.52)], 0.035, Ink.DARK)
    _legs(pen, (0.15, 0.28, 0.5, 0.62), 0.5, 0.84, 0.14)
    pen.oval(0.37, 0.36, 0.34, 0.28)
    tip = [(0.95, 0.62 - 0.1 * lift), (1.0, 0.7 - 0.28 * lift)]
    pen.path([(0.84, 0.3), (0.92, 0.46), *tip], 0.15, end=0.07)
    pen.oval(0.77, 0.26, 0.18, 0.2)
    pen.polygon([(0.82, 0.42), (0.88, 0.42), (0.99, 0.52), (0.9, 0.52)], Ink.WHITE)
    pen.oval(0.6, 0.26, 0.15, 0.22, Ink.DARK, turn=0.15)
    pen.oval(0.83, 0.2, 0.025, 0.025, Ink.BLACK, edge=False)


def giraffe(pen: Pen) -> None:
    lift = pen.pose.lift * 0.03
    pen.path([(0.05, 0.5), (0.01, 0.58), (0.02, 0.68)], 0.03, Ink.BLACK)
    _legs(pen, (0.1, 0.17, 0.34, 0.41), 0.6, 1.0, 0.06)
    pen.polygon([(0.04, 0.53), (0.12, 0.48), (0.34, 0.43), (0.47, 0.5), (0.44, 0.66), (0.08, 0.66)])
    pen.polygon([(0.3, 0.48), (0.43 + lift, 0.08), (0.53 + lift, 0.1), (0.47, 0.58)])
    for x in (0.43, 0.48):
        pen.bar(x + lift, 0.08, x - 0.01 + lift, 0.01, 0.02, Ink.BLACK, edge=False)
        pen.oval(x - 0.01 + lift, 0.012, 0.018, 0.015, Ink.BLACK, edge=False)
    pen.polygon(
        [(0.42 + lift, 0.06), (0.53 + lift, 0.05), (0.68 + lift, 0.15), (0.65 + lift, 0.2), (0.44 + lift, 0.16)]
    )
    pen.oval(0.4 + lift, 0.09, 0.04, 0.02, Ink.DARK, turn=0.4)
    pen.oval(0.52 + lift, 0.1, 0.018, 0.018, Ink.BLACK, edge=False)
    for k in range(4):
        t = math.pi / 2 + k
        pen.oval(0.36 + 0.028 * k, 0.5 - 0.1 * k, 0.012, 0.02, Ink.DARK, turn=t, edge=False)
