"""A memory budget shared by all open requests, which limits on single requests cannot give."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from find.serving.limits import Refusal


class Budget:
    """Bytes that requests reserve and release when they end; reservations beyond the total are refused with 503.

    Args:
        total: bytes available to all requests together.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self._lock = threading.Lock()  # pictures are decoded in threads

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Reserves memory for one request until it ends."""
        share = Share(self)
        try:
            yield share
        finally:
            share.close()


class Share:
    """The share of a budget that one request has reserved."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._taken = 0
        self._is_closed = False

    def take(self, count: int) -> None:
        """Raises Refusal (503) if other requests hold too much, or if this one has timed out meanwhile."""
        budget = self._budget
        with budget._lock:
            if self._is_closed:
                raise Refusal(503, "the request was given up")
            if budget.taken + count > budget.total:
                held = f"{budget.total / (1 << 20):.3g} MiB"
                raise Refusal(503, f"open requests hold all of the {held} that they may; try again in a few seconds")
            budget.taken += count
            self._taken += count

    def close(self) -> None:
        with self._budget._lock:
            self._is_closed = True
            self._budget.taken -= self._taken
            self._taken = 0
