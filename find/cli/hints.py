"""A hint on stderr that saves an hour: what the shipped model does not know."""

from __future__ import annotations

import sys
from collections.abc import Iterable

DRAWN_SIDE = 320
"""Sides of pictures, in pixels, that the synthetic world does not have; larger ones are probably photographs."""


def hint_at_photographs(weights: str, sides: Iterable[int]) -> None:
    """Says that find-tiny does not know photographs, where there are pictures as large as those."""
    if weights == "find-tiny" and any(side > DRAWN_SIDE for side in sides):
        print(
            "note: find-tiny knows drawn scenes only, so what it says of photographs is a guess; "
            "--weights names another model (README: the authors' checkpoint, or train your own)",
            file=sys.stderr,
        )
