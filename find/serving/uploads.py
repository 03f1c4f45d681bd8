"""Pictures and queries of HTTP requests. A region's image is sent with its query or is in the album: names are never
used as paths on the server."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, UInt8

from find.errors import FindError
from find.images.images import read_image, read_mask, read_size
from find.query.entity import Region
from find.query.operators import JoinedQuery
from find.query.query import Query
from find.retrieval.connection import UnreadableAlbum
from find.serving.budget import Share
from find.serving.limits import BYTES_A_PIXEL, Limits, Refusal, check_count
from find.serving.picture_store import PREFIX, PictureStore

if TYPE_CHECKING:
    from find.retrieval.hits import Hit

Pixels = UInt8[np.ndarray, "h w 3"]


class Pictures:
    """The pictures of one request, each decoded once, within the limits on all of them together.

    Args:
        images: name in a query -> picture file in base64, with or without the head of a data URL.
        limits: how many pictures and pixels.
        share: the request's share of the memory budget.
        stored: returns an image of the album by its name.
        kept: uploads that are asked about again, by their handles.
    """

    def __init__(
        self,
        images: Mapping[str, str],
        limits: Limits,
        share: Share,
        *,
        stored: Callable[[str], Hit],
        kept: PictureStore,
    ) -> None:
        self.images, self.limits, self._share, self._stored, self._kept = images, limits, share, stored, kept
        self.of_album: set[Path] = set()
        self._count = self._pixels = 0
        self._read: dict[str, Pixels] = {}
        self._masks: dict[str, Bool[np.ndarray, "h w"]] = {}

    def named(self, name: str) -> Pixels:
        """The image that a query refers to as `name`: from the request, otherwise from the album."""
        if name not in self._read:
            self._read[name] = self.decode(self.images[name], name) if name in self.images else self._of_album(name)
        return self._read[name]

    def mask(self, name: str) -> Bool[np.ndarray, "h w"]:
        """A region's mask, which only the request can hold. Raises Refusal if it is missing."""
        if name not in self.images:
            raise Refusal(422, f"the mask {name!r} is missing; send it with the query's images")
        if name not in self._masks:
            self._masks[name] = self._decode(self.images[name], name, read_mask)
        return self._masks[name]

    def subject(self, image: str | None, name: str | None) -> Pixels:
        """The one picture that is looked into: a file in base64, a handle, or an image of the album by its name."""
        if (image is None) == (name is None):
            raise Refusal(422, "give one picture: image (base64, or a handle) or name (an image of the album)")
        return self._of_album(name) if image is None else self.decode(image, "image")

    def decode(self, text: str, name: str) -> Pixels:
        """A picture: a file in base64, or the handle of one that is kept.

        Raises:
            Refusal: 413 for more pixels than allowed, before any is decoded; 422 where it is not a picture, or one too
                many; 410 for a handle that has expired.
        """
        if text.startswith(PREFIX):
            picture = self._kept.get(text)
            self._take(name, *picture.shape[:2])
            return picture
        return self._decode(text, name, read_image)

    def _decode(self, text: str, name: str, read: Callable[..., np.ndarray]) -> np.ndarray:
        if text.startswith("data:"):
            text = text.partition(",")[2]
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise Refusal(422, f"{name}: not base64; send the file's bytes in base64") from None
        try:
            self._take(name, *read_size(io.BytesIO(data), name=name))
            return read(io.BytesIO(data), name=name)
        except FindError as error:
            raise Refusal(422, one_line(error)) from error

    def check_used(self) -> None:
        """Raises Refusal for pictures that no query refers to."""
        unused = sorted(self.images.keys() - self._read.keys() - self._masks.keys())
        if unused:
            raise Refusal(422, f"the image {unused[0]!r} is not in the query; write [{unused[0]}@x,y] there")

    def _of_album(self, name: str) -> Pixels:
        try:
            hit = self._stored(name)
            self._take(name, hit.height, hit.width)
            self.of_album.add(hit.path)
            return hit.pixels()
        except UnreadableAlbum:
            raise
        except FindError as error:  # the exception's text contains server paths
            message = f"no image {name!r}: neither among the request's images nor in the album"
            raise Refusal(422, message) from error

    def _take(self, name: str, height: int, width: int) -> None:
        self._count += 1
        self._pixels += height * width
        check_count("images", self._count, self.limits.images)
        if self._pixels > self.limits.pixels:
            most = f"{self.limits.pixels / 1e6:g} million"
            raise Refusal(413, f"{name}: {width} x {height} pixels; a request may have {most} in all its pictures")
        self._share.take(BYTES_A_PIXEL * height * width)


def read_query(text: str, pictures: Pictures, limits: Limits) -> Query:
    """A query in the command line's syntax, such as `a [dog@120,80] next to {a red sofa}`, with its regions' pixels.

    Raises:
        Refusal: the query is too long, has too many entities or images, or has wrong syntax; a picture is unknown or
            broken.
    """
    check_count("characters of a query", len(text), limits.characters)
    try:
        parsed = Query.parse(text)
        check_count("entities", len(parsed.entities), limits.entities)
        return Query(*(_with_pixels(part, pictures) if isinstance(part, Region) else part for part in parsed.parts))
    except UnreadableAlbum:
        raise
    except FindError as error:
        raise Refusal(422, one_line(error)) from error


def read_joined(
    query: str, others: Sequence[str], without: Sequence[str], pictures: Pictures, limits: Limits
) -> JoinedQuery:
    """The queries of a search, which share its pictures. The limits on one query apply to all of them together.

    Raises Refusal as `read_query` does; names the query where there are several.
    """
    named = {"query": query}
    named |= {f"and[{number}]": text for number, text in enumerate(others)}
    named |= {f"without[{number}]": text for number, text in enumerate(without)}
    check_count("queries", len(named), limits.joined)
    check_count("characters of a query", sum(map(len, named.values())), limits.characters)
    queries = []
    for name, text in named.items():
        try:
            queries.append(read_query(text, pictures, limits))
        except Refusal as refusal:
            raise Refusal(refusal.status, f"{name}: {refusal}" if len(named) > 1 else str(refusal)) from refusal
    check_count("entities", sum(len(one.entities) for one in queries), limits.entities)
    included = 1 + len(others)
    return JoinedQuery(tuple(queries[:included]), tuple(queries[included:]))


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _with_pixels(region: Region, pictures: Pictures) -> Region:
    mask = None if region.mask is None else pictures.mask(region.mask)
    return Region(pictures.named(region.image), mask=mask, box=region.box, points=region.points, label=region.name)
