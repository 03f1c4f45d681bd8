"""How vehicles and street furniture are drawn, facing right, in frames whose longest side is 1."""

from __future__ import annotations

import math

from find.world.pen import Ink, Pen


def _wheel(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.oval(x, y, radius, radius, Ink.BLACK)
    pen.oval(x, y, radius * 0.45, radius * 0.45, Ink.GREY, edge=False)


def bicycle(pen: Pen) -> None:
    for x in (0.2, 0.8):
        pen.oval(x, 0.44, 0.2, 0.2, Ink.BLACK)
        pen.oval(x, 0.44, 0.145, 0.145, Ink.WHITE, edge=False)
        for k in range(3):
            c, s = math.cos(k * 1.05) * 0.14, math.sin(k * 1.05) * 0.14
            pen.bar(x - c, 0.44 - s, x + c, 0.44 + s, 0.015, Ink.GREY, edge=False)
    for x0, y0, x1, y1 in (
        (0.2, 0.44, 0.36, 0.16), (0.36, 0.16, 0.7, 0.16), (0.36, 0.16, 0.46, 0.44),
        (0.2, 0.44, 0.46, 0.44), (0.46, 0.44, 0.7, 0.16), (0.68, 0.06, 0.8, 0.44),
    ):  # fmt: skip
        pen.bar(x0, y0, x1, y1, 0.075, edge=False)
    pen.bar(0.34, 0.07, 0.38, 0.16, 0.05, edge=False)
    pen.box(0.25, 0.03, 0.44, 0.09, Ink.BLACK)
    pen.bar(0.68, 0.05, 0.82, 0.02, 0.05, Ink.BLACK)
    pen.oval(0.46, 0.44, 0.05, 0.05, Ink.BLACK)


def car(pen: Pen) -> None:
    pen.polygon([(0.2, 0.24), (0.3, 0.03), (0.62, 0.03), (0.78, 0.24)])
    pen.polygon([(0.26, 0.22), (0.33, 0.07), (0.45, 0.07), (0.45, 0.22)], Ink.GLASS)
    pen.polygon([(0.49, 0.22), (0.49, 0.07), (0.6, 0.07), (0.71, 0.22)], Ink.GLASS)
    pen.polygon([(0.02, 0.28), (0.08, 0.22), (0.8, 0.22), (0.96, 0.28), (1, 0.4), (0.97, 0.42), (0.02, 0.42)])
    pen.box(0.93, 0.28, 0.99, 0.34, Ink.AMBER, edge=False)
    pen.box(0.01, 0.28, 0.05, 0.34, Ink.RED, edge=False)
    _wheel(pen, 0.24, 0.41, 0.1)
    _wheel(pen, 0.77, 0.41, 0.1)


def bus(pen: Pen) -> None:
    pen.box(0.0, 0.0, 1.0, 0.5, cut=0.05)
    for x in (0.06, 0.22, 0.38, 0.54):
        pen.box(x, 0.07, x + 0.13, 0.23, Ink.GLASS)
    pen.box(0.7, 0.07, 0.82, 0.48, Ink.GLASS)
    pen.bar(0.76, 0.07, 0.76, 0.48, 0.02, Ink.BLACK, edge=False)
    pen.box(0.86, 0.07, 1.0, 0.26, Ink.GLASS)
    pen.box(0.94, 0.36, 1.0, 0.42, Ink.AMBER, edge=False)
    _wheel(pen, 0.2, 0.5, 0.095)
    _wheel(pen, 0.6, 0.5, 0.095)


def train(pen: Pen) -> None:
    pen.box(0.02, 0.46, 0.9, 0.54, Ink.BLACK)
    pen.box(0.03, 0.06, 0.36, 0.48)
    pen.box(0.0, 0.0, 0.4, 0.07, Ink.DARK)
    pen.box(0.09, 0.12, 0.29, 0.26, Ink.GLASS)
    pen.box(0.34, 0.2, 0.88, 0.48, cut=0.05)
    pen.polygon([(0.7, 0.2), (0.68, 0.02), (0.84, 0.02), (0.81, 0.2)], Ink.BLACK)
    pen.oval(0.53, 0.2, 0.07, 0.06, Ink.AMBER)
    pen.oval(0.89, 0.34, 0.05, 0.07, Ink.AMBER)
    pen.polygon([(0.88, 0.48), (0.88, 0.64), (1.0, 0.64)], Ink.GREY)
    for x, r in ((0.14, 0.11), (0.38, 0.11), (0.59, 0.08), (0.77, 0.08)):
        pen.oval(x, 0.65 - r, r, r, Ink.BLACK)
        pen.oval(x, 0.65 - r, r * 0.5, r * 0.5, Ink.RED, edge=False)


def truck(pen: Pen) -> None:
    pen.box(0.0, 0.44, 0.98, 0.5, Ink.BLACK)
    pen.box(0.0, 0.0, 0.64, 0.45)
    pen.polygon([(0.67, 0.46), (0.67, 0.12), (0.86, 0.12), (0.94, 0.28), (1.0, 0.31), (1.0, 0.46)], Ink.DARK)
    pen.polygon([(0.73, 0.28), (0.73, 0.16), (0.84, 0.16), (0.9, 0.28)], Ink.GLASS)
    for x in (0.13, 0.34, 0.82):
        _wheel(pen, x, 0.5, 0.095)


def boat(pen: Pen) -> None:
    pen.bar(0.5, 0.0, 0.5, 0.7, 0.045, Ink.WOOD)
    pen.polygon([(0.54, 0.03), (0.54, 0.6), (0.95, 0.6)])
    pen.polygon([(0.46, 0.12), (0.46, 0.6), (0.14, 0.6)], Ink.WHITE)
    pen.polygon([(0.0, 0.66), (1.0, 0.66), (0.84, 0.9), (0.16, 0.9)])
    pen.polygon([(0.0, 0.66), (1.0, 0.66), (0.965, 0.71), (0.035, 0.71)], Ink.WHITE, edge=False)


def airplane(pen: Pen) -> None:
    pen.polygon([(0.05, 0.02), (0.17, 0.02), (0.3, 0.24), (0.08, 0.26)], Ink.DARK)
    pen.polygon([(0.42, 0.24), (0.3, 0.06), (0.38, 0.06), (0.6, 0.24)], Ink.DARK)
    pen.polygon([
        (0.04, 0.18), (0.2, 0.21), (0.85, 0.18), (0.96, 0.23), (1.0, 0.29), (0.94, 0.34), (0.8, 0.37), (0.3, 0.36),
        (0.1, 0.28),
    ])  # fmt: skip
    pen.polygon([(0.84, 0.2), (0.93, 0.22), (0.97, 0.26), (0.85, 0.26)], Ink.GLASS)
    for x in (0.3, 0.41, 0.52, 0.63, 0.74):
        pen.oval(x, 0.26, 0.025, 0.025, Ink.GLASS, edge=False)
    pen.polygon([(0.66, 0.31), (0.44, 0.31), (0.2, 0.54), (0.32, 0.54)], Ink.DARK)
    pen.oval(0.44, 0.45, 0.06, 0.03, Ink.GREY)


def traffic_light(pen: Pen) -> None:
    pen.box(0.13, 0.6, 0.23, 1.0, Ink.GREY)
    pen.box(0.0, 0.0, 0.36, 0.68, cut=0.06)
    for y, ink in ((0.13, Ink.RED), (0.34, Ink.AMBER), (0.55, Ink.LIME)):
        pen.oval(0.18, y, 0.09, 0.09, Ink.BLACK, edge=False)
        pen.oval(0.18, y, 0.07, 0.07, ink, edge=False)


def stop_sign(pen: Pen) -> None:
    pen.box(0.27, 0.55, 0.35, 1.0, Ink.GREY)
    for radius, ink in ((0.34, Ink.WHITE), (0.29, Ink.MAIN)):
        turns = [math.pi / 8 + k * math.pi / 4 for k in range(8)]
        pen.polygon([(0.31 + radius * math.cos(t), 0.33 + radius * math.sin(t)) for t in turns], ink)
    pen.box(0.1, 0.27, 0.52, 0.39, Ink.WHITE)
    for x in (0.17, 0.25, 0.33, 0.41):
        pen.box(x, 0.295, x + 0.045, 0.365, Ink.BLACK, edge=False)
