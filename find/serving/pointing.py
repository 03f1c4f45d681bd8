"""Interactive segmentation: points and boxes of a request become bitmaps, and a mask becomes a response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from find.model.predictions import EntityMask
from find.query.entity import Region
from find.serving import messages
from find.serving.budget import Share
from find.serving.limits import Refusal
from find.visualization.results import encode_mask, shown
from find.visualization.uncertainty import doubt


@dataclass(frozen=True)
class Pointed:
    """A picture with bitmaps of the pixels that mark an object, and of those that do not belong to it."""

    picture: UInt8[np.ndarray, "h w 3"]
    stroke: Bool[np.ndarray, "h w"]
    negative: Bool[np.ndarray, "h w"] | None


def read_pointed(request: messages.InteractRequest, picture: UInt8[np.ndarray, "h w 3"], share: Share) -> Pointed:
    """Raises Refusal if nothing is marked, or a mark lies outside the picture."""
    if not request.points and request.box is None and not request.scribbles and not request.lassos:
        raise Refusal(422, "nothing is pointed at: give points or a box, scribbles or lassos")
    height, width = picture.shape[:2]
    _check_inside("points", request.points, width, height)
    _check_inside("negatives", request.negatives, width, height)
    for number, line in enumerate(request.scribbles):
        _check_inside(f"scribbles[{number}]", line, width, height)
    for number, line in enumerate(request.negative_scribbles):
        _check_inside(f"negative_scribbles[{number}]", line, width, height)
    share.take(2 * height * width)  # the two bitmaps, a byte for each pixel
    stroke = np.zeros((height, width), dtype=bool)
    if request.points:
        stroke |= Region(picture, points=request.points).bitmap()
    if request.box is not None:
        stroke |= Region(picture, box=request.box).bitmap()
    for line in request.scribbles:
        stroke |= Region(picture, scribble=line).bitmap()
    for outline in request.lassos:
        stroke |= Region(picture, polygon=outline).bitmap()
    negative = np.zeros((height, width), dtype=bool)
    if request.negatives:
        negative |= Region(picture, points=request.negatives).bitmap()
    for line in request.negative_scribbles:
        negative |= Region(picture, scribble=line).bitmap()
    return Pointed(picture, stroke, negative if negative.any() else None)


def pointed_answer(found: EntityMask) -> messages.InteractAnswer:
    height, width = found.mask.shape
    return messages.InteractAnswer(
        width=width,
        height=height,
        score=shown(found.score),
        doubtful=doubt(found) is not None,
        box=None if found.box is None else list(found.box),
        segmentation=messages.Mask(**encode_mask(found.mask)),
    )


def _check_inside(name: str, points: Sequence[Sequence[float]], width: int, height: int) -> None:
    for x, y in points:
        if not (0 <= x < width and 0 <= y < height):
            message = f"({x:g}, {y:g}) is outside the picture, which is {width} x {height} (width x height)"
            raise Refusal(422, f"{name}: {message}")
