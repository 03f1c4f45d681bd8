"""How a model finds the instances of classes on a batch of pictures: by match probability, or as classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from find.annotation.importing.shapes import run_lengths
from find.annotation.labelling.labels import Label
from find.annotation.labelling.names import phrase_name, written
from find.errors import InputError
from find.model.find_all import Sought, instances_of, with_own_mask
from find.model.predictions import EntityMask, InstancePrediction
from find.query.entity import Phrase
from find.query.operators import JoinedQuery

if TYPE_CHECKING:
    from find.model.features import ImageFeatures
    from find.model.model import FIND
    from find.retrieval.photos import Picture


def finder_of(model: FIND, classes: Mapping[str, Sequence[JoinedQuery]], threshold: float) -> ByMatch | ByClass:
    if model.interface.match_head is not None:
        return ByMatch(model, classes, threshold)
    for name, sought in classes.items():
        for query in sought:
            if query.exclude or len(query.include) > 1 or not isinstance(query.include[0].entities[0], Phrase):
                raise InputError(
                    f"class {name}: this model has no match head, so that it labels by phrases only, without examples "
                    "and exclusions; scripts/train_match.py trains one"
                )
    return ByClass(model, classes, threshold)


class ByMatch:
    """Finds instances by match probability; queries are embedded once for all photos."""

    score = "match probability"

    def __init__(self, model: FIND, classes: Mapping[str, Sequence[JoinedQuery]], threshold: float) -> None:
        self.model, self.threshold = model, threshold
        self.asked = [(name, query) for name, sought in classes.items() for query in sought]
        self.sought = Sought.embed(model, [query for _, query in self.asked])

    def find(self, pictures: Sequence[Picture], batch_size: int) -> list[list[Label]]:
        features = self.model.encode_images([one.pixels for one in pictures], batch_size=batch_size)
        found: list[list[Label]] = [[] for _ in pictures]
        for number, (name, query) in enumerate(self.asked):
            rows = self.sought.rows([number] * len(pictures))
            for labels, masks in zip(found, self._instances(features, rows, query, batch_size), strict=True):
                labels += [as_label(name, written(query), one) for one in masks]
        return found

    def _instances(
        self, features: ImageFeatures, rows: Sought, query: JoinedQuery, batch_size: int
    ) -> list[list[EntityMask]]:
        entities = [query.include[0].entities[0]] * len(features)
        batches = features.batches(batch_size)
        return instances_of(
            self.model.interface, features.frames, batches, rows, entities, self.threshold, with_own_mask
        )


class ByClass:
    """Finds instances by class probability among all given classes: for models without a match head."""

    score = "class probability x mask confidence"

    def __init__(self, model: FIND, classes: Mapping[str, Sequence[JoinedQuery]], threshold: float) -> None:
        self.model, self.threshold = model, threshold
        self.asked = [(name, query) for name, sought in classes.items() for query in sought]
        self.phrases = [phrase_name(query.include[0].entities[0]) for _, query in self.asked]

    def find(self, pictures: Sequence[Picture], batch_size: int) -> list[list[Label]]:
        pixels = [one.pixels for one in pictures]
        answers = self.model.instances(pixels, self.phrases, min_score=self.threshold, batch_size=batch_size)
        return [list(self._labels(answer)) for answer in answers]

    def _labels(self, answer: InstancePrediction) -> Iterator[Label]:
        for mask, number, score in zip(answer.masks, answer.labels, answer.scores, strict=True):
            name, query = self.asked[number]
            if mask.any():
                yield as_label(name, written(query), EntityMask(mask, float(score)))


def as_label(category: str, query: str, found: EntityMask) -> Label:
    x0, y0, x1, y1 = map(float, found.box or (0, 0, 0, 0))
    code, area = run_lengths(found.mask), int(found.mask.sum())
    return Label(category, query, found.score, code, area, (x0, y0, x1 - x0, y1 - y0))
