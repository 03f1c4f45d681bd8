"""Converts images of an album and search hits to the records of a response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from find.serving import messages
from find.visualization.results import encode_mask

if TYPE_CHECKING:
    from find.retrieval.hits import Hit

_LABEL = 70  # maximum length of a drawn entity name, in characters


@dataclass(frozen=True)
class Drawn:
    """How an object is drawn: in the color of an entity, by its number in the queries, and with labels."""

    color: int
    labels: list[str]


def album_image(hit: Hit, drawn: Mapping[int, Drawn] | None = None) -> messages.AlbumImage:
    """An image with the address of its picture, in which the objects of these numbers are drawn."""
    asked = [("frame", hit.frame)]
    if drawn:
        asked.append(("objects", ",".join(map(str, drawn))))
        asked.append(("colors", ",".join(str(one.color) for one in drawn.values())))
        asked += [("label", ", ".join(one.labels)) for one in drawn.values()]
    return messages.AlbumImage(
        name=hit.name,
        width=hit.width,
        height=hit.height,
        time=hit.time,
        frame=hit.frame,
        seconds=hit.seconds,
        picture=f"/images/{quote(hit.name)}?{urlencode(asked)}",
    )


def found_image(rank: int, hit: Hit, moments: Sequence[Hit], *, masks: bool) -> messages.FoundImage:
    """A hit, with the moments of its film that were found."""
    return messages.FoundImage(
        **dict(found_moment(hit, masks=masks)),
        rank=rank,
        duplicates=list(hit.duplicates),
        moments=[found_moment(one, masks=masks) for one in moments],
    )


def found_moment(hit: Hit, *, masks: bool) -> messages.FoundMoment:
    """Text lists the entities of the first query, the picture shows those of all queries to match."""
    found = zip(hit.parts[0].query.entity_names, hit.entity_terms, hit.present, hit.objects, strict=True)
    entities = [
        messages.FoundEntity(
            text=text,
            term=term,
            present=present,
            object=thing,
            box=list(hit.box(number)),
            segmentation=messages.Mask(**encode_mask(hit.mask(number))) if masks else None,
        )
        for number, (text, term, present, thing) in enumerate(found)
    ]
    queries = [
        messages.FoundQuery(query=part.query.text, is_excluded=part.is_excluded, score=part.score) for part in hit.parts
    ]
    return messages.FoundMoment(
        **dict(album_image(hit, _drawn(hit))),
        score=hit.score,
        relevance=hit.relevance,
        image_term=hit.image_term,
        entities=entities,
        connections=[
            messages.FoundConnection(text=fit.text, entities=list(fit.entities), fit=fit.value) for fit in hit.fits
        ],
        queries=queries,
    )


def _drawn(hit: Hit) -> dict[int, Drawn]:
    """Each object once, with all entities that matched it, in the color of the first of them."""
    drawn: dict[int, Drawn] = {}
    number = 0
    for part in hit.parts:
        if part.is_excluded:
            continue
        for name, term, thing in zip(part.query.entity_names, part.entity_terms, part.objects, strict=True):
            drawn.setdefault(thing, Drawn(number, [])).labels.append(f"{name[:_LABEL]} {term:.3f}")
            number += 1
    return drawn
