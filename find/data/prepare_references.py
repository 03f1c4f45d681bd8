"""Adds references (segments of other images) to the phrases of a FIND-Bench file that lacks them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from find.data.dataset_issue import raise_if_it_stops
from find.data.panoptic import PanopticTable
from find.data.records import read_document, read_json, whole_number
from find.data.schema import SentenceDocument

NOTE = (
    "made by `findvl data prepare`: every phrase got a reference, the segment of its category in another image whose "
    "share of the picture is nearest to its own; these are not the references of the published benchmark"
)


def add_references(path: Path, made: Path, table: PanopticTable) -> None:
    """Writes `made`: the sentences of `path`, each phrase with a `reference` if the split has a suitable segment.

    Existing references are kept. Phrases whose segments are unknown or crowds get none. The result is deterministic.

    Raises:
        FindError: an entry of the file is broken.
    """
    read_document(path, SentenceDocument, raise_if_it_stops)
    data = read_json(path, "annotations")
    choose = _Choice(table)
    for record in data["annotations"]:
        for phrase in record.get("phrase", ()):
            if not phrase.get("reference") and (reference := choose(record.get("image_id"), phrase)) is not None:
                phrase["reference"] = reference
    data["info"] = {**data.get("info", {}), "description": NOTE} if isinstance(data.get("info", {}), dict) else NOTE
    unfinished = made.with_name(made.name + ".part")
    unfinished.write_text(json.dumps(data), encoding="utf-8")
    unfinished.replace(made)


class _Choice:
    """Finds the segment most similar in relative size, by binary search among each category's segments."""

    def __init__(self, table: PanopticTable) -> None:
        self.table = table
        images = np.repeat(np.arange(len(table.image_ids)), np.diff(table.offsets))
        share = table.areas / table.sizes.astype(np.int64).prod(axis=1)[images]
        usable = np.flatnonzero(~table.crowd & (table.areas > 0))
        order = usable[np.lexsort((usable, share[usable], table.category_index[usable]))]
        self.images, self.share = images, share
        bounds = np.searchsorted(table.category_index[order], np.arange(len(table.categories) + 1))
        self.of_category = [order[a:b] for a, b in itertools.pairwise(bounds)]

    def __call__(self, image_id: Any, phrase: dict[str, Any]) -> dict[str, int] | None:
        """The reference for the first usable segment of the phrase."""
        try:
            value = phrase["annotation_id"]
            ids = [whole_number(id) for id in (value if isinstance(value, list) else [value])]
            row = self.table.rows[whole_number(image_id)]
        except (KeyError, ValueError):
            return None
        span = self.table.span(row)
        known = self.table.segment_ids[span].tolist()
        for id in ids:
            if id in known:
                segment = span.start + known.index(id)
                if not self.table.crowd[segment]:
                    return self._nearest(row, segment)
        return None

    def _nearest(self, row: int, segment: int) -> dict[str, int] | None:
        others = self.of_category[self.table.category_index[segment]]
        place = int(np.searchsorted(self.share[others], self.share[segment]))
        below = next((n for n in others[:place][::-1] if self.images[n] != row), None)
        above = next((n for n in others[place:] if self.images[n] != row), None)
        found = [number for number in (below, above) if number is not None]
        if not found:
            return None
        best = min(found, key=lambda number: (abs(self.share[number] - self.share[segment]), number))
        image_id = self.table.image_ids[self.images[best]]
        return {"image_id": int(image_id), "annotation_id": int(self.table.segment_ids[best])}
