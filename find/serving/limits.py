"""Limits on requests, and the error that a request beyond them gets."""

from __future__ import annotations

from dataclasses import dataclass

from find.errors import InputError

COPIES = 2
"""How often a body is held in memory: as raw bytes, and as parsed text."""
BYTES_A_PIXEL = 3


@dataclass(frozen=True)
class Limits:
    """Limits on each request and on all open requests together.

    Attributes:
        body_bytes: size of a request body; images in it are base64, a third larger than their files.
        images: pictures per request, including those of its regions.
        pixels: total pixels of these pictures.
        characters: of one query, of all queries of a search together, and of a filter.
        joined: queries per search.
        queries: texts or queries per embedding request.
        entities: of one query, and of all queries of a search together.
        hits: maximum number of hits of a search.
        total_bytes: memory of all open requests together: their bodies, raw and as parsed text, and the pixels of
            their pictures.
        waiting: length of the queue for the model; further requests are refused at once with 429.
        open: concurrent requests of any kind, from reading the body to the end of the response.
        batch: requests per call of the model.
        encoded_bytes: cache of encoded pictures on the model's device, so that further requests for a picture
            cost a small part of the first.
        kept_bytes: pixels of uploaded pictures that are stored under a handle (`POST /pictures`).
        kept_seconds: time after its last use at which an uploaded picture is deleted.
        seconds: the time within which a request has to arrive, and after which it is aborted.
    """

    body_bytes: int = 32 << 20
    images: int = 16
    pixels: int = 64_000_000
    characters: int = 2000
    joined: int = 16
    queries: int = 64
    entities: int = 16
    hits: int = 200
    total_bytes: int = 1 << 30
    waiting: int = 64
    open: int = 256
    batch: int = 16
    feature_bytes: int = 512 << 20
    upload_bytes: int = 256 << 20
    kept_seconds: float = 3600.0
    seconds: float = 30.0

    def __post_init__(self) -> None:
        least = COPIES * self.body_bytes + BYTES_A_PIXEL * self.pixels
        if self.total_bytes < least:
            raise InputError(
                f"total_bytes (--memory-mb) is {self.total_bytes >> 20} MiB, but one request may take "
                f"{-(-least >> 20)} MiB, its body twice and its pictures' pixels; give at least that much"
            )


class Refusal(Exception):
    """A request that is not answered; `str` is one line for whoever sent it.

    Args:
        status: of HTTP: 404, 408, 410, 413, 421, 422, 429, 503 or 504.
        message: what is wrong and how to fix it.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def check_count(what: str, count: int, most: int) -> None:
    """Raises Refusal if a request has more of something than the limit allows."""
    if count > most:
        raise Refusal(422, f"{count} {what} exceed the limit of {most} per request")
