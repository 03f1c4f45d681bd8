"""Line charts as inline SVG, without a library or scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 420, 250
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 10, 32


@dataclass(frozen=True)
class Line:
    """A named curve; y in percent."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: str
    dash: str = ""


def line_chart(lines: Sequence[Line], axis: str) -> Markup:
    """The lines over a common x axis, which `axis` names; y runs from 0 to 100 %."""
    low, high = min(line.x[0] for line in lines), max(line.x[-1] for line in lines)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - low) / (high - low or 1)
        return LEFT + across * (WIDTH - LEFT - RIGHT), TOP + (1 - y / 100) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(axis)}">']
    for y in (0, 25, 50, 75, 100):
        (x0, height), (x1, _) = place(low, y), place(high, y)
        parts.append(f'<line x1="{x0:.1f}" x2="{x1:.1f}" y1="{height:.1f}" y2="{height:.1f}" stroke="#e2e6ed"/>')
        parts.append(f'<text x="{x0 - 6:.1f}" y="{height + 4:.1f}" text-anchor="end">{y}</text>')
    for x in _ticks(low, high):
        across, bottom = place(x, 0)
        parts.append(f'<text x="{across:.1f}" y="{bottom + 15:.1f}" text-anchor="middle">{x:g}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 2}" text-anchor="middle">{escape(axis)}</text>')
    for line in lines:
        points = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in zip(line.x, line.y, strict=True))
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{escape(line.color)}" stroke-width="2" '
            f'stroke-linejoin="round"{dash}><title>{escape(line.name)}</title></polyline>'
        )
    return Markup("".join(parts) + "</svg>")


def _ticks(low: float, high: float) -> list[float]:
    if high <= 1:
        return [0, 0.25, 0.5, 0.75, 1]
    return [tick for tick in (1, 5, 10, 20, 30, 40, 50) if low <= tick <= high]
