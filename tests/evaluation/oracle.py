"""Systems that answer from the truth, perfectly or with a known fault: what the protocols must give is then known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from find.data.coco import CocoFolder
from find.evaluation.systems.frozen_foundations import PooledImages, PooledQueries, words_of
from find.model.predictions import EntityMask, InstancePrediction, PanopticPrediction, PredictedSegment


class Oracle:
    """Knows an image by its pixels, a sentence or caption by its words, and the truth about both."""

    def __init__(self, folder: CocoFolder, image_ids: Sequence[int] | None = None) -> None:
        image_ids = folder.image_ids if image_ids is None else image_ids
        self.folder = folder
        self.image_of_pixels = {folder.image(i).tobytes(): i for i in image_ids}
        self.image_of_text = {s.text: s.image_id for s in folder.sentences}
        for image_id in image_ids:
            self.image_of_text |= dict.fromkeys(folder.captions_of(image_id), image_id)
        self.row = {image_id: row for row, image_id in enumerate(image_ids)}
        self.clicks: list[int] = []  # rows of each call of `interact`

    def fault(self, mask: np.ndarray) -> np.ndarray:
        """What becomes of every true mask before it is given."""
        return mask

    def vector_row(self, row: int) -> int:
        """Where the vector of a text points whose image is in `row`."""
        return row

    # --- masks ---

    def known(self, image: np.ndarray) -> tuple[int, np.ndarray]:
        image_id = self.image_of_pixels[image.tobytes()]
        return image_id, self.folder.segment_map(image_id)

    def answer(self, segment_map: np.ndarray, segment_ids) -> EntityMask:
        return EntityMask(self.fault(np.isin(segment_map, segment_ids)), 1.0)

    def panoptic(self, images, class_names, is_thing):
        index = {category.id: category.index for category in self.folder.categories}
        predictions = []
        for image in images:
            image_id, segment_map = self.known(image)
            result, segments = np.zeros_like(segment_map), []
            for number, segment in enumerate(s for s in self.folder.segments(image_id) if not s.is_crowd):
                result[self.fault(segment_map == segment.id)] = number + 1
                segments.append(PredictedSegment(number + 1, index[segment.category_id], 1.0))
            predictions.append(PanopticPrediction(result, tuple(segments)))
        return predictions

    def instances(self, images, class_names, is_thing):
        predictions = []
        for image in images:
            image_id, segment_map = self.known(image)
            category = {c.id: c for c in self.folder.categories}
            things = [s for s in self.folder.segments(image_id) if category[s.category_id].is_thing and not s.is_crowd]
            masks = [self.fault(segment_map == segment.id) for segment in things]
            predictions.append(
                InstancePrediction(
                    np.stack(masks) if masks else np.zeros((0, *segment_map.shape), bool),
                    np.array([category[segment.category_id].index for segment in things], np.int64),
                    np.ones(len(things)),
                )
            )
        return predictions

    def semantic(self, images, class_names):
        maps = []
        for image in images:
            image_id, segment_map = self.known(image)
            index = {category.id: category.index for category in self.folder.categories}
            result = np.full(segment_map.shape, -1)
            for segment in self.folder.segments(image_id):
                result[self.fault(segment_map == segment.id)] = index[segment.category_id]
            maps.append(result)
        return maps

    def ground(self, images, texts):
        answers = []
        for image, asked in zip(images, texts, strict=True):
            image_id, segment_map = self.known(image)
            phrases = [p for s in self.folder.sentences_of(image_id) for p in s.phrases]
            meaning = {phrase.text: phrase.segment_ids for phrase in phrases}
            meaning |= {e.text: (e.segment_id,) for e in self.folder.expressions_of(image_id)}
            answers.append([self.answer(segment_map, meaning[text]) for text in asked])
        return answers

    def segment(self, images, queries):
        answers = []
        for image, query in zip(images, queries, strict=True):
            image_id, segment_map = self.known(image)
            sentence = next(s for s in self.folder.sentences_of(image_id) if s.text == words_of(query))
            answers.append([self.answer(segment_map, phrase.segment_ids) for phrase in sentence.phrases])
        return answers

    def interact(self, images, strokes, negatives=None):
        self.clicks.append(sum(len(stack) for stack in strokes))
        answers = []
        for image, stack in zip(images, strokes, strict=True):
            _, segment_map = self.known(image)
            row = []
            for stroke in stack:
                segments, pixels = np.unique(segment_map[stroke], return_counts=True)
                row.append(self.answer(segment_map, [segments[pixels.argmax()]]))
            answers.append(row)
        return answers

    # --- vectors: an image is a unit vector of its own, and every text about it points there ---

    def embed_images(self, images):
        rows = torch.tensor([self.row[self.known(image)[0]] for image in images])
        return PooledImages(F.one_hot(rows, len(self.row)).float())

    def embed_texts(self, texts):
        rows = [self.vector_row(self.row[self.image_of_text[text]]) for text in texts]
        return F.one_hot(torch.tensor(rows), len(self.row)).float()

    def embed_queries(self, queries):
        return PooledQueries(self.embed_texts([words_of(query) for query in queries]))


class HalfMasks(Oracle):
    """Gives the left half of every mask, so every IoU is one half where masks have an even width."""

    def fault(self, mask: np.ndarray) -> np.ndarray:
        if not mask.any():
            return mask
        columns = np.flatnonzero(mask.any(axis=0))
        half = mask.copy()
        half[:, (columns[0] + columns[-1] + 1) // 2 :] = False
        return half


class Neighbour(Oracle):
    """Takes every text for one about the next image."""

    def vector_row(self, row: int) -> int:
        return (row + 1) % len(self.row)


class Constant(Oracle):
    """Gives everything the same vector."""

    def embed_images(self, images):
        return PooledImages(torch.ones(len(images), 1))

    def embed_texts(self, texts):
        return torch.ones(len(texts), 1)
