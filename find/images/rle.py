"""Masks as COCO's run-length codes, read with care: what a file says is checked before it is decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Int


def decode(segmentation: Any, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """A mask of `size` (height, width) from its code, compressed (a string) or not (a list of runs).

    Raises:
        ValueError: it is not a valid code, or has another size.
    """
    runs = checked_runs(segmentation, size)
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size, order="F")


def checked_runs(segmentation: Any, size: tuple[int, int]) -> Int[np.ndarray, " n"]:
    """The lengths of the runs of a code, of zeros and of ones in turn, which fill an image of `size`.

    Raises:
        ValueError: as `decode`.
    """
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= set(segmentation):
        raise ValueError('the segmentation must be a run-length code {"size": [height, width], "counts": ...}')
    counts, pixels = segmentation["counts"], size[0] * size[1]
    if segmentation["size"] not in (list(size), tuple(size)):
        raise ValueError(f"the mask's size is {segmentation['size']!r:.40}, the image's [height, width] {list(size)}")
    if isinstance(counts, str):
        runs = runs_of(counts)
    elif isinstance(counts, list) and all(type(run) is int for run in counts):
        if any(not 0 <= run <= pixels for run in counts):
            raise ValueError(f"a run is negative or longer than the image, which has {pixels} pixels")
        runs = np.array(counts, np.int64)
    else:
        raise ValueError("counts must be a compressed string or a list of whole numbers")
    if runs.sum() != pixels or (runs < 0).any():
        raise ValueError(f"the runs add up to {int(runs.sum())} pixels, the image has {pixels}")
    return runs


def runs_of(counts: str) -> Int[np.ndarray, " n"]:
    """The lengths of the runs in a compressed code: int64, of zeros and of ones in turn.

    COCO writes five bits a character, lowest first; each run from the fourth on is a difference to the one two before.

    Raises:
        ValueError: a character that no such code has, or an unfinished run.
    """
    codes = np.frombuffer(counts.encode("utf-8", "replace"), np.uint8).astype(np.int64) - 48
    if not len(codes) or (codes < 0).any() or (codes > 63).any():
        raise ValueError("counts is not a compressed run-length code")
    more = (codes & 32) != 0
    if more[-1]:
        raise ValueError("counts ends in the middle of a run")
    ends = np.flatnonzero(~more)
    starts = np.append(0, ends[:-1] + 1)
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    if place.max() > 6:
        raise ValueError("counts holds a run that no image has")
    values = np.add.reduceat((codes & 31) << (5 * place), starts)
    negative = (codes[ends] & 16) != 0
    values[negative] -= np.int64(1) << (5 * (place[ends][negative] + 1))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])  # the very first run is none of those that the others build on
    return values
