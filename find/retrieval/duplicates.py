"""Near-duplicates: images of an album that show the same pixels, resized, compressed, brighter, or slightly cropped.

Vectors propose pairs, pixels decide: photos of one place have nearly equal vectors, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from find.errors import FindError, InputError
from find.images.alignment import SIDE, are_same
from find.images.images import read_thumbnail
from find.retrieval.filters import quoted
from find.retrieval.table import reading
from find.retrieval.vectors import take_rows, vector_rows

if TYPE_CHECKING:
    from find.retrieval.album import Album
    from find.retrieval.hits import Hit

THRESHOLD = 0.9
"""Minimum cosine similarity of image vectors for comparing pixels. With find-tiny, 92 to 94 % of pairs of copies are
above it (docs/albums.md)."""
ROWS_AT_ONCE, PAIRS_AT_ONCE = 128, 512
MOST_OF_HIT = 100
"""Maximum number of images that are compared with a hit, most similar first."""
FACTS = ("path", "frame", "seconds", "width", "height", "bytes", "digest")

_Facts: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class AlbumImage:
    """An image of a group of near-duplicates.

    Attributes:
        path: its file; name: the path below the album's folder of photos.
        width, height, bytes: of the file, the size in pixels.
        similarity: cosine of its vector with that of the group's first image.
        frame, seconds: of a video's frame; 0 and None for a photograph.
    """

    path: Path
    name: str
    width: int
    height: int
    bytes: int
    similarity: float
    frame: int = 0
    seconds: float | None = None

    @property
    def place(self) -> str:
        """The name, of a frame with its time."""
        return self.name if self.seconds is None else f"{self.name} at {self.seconds:.1f} s"


@dataclass(frozen=True)
class Duplicates:
    """The near-duplicates of an album.

    Attributes:
        groups: of two images or more; the first one has the most pixels, all others are copies of it.
        unreadable: files that could not be compared with similar ones, because they are missing or damaged.
    """

    groups: tuple[tuple[AlbumImage, ...], ...]
    unreadable: tuple[Path, ...]


def find_duplicates(album: Album, threshold: float = THRESHOLD) -> Duplicates:
    """Groups of near-duplicates, those with the largest first images first.

    An image is grouped with the largest one that it is a copy of. Frames of the same video are not compared. Vectors
    are multiplied in blocks, and pixels are read only for pairs whose cosine similarity is at least `threshold`.

    Raises:
        InputError: the threshold is not between 0 and 1.
    """
    check_threshold(threshold)
    table = album.to_arrow([*FACTS, "image"])
    size = table["width"].to_numpy().astype(np.int64) * table["height"].to_numpy()
    order = np.lexsort([np.arange(len(size)), -table["bytes"].to_numpy(), -size])
    table = table.take(order)
    vectors = vector_rows(table["image"]).float()
    facts = table.drop(["image"]).to_pylist()
    compare = _Comparison(album)
    group_of: dict[int, int] = {}  # images that are copies, and what they are copies of
    cosine: dict[int, float] = {}
    for left, right, similarity in _similar(vectors, threshold):
        open_pairs = [
            (a, b, c)
            for a, b, c in zip(left.tolist(), right.tolist(), similarity.tolist(), strict=True)
            if a not in group_of and b not in group_of
        ]
        same = compare([(facts[a], facts[b]) for a, b, _ in open_pairs])
        for (a, b, c), is_same in zip(open_pairs, same, strict=True):
            if is_same and a not in group_of and b not in group_of:
                group_of[b], cosine[b] = a, c
    members: dict[int, list[int]] = {}
    for copy, first in sorted(group_of.items()):
        members.setdefault(first, [first]).append(copy)
    groups = [tuple(_image(album, facts[k], cosine.get(k, 1.0)) for k in members[first]) for first in sorted(members)]
    return Duplicates(tuple(groups), tuple(sorted(compare.unreadable)))


def find_folded(
    album: Album, find: Callable[[int], list[Hit]], k: int, *, allowed: Int64[np.ndarray, " r"] | None
) -> list[Hit]:
    """The best `k` hits that are not near-duplicates of each other; `Hit.duplicates` lists those of each.

    Args:
        find: gives the best hits, so many.
        allowed: rows of the album that may be named, sorted; None for all.
    """
    count = 2 * k
    while True:
        hits = find(count)
        kept = _fold(album, hits, k, allowed)
        if len(kept) == k or len(hits) < count:
            return kept
        count *= 2


def _fold(album: Album, hits: Sequence[Hit], k: int, allowed: Int64[np.ndarray, " r"] | None) -> list[Hit]:
    if not hits:
        return []
    with reading(album.name):
        names = ", ".join(sorted({quoted(hit.name) for hit in hits}))
        found = album.table.search().where(f"path IN ({names})").select(["path", "frame"]).with_row_id(True).to_arrow()
        places = zip(found["path"].to_pylist(), found["frame"].to_pylist(), strict=True)
        row_of = dict(zip(places, found["_rowid"].to_pylist(), strict=True))
        mine = np.array([row_of[hit.name, hit.frame] for hit in hits], np.int64)
        near = _nearest(album, mine, allowed, THRESHOLD)
        rows = np.unique(np.concatenate([mine, *near]))
        facts = dict(zip(rows.tolist(), take_rows(album.table, rows, FACTS).to_pylist(), strict=True))
    compare = _Comparison(album)
    folded: set[tuple[str, int]] = set()
    kept: list[Hit] = []
    for hit, row, others in zip(hits, mine.tolist(), near, strict=True):
        if (hit.name, hit.frame) in folded:
            continue
        if len(kept) == k:
            break
        candidates = [facts[other] for other in others.tolist()]
        same = compare([(facts[row], one) for one in candidates])
        copies = [one for one, is_same in zip(candidates, same, strict=True) if is_same]
        folded |= {(one["path"], one["frame"]) for one in copies}
        kept.append(replace(hit, duplicates=tuple(_image(album, one, 1.0).place for one in copies)))
    return kept


def check_threshold(threshold: float) -> None:
    """Raises InputError unless it is a plausible cosine similarity of duplicates."""
    if not 0 <= threshold <= 1:
        raise InputError(f"the threshold is a cosine of two images' vectors, from 0 to 1, not {threshold:g}")


@dataclass
class _Comparison:
    """Compares pixels; each file is read once."""

    album: Album
    pictures: dict[tuple[str, int], UInt8[np.ndarray, "s s 3"] | None] = field(default_factory=dict)
    unreadable: set[Path] = field(default_factory=set)

    def __call__(self, pairs: Sequence[tuple[_Facts, _Facts]]) -> list[bool]:
        """Which pairs show the same pixels; False if one cannot be read."""
        same = [a["digest"] == b["digest"] and a["frame"] == b["frame"] and a["path"] != b["path"] for a, b in pairs]
        asked = [k for k, (a, b) in enumerate(pairs) if not same[k] and a["path"] != b["path"]]
        self._read([one for k in asked for one in pairs[k]])
        keys = {_key(one) for k in asked for one in pairs[k]}
        known = {key: picture for key in keys if (picture := self.pictures[key]) is not None}
        asked = [k for k in asked if all(_key(one) in known for one in pairs[k])]
        for start in range(0, len(asked), PAIRS_AT_ONCE):
            part = asked[start : start + PAIRS_AT_ONCE]
            sides = [np.stack([known[_key(pairs[k][side])] for k in part]) for side in (0, 1)]
            left, right = (torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255 for x in sides)
            for k, is_same in zip(part, are_same(left, right).tolist(), strict=True):
                same[k] = is_same
        return same

    def _read(self, images: Sequence[_Facts]) -> None:
        new = {_key(one): one for one in images if _key(one) not in self.pictures}
        if new:
            with ThreadPoolExecutor(8, thread_name_prefix="thumbnail") as pool:
                self.pictures |= dict(zip(new, pool.map(self._picture, new.values()), strict=True))

    def _picture(self, one: _Facts) -> UInt8[np.ndarray, "s s 3"] | None:
        file = self.album.file_of(one["path"])
        try:
            if one["seconds"] is None:
                return read_thumbnail(file, (SIDE, SIDE))
            from PIL import Image

            from find.retrieval.video import read_frame

            frame = Image.fromarray(read_frame(file, one["frame"], one["seconds"]))
            return np.array(frame.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        except FindError:
            self.unreadable.add(file)
            return None


def _key(one: _Facts) -> tuple[str, int]:
    return one["path"], one["frame"]


def _image(album: Album, one: _Facts, similarity: float) -> AlbumImage:
    return AlbumImage(
        path=album.file_of(one["path"]),
        name=one["path"],
        width=one["width"],
        height=one["height"],
        bytes=one["bytes"],
        similarity=similarity,
        frame=one["frame"],
        seconds=one["seconds"],
    )


def _similar(
    vectors: Float[Tensor, "n d"], threshold: float
) -> Iterator[tuple[Int64[Tensor, " p"], Int64[Tensor, " p"], Float[Tensor, " p"]]]:
    """Pairs a < b with their cosines, in the order of a, some rows at a time."""
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        cosines = vectors[start : start + ROWS_AT_ONCE] @ vectors[start:].T
        left, right = (cosines.triu(1) >= threshold).nonzero(as_tuple=True)
        later = right > left  # a threshold of 0 lets the zeros below the diagonal through
        left, right = left[later], right[later]
        yield left + start, right + start, cosines[left, right]


def _nearest(
    album: Album, rows: Int64[np.ndarray, " h"], allowed: Int64[np.ndarray, " r"] | None, threshold: float
) -> list[Int64[np.ndarray, " c"]]:
    """For each row the others with a cosine of at least the threshold, most similar first."""
    numbers, vectors = album.ranking.image_vectors()
    mine = vectors[torch.from_numpy(np.searchsorted(numbers, rows))].float()
    found: list[list[tuple[float, int]]] = [[] for _ in rows]
    for start in range(0, len(numbers), 65_536):
        cosines = mine @ vectors[start : start + 65_536].float().T
        for hit, place in (cosines >= threshold).nonzero().tolist():
            found[hit].append((-float(cosines[hit, place]), int(numbers[start + place])))
    near = []
    for row, pairs in zip(rows.tolist(), found, strict=True):
        others = np.array([other for _, other in sorted(pairs) if other != row], np.int64)
        if allowed is not None:
            others = others[np.isin(others, allowed)]
        near.append(others[:MOST_OF_HIT])
    return near
