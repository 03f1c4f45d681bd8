"""What `segment` and `search` tell: JSON with COCO masks, and overlays with phrases and scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from find.demo.drawing import Overlay, draw_overlays
from find.query import Phrase, Query

if TYPE_CHECKING:
    from find.predictions import EntityMask
    from find.retrieval.album import Hit


def entity_names(query: Query) -> tuple[str, ...]:
    """What to call each entity of a query: a phrase's words, a region's label or file name in brackets."""
    return tuple(entity.text if isinstance(entity, Phrase) else f"[{entity.name}]" for entity in query.entities)


def encode_mask(mask: Bool[np.ndarray, "h w"]) -> dict[str, object]:
    """The mask as COCO's compressed run-length code: {"size": [height, width], "counts": text}."""
    from pycocotools import mask as coco_mask

    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}


def mask_box(mask: Bool[np.ndarray, "h w"]) -> tuple[int, int, int, int] | None:
    """The smallest box (x0, y0, x1, y1) around a mask, x1 and y1 just outside; None for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def entities_json(query: Query, masks: Sequence[EntityMask]) -> list[dict[str, object]]:
    """One record an entity: text, score 0..1, box (x0, y0, x1, y1 in pixels, or null), COCO run-length code."""
    return [
        {
            "text": name,
            "score": round(float(found.score), 4),
            "box": mask_box(found.mask),
            "segmentation": encode_mask(found.mask),
        }
        for name, found in zip(entity_names(query), masks, strict=True)
    ]


def hits_json(query: Query, hits: Sequence[Hit], masks: Sequence[Sequence[EntityMask]]) -> list[dict[str, object]]:
    """One record a hit: rank from 1, path, score, image_term, and its entities with their term of the score.

    `masks` holds one mask an entity for each hit; for a query without entities, an empty list for each.
    """
    records = []
    for rank, (hit, found) in enumerate(zip(hits, masks, strict=True), start=1):
        entities = entities_json(query, found)
        for entity, term, number in zip(entities, hit.entity_terms, hit.objects, strict=True):
            entity |= {"term": round(term, 4), "object": number}
        records.append(
            {
                "rank": rank,
                "path": str(hit.path),
                "score": round(hit.score, 4),
                "image_term": round(hit.image_term, 4),
                "entities": entities,
            }
        )
    return records


def draw_entities(
    image: UInt8[np.ndarray, "h w 3"], query: Query, masks: Sequence[EntityMask], *, min_side: int = 480
) -> Image.Image:
    """The image with the mask, name and score of every entity."""
    overlays = [
        Overlay(mask=found.mask, label=name, score=float(found.score))
        for name, found in zip(entity_names(query), masks, strict=True)
    ]
    return draw_overlays(image, overlays, min_side=min_side)
