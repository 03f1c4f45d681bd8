"""Pictures and queries as they come over HTTP. A region's image travels with its query or is one of the album's: names
are never taken for paths of this machine."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import UInt8

from find.entity import Region
from find.errors import FindError
from find.images import read_image, read_size
from find.query import Query
from find.serving.limits import Limits, Refusal, check_count

Pixels = UInt8[np.ndarray, "h w 3"]


def decode_image(text: str, name: str, limits: Limits) -> Pixels:
    """A picture file in base64, with or without the head of a data URL.

    Raises:
        Refusal: 413 for more pixels than allowed, before any is decoded; 422 where it is no picture.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(422, f"{name}: not base64; send the file's bytes in base64") from None
    try:
        height, width = read_size(io.BytesIO(data), name=name)
        if height * width > limits.pixels:
            raise Refusal(413, f"{name}: {width} x {height} pixels; at most {limits.pixels / 1e6:g} million are taken")
        return read_image(io.BytesIO(data), name=name)
    except FindError as error:
        raise Refusal(422, one_line(error)) from error


def read_query(text: str, images: Mapping[str, str], limits: Limits, *, stored: Callable[[str], Pixels]) -> Query:
    """A query in the command line's syntax, with the pixels of its regions.

    Args:
        text: such as `a [dog@120,80] next to {a red sofa}`.
        images: name in the query -> picture file in base64; masks (`[dog#mask]`) are among them.
        stored: pixels of an image of the album, for names that `images` lacks.

    Raises:
        Refusal: too long, too many entities or images; wrong syntax; a picture that is unknown, broken or not used.
    """
    check_count("characters of a query", len(text), limits.characters)
    try:
        parsed = Query.parse(text)
        check_count("entities", len(parsed.entities), limits.entities)
        regions = [part for part in parsed.parts if isinstance(part, Region)]
        names = {name for region in regions for name in (region.image, region.mask) if isinstance(name, str)}
        unused = sorted(images.keys() - names)
        if unused:
            raise Refusal(422, f"the image {unused[0]!r} is not in the query; write [{unused[0]}@x,y] there")
        check_count("images", len(names), limits.images)
        pixels = {name: decode_image(images[name], name, limits) for name in names & images.keys()}
        pixels |= {region.image: stored(region.image) for region in regions if region.image not in images}
        masks = {region.mask for region in regions if isinstance(region.mask, str)}
        missing = sorted(masks - images.keys())
        if missing:
            raise Refusal(422, f"the mask {missing[0]!r} is missing; send it with the query's images")
        parts = [_with_pixels(part, pixels) if isinstance(part, Region) else part for part in parsed.parts]
        return Query(*parts)
    except FindError as error:
        raise Refusal(422, one_line(error)) from error


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _with_pixels(region: Region, pixels: Mapping[str, Pixels]) -> Region:
    mask = None if region.mask is None else pixels[region.mask].any(axis=2)
    return Region(pixels[region.image], mask=mask, box=region.box, points=region.points, label=region.name)
