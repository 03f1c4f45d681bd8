"""Output of `segment` and `search`: JSON with COCO masks, and overlays with phrases and scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from find.visualization.drawing import Overlay, add_title, draw_overlays, tile
from find.visualization.uncertainty import ABSENT, DOUBTFUL, UnknownWords, doubt

if TYPE_CHECKING:
    from find.model.predictions import EntityMask
    from find.query.query import Query
    from find.retrieval.hits import Hit

GONE = (222, 225, 229)
"""The grey of a picture that is not there any more."""


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


def shown(figure: float) -> float:
    """A score or a term of one, as JSON, terminal and pictures show it: three decimals."""
    return round(float(figure), 3)


def entities_json(query: Query, masks: Sequence[EntityMask | None], unknown: UnknownWords) -> list[dict[str, object]]:
    """One record per entity: text, score 0..1, present (the probability that it is in the image; null without a match
    head), box (x0, y0, x1, y1 in pixels, or null), COCO run-length code.

    An entity is doubtful where words of it are unknown, its mask is empty, it is probably not there, or its score is
    below `find.visualization.uncertainty.DOUBTFUL`. Of a picture that is gone (a mask of None), score, box and code are
    null.
    """
    return [
        {
            "text": name,
            "score": found and shown(found.score),
            "present": None if found is None or found.present is None else shown(found.present),
            "doubtful": bool(words) if found is None else doubt(found, words) is not None,
            "unknown_words": list(words),
            "box": found and mask_box(found.mask),
            "segmentation": found and encode_mask(found.mask),
        }
        for name, found, words in zip(query.entity_names, masks, unknown.entities, strict=True)
    ]


def hits_json(
    query: Query, hits: Sequence[Hit], masks: Sequence[Sequence[EntityMask | None]], unknown: UnknownWords
) -> list[dict[str, object]]:
    """One record a hit: rank from 1, path, score, image_term, its entities with their term of the score, how the words
    beside them fit (-1..1), and the score of each query of a joined one.

    `masks` holds one mask an entity for each hit, or None where its picture is gone; for a query without entities, an
    empty list for each.
    """
    records = []
    for rank, (hit, found) in enumerate(zip(hits, masks, strict=True), start=1):
        entities = entities_json(query, found, unknown) if found else []
        for entity, term, number in zip(entities, hit.entity_terms, hit.objects, strict=True):
            entity |= {"term": shown(term), "object": number}
        records.append(
            {
                "rank": rank,
                "path": str(hit.path),
                "score": shown(hit.score),
                "relevance": None if hit.relevance is None else shown(hit.relevance),
                "image_term": None if hit.image_term is None else shown(hit.image_term),
                "entities": entities,
                "connections": [
                    {"text": fit.text, "entities": list(fit.entities), "fit": shown(fit.value)} for fit in hit.fits
                ],
                "duplicates": list(hit.duplicates),
                "queries": [
                    {"query": part.query.text, "is_excluded": part.is_excluded, "score": shown(part.score)}
                    for part in hit.parts
                ],
            }
        )
    return records


def hit_line(rank: int, hit: Hit, query: Query, unknown: UnknownWords, *, whole: str = "sentence") -> str:
    """One line of a terminal: rank, score, file, what made the score; a question mark after what is doubtful: unknown
    words, and things that are probably not there.

    Of a joined query, `query` is the first; the others follow with their whole scores. `whole` is what the query is
    compared as if not by things: a sentence, or a photo.
    """
    marked = zip(query.entity_names, doubts(hit, unknown), strict=True)
    names = [f"{name}?" if is_doubtful else name for name, is_doubtful in marked]
    between = {fit.entities[0]: f", {fit.text} {fit.value:.2f}" for fit in hit.fits if len(fit.entities) == 2}
    found = zip(names, hit.entity_terms, strict=True)
    terms = ", ".join(f"{name} {term:.3f}{between.get(number, '')}" for number, (name, term) in enumerate(found))
    others = "".join(
        f"; {'without' if part.is_excluded else 'and'} “{part.query.text}” {part.score:.3f}" for part in hit.parts[1:]
    )
    sentence = "" if hit.image_term is None else f"{whole} {hit.image_term:.3f}"
    relevance = "" if hit.relevance is None else f"relevance {hit.relevance:.2f}{'?' if unknown.query else ''}"
    details = ", ".join(filter(None, (relevance, sentence, terms))) + others
    moment = "" if hit.seconds is None else f" at {hit.seconds:.1f} s"
    return f"{rank:3d}. {hit.score:.3f}  {hit.path}{moment}  ({details})"


def doubts(hit: Hit, unknown: UnknownWords) -> list[bool]:
    """Whether each entity of a hit's first query is doubtful: its words are unknown, or it is probably not there."""
    known = hit.present or (None,) * len(unknown.entities)
    return [
        bool(words) or (likely is not None and likely < ABSENT)
        for words, likely in zip(unknown.entities, known, strict=True)
    ]


def hits_warning(hits: Sequence[Hit]) -> str | None:
    """One sentence where none of the hits is likely what was sought; None where one is, or the model cannot tell."""
    known = [hit.relevance for hit in hits if hit.relevance is not None]
    if not known or max(known) >= ABSENT:
        return None
    return f"probably none of these is what you look for (highest relevance {max(known):.2f})"


def draw_entities(
    image: UInt8[np.ndarray, "h w 3"],
    query: Query,
    masks: Sequence[EntityMask],
    unknown: UnknownWords,
    *,
    terms: Sequence[float] | None = None,
    min_side: int = 480,
) -> Image.Image:
    """The image with the mask, name and score of every entity; a question mark where it is doubtful.

    Results of a search have the entities' `terms`, which ranked them, instead of scores.
    """
    figures = [found.score for found in masks] if terms is None else terms
    overlays = [
        Overlay(mask=found.mask, label=name if doubt(found, words) is None else f"{name}?", score=float(figure))
        for name, found, words, figure in zip(query.entity_names, masks, unknown.entities, figures, strict=True)
    ]
    return draw_overlays(image, overlays, min_side=min_side)


def draw_hits(
    query: Query,
    hits: Sequence[Hit],
    pictures: Sequence[UInt8[np.ndarray, "h w 3"] | None],
    masks: Sequence[Sequence[EntityMask | None]],
    unknown: UnknownWords,
) -> Image.Image:
    """A sheet of the images found, best first, each with its entities and their terms where it has masks for them.

    A picture of None is gone: its tile is grey.
    """
    tiles, captions = [], []
    for rank, (hit, picture, found) in enumerate(zip(hits, pictures, masks, strict=True), start=1):
        caption = f"{rank}. {hit.score:.3f} {hit.path.name}"
        if picture is None:
            tiles.append(Image.new("RGB", (hit.width, hit.height), GONE))
            caption += " (gone or changed)"
        elif found:
            tiles.append(draw_entities(picture, query, found, unknown, terms=hit.entity_terms))
        else:
            tiles.append(Image.fromarray(picture))
        captions.append(caption)
    sheet = tile(tiles, columns=5, captions=captions)
    return with_doubts(sheet, [mask for found in masks for mask in found if mask], unknown)


def with_doubts(picture: Image.Image, masks: Sequence[EntityMask], unknown: UnknownWords) -> Image.Image:
    """The picture under a line for each reason to doubt what it shows; as it is where there is none."""
    lines = [unknown.warning] if unknown.warning else []
    if any(found.present is not None and found.present < ABSENT for found in masks):
        lines.append("?: a thing that is probably not there")
    if any(found.score < DOUBTFUL for found in masks):
        lines.append(f"?: a mask chosen with a probability below {DOUBTFUL:g}; most such masks are wrong")
    return add_title(picture, lines) if lines else picture
