"""A system that answers every task by chance, as unlikely as systems answer."""

from pathlib import Path

import numpy as np
import torch

from find.evaluation.evaluate import evaluate
from find.evaluation.prediction_files.folder import NamedFolder, id_of
from find.evaluation.prediction_files.query_parts import key_of, parts_of
from find.evaluation.prediction_files.recorded import ImageRows, QueryRows
from find.evaluation.prediction_files.recorder import Recorder
from find.evaluation.results import Evaluation
from find.evaluation.systems.run import Settings
from find.model.predictions import EntityMask, InstancePrediction, PanopticPrediction, PredictedSegment

TASKS = ["panoptic", "grounding", "retrieval", "interleaved_segmentation", "interleaved_retrieval"]
WIDTH, OBJECTS = 5, 3


class Guesser:
    """Answers by chance: masks that are empty, full or equal, scores that tie, segments that nobody sees."""

    def __init__(self, folder: NamedFolder, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.rng = np.random.default_rng(seed)

    def mask(self, size: tuple[int, int]) -> np.ndarray:
        height, width = size
        kind = self.rng.integers(5)
        if kind < 2:
            return np.full(size, bool(kind))
        y, x = self.rng.integers(height), self.rng.integers(width)
        mask = np.zeros(size, bool)
        mask[y : y + 1 + self.rng.integers(height), x : x + 1 + self.rng.integers(width)] = True
        return mask if kind < 4 else mask & (self.rng.random(size) < 0.5)

    def score(self) -> float:
        return float(self.rng.choice([0.0, 1.0, 0.5, 1e-300, self.rng.random(), np.float32(self.rng.random())]))

    def panoptic(self, images, class_names, is_thing):
        return [self._panoptic(image.shape[:2], len(class_names)) for image in images]

    def _panoptic(self, size, classes):
        result, segments = np.zeros(size, np.int32), []
        for id in self.rng.choice(2**24 - 1, self.rng.integers(6), replace=False).tolist():
            result[self.mask(size)] = id + 1
            segments.append(PredictedSegment(id + 1, int(self.rng.integers(classes)), self.score()))
        return PanopticPrediction(result, tuple(segments))

    def instances(self, images, class_names, is_thing):
        things = np.flatnonzero(is_thing)
        answers = []
        for image in images:
            masks = [self.mask(image.shape[:2]) for _ in range(self.rng.integers(6))]
            masks = np.stack(masks + masks[:2]) if masks else np.zeros((0, *image.shape[:2]), bool)
            labels = self.rng.choice(things[:2], len(masks))
            answers.append(InstancePrediction(masks, labels, np.array([self.score() for _ in masks])))
        return answers

    def semantic(self, images, class_names):
        return [self.rng.integers(-1, len(class_names), image.shape[:2]) for image in images]

    def ground(self, images, texts):
        return [self._answers(image, len(asked)) for image, asked in zip(images, texts, strict=True)]

    def segment(self, images, queries):
        return [self._answers(image, len(query.entities)) for image, query in zip(images, queries, strict=True)]

    def _answers(self, image, count):
        return [EntityMask(self.mask(image.shape[:2]), self.score()) for _ in range(count)]

    def embed_images(self, images):
        rows = [self._vectors(id_of(image), 1 + OBJECTS) for image in images]
        return ImageRows(torch.stack([row[0] for row in rows]), torch.stack([row[1:] for row in rows]))

    def embed_texts(self, texts):
        return torch.cat([self._vectors(text, 1) for text in texts])

    def embed_queries(self, queries):
        rows = [self._vectors(key_of(parts_of(query, self.folder)), 1 + len(query.entities)) for query in queries]
        return QueryRows.of([(row[0], row[1:]) for row in rows])

    def _vectors(self, asked: object, count: int) -> torch.Tensor:
        """The same for the same question: a vector is asked for by several tasks."""
        rng = np.random.default_rng([self.seed, *str(asked).encode()])
        return torch.from_numpy(rng.normal(size=(count, WIDTH)).astype(np.float32))


def guessed(world: Path, out: Path, seed: int, settings: Settings) -> Evaluation:
    """The figures of random answers, and their files in a folder `predictions` of `out`."""
    folder = NamedFolder(world, "val2017")
    recorder = Recorder(Guesser(folder, seed), folder=folder, out=out / "predictions")
    found = evaluate(recorder, folder, tasks=TASKS, batch_size=3, progress=False, **settings.options())
    recorder.save()
    return found
