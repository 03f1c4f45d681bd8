"""Queries as plain data: words and the segments that are their regions; and a key for look-ups."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from find.evaluation.prediction_files.folder import NamedFolder, id_of
from find.query.query import Phrase, Query, Region

Parts = list[Any]
"""A query in JSON: text as a string, `{"phrase": words}`, `{"region": {"image_id", "segment_ids", "label"}}`."""


def parts_of(query: Query, folder: NamedFolder) -> Parts:
    """A query whose regions are segments of the folder's own images. Raises `FindError` for any other region."""
    return [_part(part, folder) for part in query.parts]


def parts_of_text(text: str) -> Parts:
    """A text to ground, as a query of one phrase."""
    return [{"phrase": text}]


def key_of(parts: Parts) -> str:
    """A one-line key that is equal for equal queries."""
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def entities_in(parts: Parts) -> list[dict[str, Any]]:
    """The phrases and regions of a query in JSON, in reading order."""
    return [part for part in parts if isinstance(part, dict)]


def _part(part: str | Phrase | Region, folder: NamedFolder) -> str | dict[str, Any]:
    if isinstance(part, str):
        return part
    if isinstance(part, Phrase):
        return {"phrase": part.text}
    image_id = id_of(part.image)
    shown = folder.segment_map(image_id)[part.bitmap()]
    segment_ids = [segment for segment in np.unique(shown).tolist() if segment]
    return {"region": {"image_id": image_id, "segment_ids": segment_ids, "label": part.label}}
