"""The metric of the counting task as a protocol: shown one thing of a class, how wrong is the count of its like?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from find.data.data_split import DataSplit
from find.evaluation.protocol import EvaluationProtocol, Measured, Metric, Run
from find.evaluation.task_results import MissingAnnotations
from findvl_beads.counting import CountErrors

METRICS = (
    Metric("mae", unit="things", higher_is_better=False, digits=2),
    Metric("relative", higher_is_better=False),
    Metric("exact"),
)


class Runner(Protocol):
    """What the protocol asks of a system; `find.FIND` with the task does it."""

    def run(self, task: str, images: Sequence[np.ndarray], prompts: Sequence[np.ndarray]) -> list[float]: ...


@dataclass(frozen=True)
class Counted:
    """An answer: how many things of a class were found by one of them, and how many there are."""

    image_id: int
    category: str
    found: float
    true: int


@dataclass(frozen=True)
class CountingErrors(EvaluationProtocol):
    """Queries each class of things in an image by the mask of its first thing."""

    name: ClassVar[str] = "counting"

    def run(self, system: Runner, data: DataSplit, run: Run) -> Measured:
        things = {category.id: category.words for category in data.categories if category.is_thing}

        def asked(image_ids: Sequence[int]) -> list[list[Counted]]:
            rows: list[tuple[int, int, np.ndarray, int]] = []
            for image_id in image_ids:
                ids: dict[int, list[int]] = {}
                for segment in data.segments(image_id):
                    if segment.category_id in things and not segment.is_crowd:
                        ids.setdefault(segment.category_id, []).append(segment.id)
                segment_map = data.segment_map(image_id)
                rows += [(image_id, category, segment_map == own[0], len(own)) for category, own in ids.items()]
            pictures = {image_id: data.image(image_id) for image_id in image_ids}
            counts = system.run("counting", [pictures[row[0]] for row in rows], [row[2] for row in rows])
            answers: dict[int, list[Counted]] = {image_id: [] for image_id in image_ids}
            for (image_id, category, _, true), found in zip(rows, counts, strict=True):
                answers[image_id].append(Counted(image_id, things[category], found, true))
            return [answers[image_id] for image_id in image_ids]

        records = [one for answers in run.in_order(run.image_ids, asked, title="counting") for one in answers]
        if not records:
            raise MissingAnnotations(f"{data.root}: the images of {data.split} have no things to count")
        errors = CountErrors.of([one.found for one in records], [one.true for one in records])
        figures: dict[str, Any] = {"mae": errors.mae, "relative": 100 * errors.relative, "exact": errors.exact}
        details = {"images": len(run.image_ids), "questions": len(records)}
        return Measured("Counting by exemplar", METRICS, figures, found_details=details, records=records)
