"""Search hits: an image, the terms of its score, and the matched objects, explained in words and drawn."""

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
"""Weight of the score of excluded queries. 0.25 to 0.5 work best: searching for images with one category and without
another (277 pairs of a synthetic world), the mean average precision is 0.74 at weight 0, 0.88 at 0.25, 0.89 at 0.5 and
0.79 at 1 (benchmark/results/algebra.md)."""


SILENT = 0.1
"""Words about one entity's place whose fit is smaller than this, in absolute value, are not explained."""


@dataclass(frozen=True)
class ConnectionFit:
    """How well connecting words fit the positions of the objects that the entities matched.

    Attributes:
        text: the words.
        entities: the two entities that they connect, or the one whose place they describe.
        value: 1 if they agree with the positions, 0 if they say nothing, -1 if they contradict them.
        weight: weight in the score.
    """

    text: str
    entities: tuple[int, ...]
    value: float
    weight: float


@dataclass(frozen=True)
class ScorePart:
    """The contribution of one query to the score of an image.

    With a pair term, entities are assigned to objects jointly, and the score is
    `sentence_weight * image_term + (entity_weight * sum(entity_terms) + sum(weight * value of fits)) / entities`.

    Attributes:
        query: the query.
        is_excluded: whether it counts against the image (`A - query`).
        score: image_term + 0.5 * mean(entity_terms), or only one of the two if the other is missing; with a pair term,
            see above.
        image_term: cosine similarity of the image and the sentence; None if the query is a single entity.
        entity_terms: for each entity of the query, the cosine similarity with the object that it matched.
        objects: for each entity, the index of that object among those stored for the image.
        present: for each entity, the probability that this object is what it describes; empty without a match head.
        fits: how well the words around the entities fit.
        sentence_weight, entity_weight: weights in the score.
    """

    query: Query
    is_excluded: bool
    score: float
    image_term: float | None
    entity_terms: tuple[float, ...]
    objects: tuple[int, ...]
    fits: tuple[ConnectionFit, ...] = ()
    present: tuple[float, ...] = ()
    sentence_weight: float = 1.0
    entity_weight: float = 0.5


@dataclass(frozen=True, repr=False)
class Objects:
    """The objects stored for an image, best first: unit vectors, objectness scores (0..1), and masks."""

    vectors: Float[np.ndarray, "k d"]
    scores: Float[np.ndarray, " k"]
    masks: ObjectMasks

    def __repr__(self) -> str:
        return f"Objects({len(self.scores)} of {self.vectors.shape[1]} values)"


@dataclass(frozen=True, repr=False)
class Hit:
    """One image that a search found.

    Attributes:
        path: the image file. For a video frame, the video file; `seconds` is the frame's time.
        name: the path below the album's folder of photos.
        score: the score of the query; for a joined query, see `JoinedQuery`.
        parts: the contribution of each query; empty if there was no query (`Album.image`).
        height, width: size of the image, in pixels.
        found: the image's objects.
        time: when it was taken, if the file says.
        relevance: the probability that the image is relevant (`find.retrieval.relevance`); None for models without a
            match head, and for queries without entities.
        frame, seconds: number and time of a video frame; 0 and None for a photo.
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
        """Name, score, and the entities of the first query with their terms."""
        terms = zip(self.parts[0].query.entity_names, self.entity_terms, strict=False) if self.parts else ()
        return f"Hit({', '.join([self.place, f'{self.score:.3f}', *(f'{name} {term:.3f}' for name, term in terms)])})"

    @property
    def place(self) -> str:
        """The name; for a video frame, with its time."""
        return self.name if self.seconds is None else f"{self.name} at {self.seconds:.1f} s"

    @property
    def image_term(self) -> float | None:
        """The cosine of the first query's sentence with the image; None for a query that is a single entity."""
        return self.parts[0].image_term if self.parts else None

    @property
    def entity_terms(self) -> tuple[float, ...]:
        """The cosine of each entity of the first query with its object."""
        return self.parts[0].entity_terms if self.parts else ()

    @property
    def objects(self) -> tuple[int, ...]:
        """The index of the object that each entity of the first query takes."""
        return self.parts[0].objects if self.parts else ()

    @property
    def present(self) -> tuple[float | None, ...]:
        """Of the first query's entities: the probability that each is there; None where the model cannot tell."""
        return self.parts[0].present or (None,) * len(self.objects) if self.parts else ()

    @property
    def fits(self) -> tuple[ConnectionFit, ...]:
        """Of the words beside the first query's entities."""
        return self.parts[0].fits if self.parts else ()

    def mask(self, entity: int = 0, *, part: int = 0) -> Bool[np.ndarray, "H W"]:
        """The stored mask of the object that an entity matched, at the image's own size."""
        return self.object_mask(self._object(entity, part))

    def box(self, entity: int = 0, *, part: int = 0) -> tuple[int, int, int, int]:
        """That object's box: x0, y0, x1, y1 in pixels; x1 and y1 are exclusive."""
        x0, y0, x1, y1 = (int(side) for side in self.found.masks.boxes[self._object(entity, part)])
        return x0, y0, x1, y1

    def object_mask(self, number: int) -> Bool[np.ndarray, "H W"]:
        """The mask of one of the image's objects."""
        return self.found.masks.draw(number, self.height, self.width)

    def explain(self) -> str:
        """Explains in words how the score was computed, and where each entity was found."""
        relevance = "" if self.relevance is None else f", relevance {self.relevance:.2f}"
        lines = [
            f"{self.place}: score {self.score:.3f}{relevance}"
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
                    + (f", there with probability {part.present[number]:.2f}" if part.present else "")
                )
            for fit in part.fits:
                if len(fit.entities) == 2 or abs(fit.value) >= SILENT:
                    lines.append(f"    {fit.text}: {fit.value:.2f}, {self._where(part, fit)}")
        return "\n".join(lines)

    def pixels(self) -> UInt8[np.ndarray, "H W 3"]:
        """The image's pixels. Raises FindError if it was deleted, or its size has changed since it was indexed."""
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
        """The image with the mask, name and cosine similarity of each entity's object drawn."""
        from find.visualization.drawing import Overlay, draw_overlays

        overlays = []
        for number, part in enumerate(self.parts):
            if part.is_excluded:
                continue
            for entity, name in enumerate(part.query.entity_names):
                overlays.append(Overlay(self.mask(entity, part=number), name, part.entity_terms[entity]))
        return draw_overlays(self.pixels(), overlays, min_side=min_side)

    def to_supervision(self) -> Detections:
        """The matched objects as supervision's Detections; the confidence is the entity's cosine similarity."""
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
        boxes = [self.box(number, part=k) for k, number in found]  # stored masks are compressed, hence less exact
        return detections(masks, terms, range(len(found)), names, boxes=boxes)

    def _where(self, part: ScorePart, fit: ConnectionFit) -> str:
        """'from box 0,0,9,9 to box 9,0,19,9'."""
        boxes = [",".join(map(str, self.found.masks.boxes[part.objects[entity]])) for entity in fit.entities]
        return f"from box {boxes[0]} to box {boxes[1]}" if len(boxes) == 2 else f"by the place of box {boxes[0]} alone"

    def _object(self, entity: int, part: int) -> int:
        if not 0 <= part < len(self.parts):
            raise InputError(f"{self.name} was found by {len(self.parts)} queries, none is {part}")
        objects = self.parts[part].objects
        if not 0 <= entity < len(objects):
            raise InputError(f"the query “{self.parts[part].query.text}” has {len(objects)} entities, none is {entity}")
        return objects[entity]


def joined_score(query: JoinedQuery, scores: Sequence[float] | np.ndarray) -> np.ndarray:
    """The scores of a joined query from the scores [queries, ...] of its queries."""
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
    """A position in words, such as 'at the top left', for a centre in 0..1."""
    down = ("top", "middle", "bottom")[min(2, int(3 * y))]
    across = ("left", "", "right")[min(2, int(3 * x))]
    if down == "middle":
        return f"at the {across}" if across else "in the middle"
    return f"at the {down} {across}".rstrip()
