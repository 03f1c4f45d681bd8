"""Assignment of pictures to train and val, if the export does not give splits."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from find.annotation.importing.export import TEST, TRAIN, VAL, Photo
from find.errors import DataError, InputError

COPY = re.compile(r"\.rf\.[0-9A-Za-z]+$")
"""The suffix of Roboflow's picture names; augmented copies of a photo differ only in it."""


def with_splits(photos: Sequence[Photo], fraction: float, seed: int) -> tuple[list[Photo], str]:
    """The photos, all with a split, and a description of how they were split.

    Existing train, val and test splits are kept. If train or val is missing, photos without a split are divided into
    train and val, `fraction` of them into val; if all have a split, those of train are divided, otherwise those of the
    existing split. Augmented copies of a photo stay together. The same photos and seed give the same result.

    Raises:
        FindError: there are fewer than two photos to divide.
    """
    if not 0 < fraction < 1:
        raise InputError(f"the fraction of val must be between 0 and 1, not {fraction:g}")
    present = {photo.split for photo in photos}
    if None not in present and {TRAIN, VAL} <= present:
        return list(photos), "train and val as in the export"
    source = next(split for split in (None, TRAIN, VAL, TEST) if split in present)
    free = [photo for photo in photos if photo.split == source]
    groups: dict[str, list[Photo]] = defaultdict(list)
    for photo in free:
        groups[COPY.sub("", photo.path.stem)].append(photo)
    if len(groups) < 2:
        raise DataError(
            f"the export has {len(photos)} pictures that can be used: at least two are needed, one to train and one to "
            "look at afterwards"
        )
    names = sorted(groups)
    random.Random(seed).shuffle(names)
    wanted = min(len(names) - 1, max(1, round(fraction * len(names))))
    chosen = set(names[:wanted])
    dealt = {id(photo): VAL if name in chosen else TRAIN for name, group in groups.items() for photo in group}
    of = f"the {len(free)} pictures" + (f" of {source}" if source else " without a split" if len(present) > 1 else "")
    words = f"{fraction:.0%} of {of} drawn for val, seed {seed}"
    return [replace(photo, split=dealt.get(id(photo), photo.split)) for photo in photos], words
