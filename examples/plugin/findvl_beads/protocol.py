"""An evaluation protocol: the pointing game. Told a class, does a system point at one of its things?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from find.data.data_split import DataSplit
from find.data.plurals import article
from find.evaluation.confidence import bootstrap, named_intervals, shares, sums_of_images
from find.evaluation.protocol import EvaluationProtocol, Measured, Metric, Run
from find.evaluation.system import Grounder
from find.evaluation.task_results import MissingAnnotations

HIT = Metric("hit")
DISTANCE = Metric("distance", unit="pixels", higher_is_better=False)


@dataclass(frozen=True)
class Answer:
    """How far from the nearest thing of its class a system pointed, in pixels; inside of one it is 0."""

    image_id: int
    name: str
    distance: float


@dataclass(frozen=True)
class Pointing(EvaluationProtocol):
    """For each class in an image, the centre of the mask that the class's name is answered with.

    Args:
        tolerance: a point is a hit if it is at most so many pixels away.
    """

    tolerance: float = 0.0
    name: ClassVar[str] = "pointing"

    def run(self, system: Grounder, data: DataSplit, run: Run) -> Measured:
        words = {category.id: category.words for category in data.categories}

        def asked(image_ids: Sequence[int]) -> list[list[Answer]]:
            classes = [sorted({segment.category_id for segment in data.segments(id)}) for id in image_ids]
            texts = [[article(words[category]) for category in own] for own in classes]
            masks = system.ground([data.image(image_id) for image_id in image_ids], texts)
            return [
                [
                    Answer(image_id, words[category], _distance(data, image_id, category, answer.mask))
                    for category, answer in zip(own, answers, strict=True)
                ]
                for image_id, own, answers in zip(image_ids, classes, masks, strict=True)
            ]

        image_ids = [image_id for image_id in run.image_ids if data.segments(image_id)]
        if not image_ids:
            raise MissingAnnotations(f"{data.root}: the images of {data.split} have no segments to point at")
        records = [answer for answers in run.in_order(image_ids, asked, title="pointing") for answer in answers]
        distances = np.array([record.distance for record in records])
        hits = (distances <= self.tolerance).astype(float)
        statistics = sums_of_images(np.array([record.image_id for record in records]), [hits, np.ones(len(hits))])
        return Measured(
            title="Pointing game",
            metrics=(HIT, DISTANCE),
            figures={"hit": 100 * float(hits.mean()), "distance": float(distances.mean())},
            found_intervals=named_intervals(["hit"], bootstrap(statistics, shares), factor=100),
            found_details={"images": len(image_ids), "questions": len(records), "tolerance": self.tolerance},
            records=records,
        )

    def texts(self, data: DataSplit, run: Run) -> Iterator[str]:
        yield from (category.words for category in data.categories)


def _distance(data: DataSplit, image_id: int, category: int, mask: np.ndarray) -> float:
    """From the middle of the mask (of the image, where it is empty) to the nearest pixel of the class."""
    own = [segment.id for segment in data.segments(image_id) if segment.category_id == category]
    there = np.argwhere(np.isin(data.segment_map(image_id), own))
    pointed = np.argwhere(mask)
    middle = pointed.mean(axis=0) if len(pointed) else np.array(mask.shape) / 2
    return float(np.linalg.norm(there - np.round(middle), axis=1).min())
