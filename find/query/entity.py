"""The two kinds of entity that a query may hold: a phrase (words) and a region (pixels of an image)."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any, TypeAlias, Union

import numpy as np
from PIL import Image

from find.errors import InputError, check_characters
from find.images.images import LARGEST_IMAGE, ImageLike, image_name, read_image, read_mask, read_size
from find.images.rle import decode
from find.query.operators import QueryOperators
from find.query.raster import PointXY, paint_box, paint_line, paint_points, paint_polygon, stroke_radius

MaskLike: TypeAlias = Union[str, "os.PathLike[str]", Image.Image, np.ndarray]
"""A path of a picture, a PIL image or an array [H, W]; what is neither black nor transparent is inside."""

LARGEST_COORDINATE = 1e6  # PIL's polygons overflow far above any image's size

SHAPES = ("mask", "box", "points", "scribble", "polygon")


@dataclass(frozen=True)
class Phrase(QueryOperators):
    """Words that stand for something to be found. Spaces around them are not part of the phrase."""

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise InputError(f"a phrase is text, not {type(self.text).__name__}")
        check_characters(self.text, "a phrase")
        object.__setattr__(self, "text", self.text.strip())
        if not self.text:
            raise InputError("a phrase needs words, this one is empty")

    def __str__(self) -> str:
        return f"{{{self.text}}}"


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Region(QueryOperators):
    """Pixels of an image that stand for something to be found, given by exactly one shape.

    All coordinates are pixels of the upright image (as its EXIF orientation turns it), x to the right, y down, from
    the top left. Files are read when pixels are needed, so building a region of a path is cheap.

    Args:
        image: a path, a PIL image or a uint8 RGB array [H, W, 3].
        mask: the region itself at the image's size: bool array [H, W], PIL image or path of a picture.
        box: (x0, y0, x1, y1), half-open; corners may come in any order, the part outside the image is cut off.
        points: one (x, y) or several, each painted as a disc of radius `stroke_radius`.
        scribble: two or more (x, y), joined to a line of that half-width.
        polygon: three or more (x, y), the closed outline; the part outside the image is cut off.
        label: a name for people; never read by the model.

    Raises:
        FindError: not exactly one shape, invalid coordinates, or what `bitmap` rejects, as early as possible.
    """

    image: str | np.ndarray
    mask: str | np.ndarray | None
    box: tuple[float, float, float, float] | None
    points: tuple[PointXY, ...] | None
    scribble: tuple[PointXY, ...] | None
    polygon: tuple[PointXY, ...] | None
    label: str | None

    def __init__(
        self,
        image: ImageLike,
        *,
        mask: MaskLike | None = None,
        box: Sequence[float] | None = None,
        points: Sequence[PointXY] | PointXY | None = None,
        scribble: Sequence[PointXY] | None = None,
        polygon: Sequence[PointXY] | None = None,
        label: str | None = None,
    ) -> None:
        who = f"region of {image_name(image)}"
        given = [
            name
            for name, value in zip(SHAPES, (mask, box, points, scribble, polygon), strict=True)
            if value is not None
        ]
        if len(given) != 1:
            raise InputError(f"{who}: give exactly one of {', '.join(SHAPES)} (given: {', '.join(given) or 'none'})")
        if not isinstance(label, (str, NoneType)):
            raise InputError(f"{who}: its label is text, not {type(label).__name__}")
        is_path = isinstance(image, (str, os.PathLike))
        values = {
            "image": os.fspath(image) if isinstance(image, (str, os.PathLike)) else read_image(image, name=who),
            "mask": None if mask is None else _keep_mask(mask, who),
            "box": None if box is None else _keep_box(box, who),
            "points": None if points is None else _keep_points(points, f"{who}: points", at_least=1),
            "scribble": None if scribble is None else _keep_points(scribble, f"{who}: scribble", at_least=2),
            "polygon": None if polygon is None else _keep_points(polygon, f"{who}: polygon", at_least=3),
            "label": label,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if is_path and not self.image:
            raise InputError("a region needs the path of its image, this one is empty")
        if not is_path and not isinstance(self.mask, str):
            self.bitmap()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Region):
            return NotImplemented
        return all(_same(getattr(self, field.name), getattr(other, field.name)) for field in fields(self))

    def __hash__(self) -> int:
        image = self.image if isinstance(self.image, str) else self.image.shape
        mask = self.mask if isinstance(self.mask, str) else None
        return hash((image, mask, self.box, self.points, self.scribble, self.polygon, self.label))

    def __str__(self) -> str:
        """The region's name in messages: its command-line form, if it has one."""
        return f"[{self.name}{self.place}]"

    def __repr__(self) -> str:
        return f"Region({self})"

    @property
    def shape(self) -> str:
        """Which of SHAPES the region has."""
        return next(name for name in SHAPES if getattr(self, name) is not None)

    @property
    def name(self) -> str:
        """The label, else the image's file name, else 'image'."""
        return self.label or (Path(self.image).name or self.image if isinstance(self.image, str) else "image")

    @property
    def place(self) -> str:
        """Its place in the image, in the command-line form if it has one: '@120,80', '#mask.png'."""
        if isinstance(self.mask, str):
            return f"#{self.mask}"
        if self.box is not None:
            return f"@{format_numbers(self.box)}"
        if self.points is not None:
            return f"@{format_points(self.points)}"
        if self.mask is not None:
            row, column = np.unravel_index(self.mask.argmax(), self.mask.shape)  # its first pixel
            place: PointXY = (float(column), float(row))
        else:
            place = (*(self.scribble or ()), *(self.polygon or ()))[0]
        return f", a {self.shape} at {format_numbers(place)}"

    def pixels(self) -> np.ndarray:
        """The whole image: uint8 RGB [H, W, 3], upright. Raises FindError if it cannot be read."""
        return read_image(self.image)

    def bitmap(self) -> np.ndarray:
        """The region: bool [H, W] at the image's own size, never empty.

        Raises:
            FindError: unreadable image or mask, mask of another size, empty mask, point outside the image.
        """
        height, width = read_size(self.image)
        if self.mask is not None:
            bitmap = self._read_mask(self.mask, height, width)
        elif self.box is not None:
            bitmap = paint_box(height, width, self.box)
        elif self.polygon is not None:
            bitmap = paint_polygon(height, width, self.polygon)
        elif self.points is not None:
            bitmap = paint_points(height, width, self._inside(self.points, height, width), stroke_radius(height, width))
        else:
            scribble = self._inside(self.scribble or (), height, width)
            bitmap = paint_line(height, width, scribble, stroke_radius(height, width))
        if not bitmap.any():
            why = "the mask is empty" if self.mask is not None else f"the {self.shape} lies outside the image"
            raise InputError(f"{self}: {why} (the image is {width} wide and {height} high)")
        return bitmap

    def _read_mask(self, mask: str | np.ndarray, height: int, width: int) -> np.ndarray:
        bitmap = read_mask(mask, name=f"mask {mask}") if isinstance(mask, str) else mask
        if bitmap.shape != (height, width):
            raise InputError(
                f"{self}: the mask is {bitmap.shape[1]} wide and {bitmap.shape[0]} high, its image "
                f"{width} and {height}; a mask has the size of its (upright) image"
            )
        return bitmap.copy()

    def _inside(self, points: Sequence[PointXY], height: int, width: int) -> list[PointXY]:
        """The points as pixel centres; raises if any is outside of the image."""
        for x, y in points:
            if not (0 <= x < width and 0 <= y < height):
                raise InputError(
                    f"{self}: the point {format_numbers((x, y))} lies outside the image, "
                    f"which is {width} wide and {height} high"
                )
        return [(min(x, width - 1), min(y, height - 1)) for x, y in points]

    def to_json(self) -> dict[str, object]:
        """Plain data for json.dump: a file by its path, an image in memory as PNG, a mask in memory as COCO RLE."""
        data: dict[str, object] = {"image": self.image}
        if not isinstance(self.image, str):
            stream = io.BytesIO()
            Image.fromarray(self.image).save(stream, format="PNG")
            data["image"] = {"png": base64.b64encode(stream.getvalue()).decode("ascii")}
        data[self.shape] = getattr(self, self.shape)
        if isinstance(self.mask, np.ndarray):
            from pycocotools import mask as coco_mask

            code = coco_mask.encode(np.asfortranarray(self.mask.astype(np.uint8)))
            data["mask"] = {"size": [int(n) for n in code["size"]], "counts": code["counts"].decode("ascii")}
        if self.label is not None:
            data["label"] = self.label
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Region:
        """Inverse of `to_json`. Raises FindError if the data is not in `to_json`'s form."""
        unknown = set(data) - {"image", "label", *SHAPES}
        if unknown or "image" not in data:
            wrong = f"unknown key {sorted(unknown)[0]!r}" if unknown else "no 'image'"
            raise InputError(f"a region has an image, one of {', '.join(SHAPES)} and perhaps a label: {wrong}")
        values: dict[str, Any] = dict(data)
        image = values.pop("image")
        if isinstance(image, Mapping):
            try:
                image = read_image(io.BytesIO(base64.b64decode(image["png"], validate=True)), name="'png'")
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"the region's image must be a path or {{'png': base64}} ({error})") from error
        if isinstance(values.get("mask"), Mapping):
            values["mask"] = _decode_rle(values["mask"])
        return cls(image, **values)


Entity: TypeAlias = Phrase | Region


def format_points(points: Sequence[Sequence[float]]) -> str:
    """'120,80;130,90'."""
    return ";".join(format_numbers(point) for point in points)


def format_numbers(numbers: Sequence[float]) -> str:
    """'120,80.5': as short as it can be, and exact."""
    return ",".join(str(int(n)) if n.is_integer() else repr(n) for n in map(float, numbers))


def _same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and np.array_equal(one, other)
    return one == other


def _keep_points(points: object, who: str, *, at_least: int) -> tuple[PointXY, ...]:
    try:
        array = _numbers(points)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{who}: coordinates are pairs of numbers (x, y)") from error
    array = array[None] if array.shape == (2,) and at_least == 1 else array
    if array.ndim != 2 or array.shape[1] != 2:
        raise InputError(f"{who}: coordinates are pairs of numbers (x, y)")
    if len(array) < at_least:
        raise InputError(f"{who}: at least {at_least} needed, {len(array)} given")
    if not (np.abs(array) < LARGEST_COORDINATE).all():  # false for NaN, too
        raise InputError(f"{who}: coordinates must be finite and below {LARGEST_COORDINATE:.0e}")
    return tuple((float(x), float(y)) for x, y in array)


def _numbers(values: object) -> np.ndarray:
    """float64, of numbers only: numpy would also accept "7" and True."""
    array = np.asarray(values)
    if array.dtype.kind in "USb":
        raise TypeError(f"{array.dtype} are not numbers")
    return array.astype(np.float64)


def _keep_box(box: object, who: str) -> tuple[float, float, float, float]:
    try:
        array = _numbers(box)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{who}: a box is four numbers (x0, y0, x1, y1)") from error
    if array.shape != (4,) or not np.isfinite(array).all():
        raise InputError(f"{who}: a box is four finite numbers (x0, y0, x1, y1)")
    x0, x1 = sorted((float(array[0]), float(array[2])))
    y0, y1 = sorted((float(array[1]), float(array[3])))
    if x0 == x1 or y0 == y1:
        raise InputError(f"{who}: the box {format_numbers(array.tolist())} has no area")
    return x0, y0, x1, y1


def _keep_mask(mask: MaskLike, who: str) -> str | np.ndarray:
    if isinstance(mask, (str, os.PathLike)):
        if not os.fspath(mask):
            raise InputError(f"{who}: the path of its mask is empty")
        return os.fspath(mask)
    if isinstance(mask, Image.Image):
        mask = read_mask(mask, name=f"{who}: mask")
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype.kind not in "bui":
        kind = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise InputError(f"{who}: a mask is a bool array [H, W], a PIL image or a path, not {kind}")
    if not mask.any():
        raise InputError(f"{who}: the mask is empty")
    return mask != 0


def _decode_rle(code: Mapping[str, object]) -> np.ndarray:
    size = code.get("size")
    try:
        if not isinstance(size, Sequence) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
            raise ValueError("its size must be two whole numbers, [height, width]")
        if size[0] * size[1] > LARGEST_IMAGE:
            raise ValueError(f"its size is that of more than {LARGEST_IMAGE / 1e6:.0f} million pixels")
        return decode(dict(code), (size[0], size[1]))
    except ValueError as error:
        raise InputError(f"the region's mask must be a path or a COCO RLE ({error})") from error
