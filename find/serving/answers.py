"""Converts images of an album and search hits to the records of a response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from find.serving import messages
from find.visualization.results import encode_mask

if TYPE_CHECKING:
    from find.retrieval.hits import Hit

_LABEL = 70  # maximum length of a drawn entity name, in characters


def album_image(hit: Hit, labels: Mapping[int, Sequence[str]] | None = None) -> messages.AlbumImage:
    """An image with the address of its picture; `objects`' labels, by number, are drawn in it."""
    asked = [("frame", hit.frame)]
    if labels:
        asked.append(("objects", ",".join(map(str, labels))))
        asked += [("label", ", ".join(texts)) for texts in labels.values()]
    return messages.AlbumImage(
        name=hit.name,
        width=hit.width,
        height=hit.height,
        time=hit.time,
        frame=hit.frame,
        seconds=hit.seconds,
        picture=f"/images/{quote(hit.name)}?{urlencode(asked)}",
    )


def found_image(rank: int, hit: Hit, *, masks: bool) -> messages.FoundImage:
    """A hit: text lists the entities of the first query, the picture shows those of all queries to match."""
    found = zip(hit.parts[0].query.entity_names, hit.entity_terms, hit.objects, strict=True)
    entities = [
        messages.FoundEntity(
            text=text,
            term=term,
            object=thing,
            box=list(hit.box(number)),
            segmentation=messages.Mask(**encode_mask(hit.mask(number))) if masks else None,
        )
        for number, (text, term, thing) in enumerate(found)
    ]
    queries = [
        messages.FoundQuery(query=part.query.text, is_excluded=part.is_excluded, score=part.score) for part in hit.parts
    ]
    return messages.FoundImage(
        **dict(album_image(hit, _labels(hit))),
        rank=rank,
        score=hit.score,
        relevance=hit.relevance,
        image_term=hit.image_term,
        entities=entities,
        connections=[
            messages.FoundConnection(text=fit.text, entities=list(fit.entities), fit=fit.value) for fit in hit.fits
        ],
        queries=queries,
    )


def _labels(hit: Hit) -> dict[int, list[str]]:
    """Each object once, with all entities that matched it."""
    labels: dict[int, list[str]] = {}
    for part in hit.parts:
        if not part.is_excluded:
            for name, term, thing in zip(part.query.entity_names, part.entity_terms, part.objects, strict=True):
                labels.setdefault(thing, []).append(f"{name[:_LABEL]} {term:.3f}")
    return labels
