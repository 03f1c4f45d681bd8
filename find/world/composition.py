"""Composes a laid-out scene into an image and its exact segments, and computes the geometry that sentences refer to."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from find.world.backdrop import Backdrop, paint
from find.world.drawing import SUPERSAMPLING, Look
from find.world.kinds import HELD_OUT, Kind, Place, Stuff
from find.world.layout import Placed, lay_out

LEAST_VISIBLE = 0.55
"""Smallest visible part of a thing's full area."""

_NOISE = np.random.default_rng(7).normal(0.0, 3.0, (1024, 1024, 1)).astype(np.float32)


@dataclass(frozen=True)
class Segment:
    """One visible region. Boxes are x0, y0, x1, y1 (exclusive) in pixels.

    Attributes:
        id: unique among all segments of a world of one seed and split; its PNG colour is R + 256 G + 65536 B.
        kind: the category.
        look: attributes; None for stuff.
        box: extent of the visible pixels.
        area: visible pixels.
        place: where a thing rests; None for stuff.
        support: the stuff a thing rests on, hangs on or flies in; None for stuff.
        base: the row of the line on which a thing stands, hidden or not.
        order: depth, larger is nearer.
    """

    id: int
    kind: Kind
    look: Look | None
    box: tuple[int, int, int, int]
    area: int
    place: Place | None = None
    support: Stuff | None = None
    base: int = 0
    order: int = -1

    @property
    def is_held_out(self) -> bool:
        """Whether its category and colour are a pair that train images never show."""
        return self.look is not None and (self.kind.name, self.look.colour.name) in HELD_OUT


@dataclass(frozen=True)
class Composition:
    """Image, segments and how they hide each other.

    Attributes:
        image: uint8 [H, W, 3].
        segment_map: int32 [H, W] of segment ids.
        segments: stuff first, then things from back to front.
        overlaps: [n, n] pixels shared by the full masks of two segments' things, as a part of the smaller one.
        backing: [n, n] part of thing i's pixels behind which stuff j would be seen.
    """

    image: np.ndarray
    segment_map: np.ndarray
    segments: tuple[Segment, ...]
    overlaps: np.ndarray
    backing: np.ndarray

    @property
    def things(self) -> tuple[int, ...]:
        return tuple(k for k, s in enumerate(self.segments) if s.look is not None)

    @property
    def stuff(self) -> tuple[int, ...]:
        return tuple(k for k, s in enumerate(self.segments) if s.look is None)


def _shadow(picture: Image.Image, spot: Placed, *, opacity: int) -> None:
    x0, _, x1, y1 = spot.box
    depth = max(2, (x1 - x0) // 9)
    shade = Image.new("L", (x1 - x0, depth * 2), 0)
    ImageDraw.Draw(shade).ellipse((0, 0, x1 - x0 - 1, depth * 2 - 1), fill=opacity)
    picture.paste((30, 30, 40), (x0, y1 - round(depth * 1.4)), shade)


def _majority(labels: np.ndarray) -> np.ndarray:
    """The label that most of each 2x2 block carries; the nearest one where two are even."""
    a, b = labels[0::2, 0::2], labels[0::2, 1::2]
    c, d = labels[1::2, 0::2], labels[1::2, 1::2]
    low, high = np.minimum(a, b), np.maximum(a, b)
    low2, high2 = np.minimum(c, d), np.maximum(c, d)
    first, rest = np.maximum(high, high2), np.minimum(high, high2)
    last, other = np.minimum(low, low2), np.maximum(low, low2)
    second, third = np.maximum(rest, other), np.minimum(rest, other)
    return np.where(first == second, first, np.where(second == third, second, np.where(third == last, third, first)))


def _full_mask(spot: Placed, side: int) -> np.ndarray:
    mask = Image.new("L", (side, side), 0)
    mask.paste(spot.sprite.mask, (spot.x, spot.y))
    return np.asarray(mask.reduce(SUPERSAMPLING)) > 127


def compose(*, image_side: int, held_out: bool, image_id: int, rng: random.Random) -> Composition:
    """Draws one scene; scenes that hide too much of a thing or of the background are laid out anew."""
    while True:
        setting, placed = lay_out(image_side=image_side, held_out=held_out, rng=rng)
        side = image_side * SUPERSAMPLING
        backdrop = paint(setting, side=side, rng=rng)
        composition = _render(backdrop, placed, image_side=image_side, image_id=image_id, rng=rng)
        if composition is not None:
            return composition


def _render(
    backdrop: Backdrop, placed: list[Placed], *, image_side: int, image_id: int, rng: random.Random
) -> Composition | None:
    picture, labels = backdrop.picture, backdrop.labels.copy()
    first = len(backdrop.stuff)
    for k, spot in enumerate(placed):
        if spot.surface.place not in (Place.AIR, Place.WALL):
            _shadow(picture, spot, opacity=70)
        picture.paste(spot.sprite.picture, (spot.x, spot.y), spot.sprite.mask)
        labels.paste(first + k + 1, (spot.x, spot.y), spot.sprite.mask)
    index = _majority(np.asarray(labels)).astype(np.int64) - 1
    behind = _majority(np.asarray(backdrop.labels)).astype(np.int64) - 1
    side = image_side * SUPERSAMPLING
    full = [_full_mask(spot, side) for spot in placed]

    count = first + len(placed)
    areas = np.bincount(index.ravel(), minlength=count)
    if areas[:first].min() < 0.012 * image_side**2:
        return None
    if any(areas[first + k] < LEAST_VISIBLE * mask.sum() for k, mask in enumerate(full)):
        return None

    ids = np.array([segment_id(image_id, k) for k in range(count)], dtype=np.int32)
    segments = []
    for k in range(count):
        rows, columns = np.flatnonzero((index == k).any(1)), np.flatnonzero((index == k).any(0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        if k < first:
            segments.append(Segment(int(ids[k]), backdrop.stuff[k], None, box, int(areas[k])))
        else:
            spot = placed[k - first]
            segments.append(
                Segment(
                    int(ids[k]), spot.look.thing, spot.look, box, int(areas[k]), spot.surface.place, spot.surface.stuff,
                    base=spot.box[3] // SUPERSAMPLING, order=k,
                )
            )  # fmt: skip

    overlaps, backing = np.zeros((count, count)), np.zeros((count, count))
    for i, a in enumerate(full):
        shown = index == first + i
        backing[first + i, :first] = np.bincount(behind[shown], minlength=first) / max(1, areas[first + i])
        for j in range(i):
            shared = np.count_nonzero(a & full[j]) / max(1, min(a.sum(), full[j].sum()))
            overlaps[first + i, first + j] = overlaps[first + j, first + i] = shared

    pixels = np.asarray(picture.reduce(SUPERSAMPLING), dtype=np.float32)
    x, y = rng.randrange(1024 - image_side % 1024), rng.randrange(1024 - image_side % 1024)
    grain = np.tile(_NOISE, (1 + image_side // 1024, 1 + image_side // 1024, 1))[y : y + image_side, x : x + image_side]
    pixels = pixels * rng.uniform(0.94, 1.04) + grain[: pixels.shape[0], : pixels.shape[1]]
    image = np.clip(pixels, 0, 255).astype(np.uint8)
    return Composition(image, ids[index], tuple(segments), overlaps, backing)


def segment_id(image_id: int, k: int) -> int:
    """A 24-bit number for segment k of an image; the odd factor spreads the numbers over visible PNG colours."""
    return ((image_id * 16 + k + 1) * 0x9E3779) % (1 << 24)
