"""What one request may ask of the service, and the refusal of what is more."""

from __future__ import annotations

from dataclasses import dataclass

from find.errors import InputError

COPIES = 2
"""Of a body that are held: its bytes, and the text that they are parsed to."""
BYTES_A_PIXEL = 3


@dataclass(frozen=True)
class Limits:
    """Bounds of a request and of all that wait together.

    Attributes:
        body_bytes: of a request; images travel in it as base64, a third larger than their files.
        images: pictures of one request, those of its regions among them.
        pixels: of all of these together.
        characters: of one query, of all queries of a search together, and of a filter.
        joined: queries of one search.
        queries: texts or queries of one request for embeddings.
        entities: of one query, and of all queries of a search together.
        hits: images that a search may ask for.
        total_bytes: of all open requests together: their bodies, once as they came and once as text, and the pixels of
            their pictures.
        waiting: length of the queue for the model; further requests are refused at once, to be tried again.
        open: requests that are read, wait or are answered at a time, of any kind.
        batch: requests that one call of the model takes.
        encoded_bytes: of pictures that are kept as the model sees them, so that a further question about one of them
            costs a small part of the first; on the model's device.
        kept_bytes: of the pixels of uploads that are kept under a handle (`POST /pictures`).
        kept_seconds: since its last use, after which an upload is forgotten.
        seconds: in which a request has to arrive, and after which it is given up.
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
    encoded_bytes: int = 512 << 20
    kept_bytes: int = 256 << 20
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
    """Refuses more of something than a request may have."""
    if count > most:
        raise Refusal(422, f"{count} {what} are more than the {most} that a request may have")
