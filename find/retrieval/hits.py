"""What a search finds: an image, the parts of its score, and the objects behind them, in words and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, UInt8

from find.errors import DataError, InputError
from find.query.operators import JoinedQuery
from find.query.query import Query
from find.retrieval.objects import ObjectMasks

if TYPE_CHECKING:
    from PIL import Image
    from supervision import Detections


EXCLUDED_WEIGHT = 0.5
"""Of the score of what must not be there. A quarter to a half serve best: over 277 pairs of categories of a synthetic
world, where images with the first and without the second are sought, the mean average precision is 0.74 without it,
0.88 at 0.25, 0.89 at 0.5 and 0.79 at 1 (benchmark/results/algebra.md)."""


SILENT = 0.1
"""Words about one entity's place that fit neither better nor worse than so are not explained."""


@dataclass(frozen=True)
class ConnectionFit:
    """How well the words beside entities fit where the objects lie that these have taken.

    Attributes:
        text: the words.
        entities: the two that they stand between, or the one of which they tell the place.
        value: from -1, they say otherwise, over 0, they say nothing, to 1.
        weight: in the score.
    """

    text: str
    entities: tuple[int, ...]
    value: float
    weight: float


@dataclass(frozen=True)
class ScorePart:
    """What one query gives to the score of an image.

    With a pair term the entities take objects jointly, and the score is
    `sentence_weight * image_term + (entity_weight * sum(entity_terms) + sum(weight * value of fits)) / entities`.

    Attributes:
        query: the query.
        is_excluded: it counts against the image (`A - query`).
        score: image_term + 0.5 * mean(entity_terms); one of the two alone where the other is missing; of models with a
            pair term see above.
        image_term: cosine of the image's vector with the sentence's; None where the query is an entity by itself.
        entity_terms: for each entity of the query, cosine with the object of the image that it takes.
        objects: for each entity, the number of that object among those that the album keeps of the image.
        fits: of the words beside and between the entities.
        sentence_weight, entity_weight: in the score.
    """

    query: Query
    is_excluded: bool
    score: float
    image_term: float | None
    entity_terms: tuple[float, ...]
    objects: tuple[int, ...]
    fits: tuple[ConnectionFit, ...] = ()
    sentence_weight: float = 1.0
    entity_weight: float = 0.5


@dataclass(frozen=True, repr=False)
class Objects:
    """The objects that an album keeps of an image, best first: unit vectors, objectness in 0..1, and masks."""

    vectors: Float[np.ndarray, "k d"]
    scores: Float[np.ndarray, " k"]
    masks: ObjectMasks

    def __repr__(self) -> str:
        return f"Objects({len(self.scores)} of {self.vectors.shape[1]} values)"


@dataclass(frozen=True, repr=False)
class Hit:
    """One image that a search found.

    Attributes:
        path: its file. For a frame of a video, the video's; then `seconds` says where in it.
        name: the path below the album's folder of photos.
        score: of a query, its part's; of a joined one, see `JoinedQuery`.
        parts: what each query gives to it; none where no query was asked (`Album.image`).
        height, width: of the image, in pixels.
        found: the image's objects.
        time: when it was taken, if the file tells.
        relevance: the probability that the image is what was sought (`find.retrieval.relevance`); None of models
            without a match head, and of queries without entities.
        frame, seconds: number and time of a video's frame; 0 and None for a photograph.
        duplicates: images that are near-duplicates of this one, by their places, where a search folds these.
    """

    path: Path
    name: str
    score: float
    parts: tuple[ScorePart, ...]
    height: int
    width: int
    found: Objects
    time: datetime | None = None
    frame: int = 0
    seconds: float | None = None
    relevance: float | None = None
    duplicates: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Its place, its score, and the first query's entities with their terms."""
        terms = zip(self.parts[0].query.entity_names, self.entity_terms, strict=False) if self.parts else ()
        return f"Hit({', '.join([self.place, f'{self.score:.3f}', *(f'{name} {term:.3f}' for name, term in terms)])})"

    @property
    def place(self) -> str:
        """The name, of a frame with its time."""
        return self.name if self.seconds is None else f"{self.name} at {self.seconds:.1f} s"

    @property
    def image_term(self) -> float | None:
        """Of the first query."""
        return self.parts[0].image_term if self.parts else None

    @property
    def entity_terms(self) -> tuple[float, ...]:
        """Of the first query."""
        return self.parts[0].entity_terms if self.parts else ()

    @property
    def objects(self) -> tuple[int, ...]:
        """Of the first query's entities."""
        return self.parts[0].objects if self.parts else ()

    @property
    def fits(self) -> tuple[ConnectionFit, ...]:
        """Of the words beside the first query's entities."""
        return self.parts[0].fits if self.parts else ()

    def mask(self, entity: int = 0, *, part: int = 0) -> Bool[np.ndarray, "H W"]:
        """The mask of the object that an entity of a query found, from the album, at the image's own size."""
        return self.object_mask(self._object(entity, part))

    def box(self, entity: int = 0, *, part: int = 0) -> tuple[int, int, int, int]:
        """Its box: x0, y0, x1, y1 in pixels, x1 and y1 just outside."""
        x0, y0, x1, y1 = (int(side) for side in self.found.masks.boxes[self._object(entity, part)])
        return x0, y0, x1, y1

    def object_mask(self, number: int) -> Bool[np.ndarray, "H W"]:
        """The mask of one of the image's objects."""
        return self.found.masks.draw(number, self.height, self.width)

    def explain(self) -> str:
        """In words: what made the score, and where each entity was found."""
        told = "" if self.relevance is None else f", relevance {self.relevance:.2f}"
        lines = [
            f"{self.place}: score {self.score:.3f}{told}"
            + (" = " + _formula(self.parts) if len(self.parts) > 1 else "")
        ]
        for part in self.parts:
            word = "must not be" if part.is_excluded else "query"
            lines.append(f"  {word} “{part.query.text}”: {part.score:.3f} = {_terms(part)}")
            for number, name in enumerate(part.query.entity_names):
                term, thing = part.entity_terms[number], part.objects[number]
                x0, y0, x1, y1 = (int(side) for side in self.found.masks.boxes[thing])
                where = _place((x0 + x1) / 2 / self.width, (y0 + y1) / 2 / self.height)
                share = (x1 - x0) * (y1 - y0) / (self.width * self.height)
                lines.append(
                    f"    {name}: {term:.3f} with object {thing}, {where}, box {x0},{y0},{x1},{y1} "
                    f"({share:.0%} of the image)"
                )
            for fit in part.fits:
                if len(fit.entities) == 2 or abs(fit.value) >= SILENT:
                    lines.append(f"    {fit.text}: {fit.value:.2f}, {self._where(part, fit)}")
        return "\n".join(lines)

    def pixels(self) -> UInt8[np.ndarray, "H W 3"]:
        """The image. Raises FindError where it is gone, or has another size than when it was indexed."""
        if self.seconds is None:
            from find.images.images import read_image

            pixels = read_image(self.path)
        else:
            from find.retrieval.video import read_frame

            pixels = read_frame(self.path, self.frame, self.seconds)
        if pixels.shape[:2] != (self.height, self.width):
            raise DataError(f"{self.path}: this image has changed since it was indexed; run findvl index again")
        return pixels

    def draw(self, *, min_side: int = 480) -> Image.Image:
        """The image with the mask, name and cosine of what each entity found."""
        from find.visualization.drawing import Overlay, draw_overlays

        overlays = []
        for number, part in enumerate(self.parts):
            if part.is_excluded:
                continue
            for entity, name in enumerate(part.query.entity_names):
                overlays.append(Overlay(self.mask(entity, part=number), name, part.entity_terms[entity]))
        return draw_overlays(self.pixels(), overlays, min_side=min_side)

    def to_supervision(self) -> Detections:
        """What the entities found, as supervision's Detections; the confidence is an entity's cosine."""
        from find.visualization.supervision import detections

        found = [
            (k, number)
            for k, part in enumerate(self.parts)
            if not part.is_excluded
            for number in range(len(part.objects))
        ]
        masks = np.array([self.mask(number, part=k) for k, number in found]).reshape(-1, self.height, self.width)
        terms = [self.parts[k].entity_terms[number] for k, number in found]
        names = [self.parts[k].query.entity_names[number] for k, number in found]
        boxes = [self.box(number, part=k) for k, number in found]  # the masks come back from the album less exactly
        return detections(masks, terms, range(len(found)), names, boxes=boxes)

    def _where(self, part: ScorePart, fit: ConnectionFit) -> str:
        """'from box 0,0,9,9 to box 9,0,19,9'."""
        boxes = [",".join(map(str, self.found.masks.boxes[part.objects[entity]])) for entity in fit.entities]
        return f"from box {boxes[0]} to box {boxes[1]}" if len(boxes) == 2 else f"of box {boxes[0]}"

    def _object(self, entity: int, part: int) -> int:
        if not 0 <= part < len(self.parts):
            raise InputError(f"{self.name} was found by {len(self.parts)} queries, none is {part}")
        objects = self.parts[part].objects
        if not 0 <= entity < len(objects):
            raise InputError(f"the query “{self.parts[part].query.text}” has {len(objects)} entities, none is {entity}")
        return objects[entity]


def joined_score(query: JoinedQuery, scores: Sequence[float] | np.ndarray) -> np.ndarray:
    """The scores of a joined query from those of its queries [queries, ...]."""
    scores = np.asarray(scores)
    count = len(query.include)
    total = scores[:count].mean(axis=0)
    return total - EXCLUDED_WEIGHT * scores[count:].max(axis=0) if query.exclude else total


def _terms(part: ScorePart) -> str:
    if part.image_term is None:
        return "the nearest object's"
    sentence = f"sentence {part.image_term:.3f}"
    if part.sentence_weight != 1:
        sentence = f"{part.sentence_weight:.2f} x {sentence}"
    if not part.objects:
        return sentence
    terms = f"{sentence} + {part.entity_weight:.2g} x {np.mean(part.entity_terms):.3f}"
    connected = sum(fit.weight * fit.value for fit in part.fits) / len(part.objects)
    return f"{terms} {'-' if connected < 0 else '+'} connections {abs(connected):.3f}" if part.fits else terms


def _formula(parts: Sequence[ScorePart]) -> str:
    include = [f"{part.score:.3f}" for part in parts if not part.is_excluded]
    exclude = [f"{part.score:.3f}" for part in parts if part.is_excluded]
    text = include[0] if len(include) == 1 else f"mean({', '.join(include)})"
    if not exclude:
        return text
    return f"{text} - {EXCLUDED_WEIGHT:g} x {exclude[0] if len(exclude) == 1 else 'max(' + ', '.join(exclude) + ')'}"


def _place(x: float, y: float) -> str:
    """'at the top left', for a centre in 0..1."""
    down = ("top", "middle", "bottom")[min(2, int(3 * y))]
    across = ("left", "", "right")[min(2, int(3 * x))]
    if down == "middle":
        return f"at the {across}" if across else "in the middle"
    return f"at the {down} {across}".rstrip()
