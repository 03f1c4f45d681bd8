"""Uploaded pictures that later requests refer to by a handle, within limits of time and memory."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from find.serving.limits import Refusal

PREFIX = "picture:"
"""Prefix of handles, with which no base64 file begins."""

Pixels = UInt8[np.ndarray, "h w 3"]


class PictureStore:
    """A least-recently-used cache of decoded uploads by handle.

    A handle is a hash of the pixels, so that the same picture gets the same handle again.

    Args:
        most_bytes: size of all pictures together; a larger picture is refused.
        seconds: time since its last use after which a picture is deleted.
        clock: returns the time in seconds.
    """

    def __init__(self, most_bytes: int, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.most_bytes, self.seconds = most_bytes, seconds
        self._clock = clock
        self._kept: OrderedDict[str, tuple[Pixels, float]] = OrderedDict()  # most recently used last
        self._lock = threading.Lock()  # pictures are read in threads

    def __len__(self) -> int:
        with self._lock:
            self._forget()
            return len(self._kept)

    @property
    def nbytes(self) -> int:
        return sum(picture.nbytes for picture, _ in self._kept.values())

    def add(self, picture: Pixels) -> str:
        """Stores a picture and returns its handle. Raises Refusal (413) if it alone exceeds the limit."""
        if picture.nbytes > self.most_bytes:
            most = f"{self.most_bytes / 3e6:.3g} million"
            raise Refusal(413, f"the picture has more than the {most} pixels that are kept; send it with each request")
        digest = hashlib.blake2b(repr(picture.shape).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(picture))
        handle = PREFIX + digest.hexdigest()
        with self._lock:
            self._kept[handle] = picture, self._clock()
            self._kept.move_to_end(handle)
            self._forget()
        return handle

    def get(self, handle: str) -> Pixels:
        """The picture of a handle. Raises Refusal (410) for an expired or unknown handle."""
        with self._lock:
            self._forget()
            if handle not in self._kept:
                raise Refusal(410, f"{handle[:60]} is not kept any more; send the picture to /pictures again")
            picture, _ = self._kept[handle]
            self._kept[handle] = picture, self._clock()
            self._kept.move_to_end(handle)
            return picture

    def _forget(self) -> None:
        """Deletes expired pictures, then the least recently used ones beyond the limit."""
        now = self._clock()
        while self._kept:
            _, used = next(iter(self._kept.values()))
            if now - used <= self.seconds and self.nbytes <= self.most_bytes:
                return
            self._kept.popitem(last=False)
