"""Collates samples into a `Batch`: common canvas, indexed segments, and each task's prompts and targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from find.data.batch import Batch, Drawn
from find.data.indexed_sample import IndexedSample
from find.data.sample import Category, Sample


@dataclass(frozen=True)
class PromptLimits:
    """Maximum numbers of prompts per image.

    Args:
        phrases: texts to ground, drawn from all of the image.
        strokes: strokes, each for a different segment.
        entities: entities of its sentence.
    """

    phrases: int = 8
    strokes: int = 4
    entities: int = 6


@dataclass(frozen=True)
class Scenes:
    """The samples of a batch, from which tasks draw.

    Attributes:
        rows: the samples with their usable segments, whose indices are the columns of targets.
        rngs: one generator per image, for all random draws that concern it.
        seeds: one seed per image, for draws that must not depend on any others.
        captions: one per image.
        canvas: height and width of the batch.
        segments: number of target columns: the largest number of segments of an image, at least 1.
        categories: by id.
        placeholder: the word that replaces a visual entity in a sentence.
        limits: maximum numbers of prompts per image.
    """

    rows: Sequence[IndexedSample]
    rngs: Sequence[np.random.Generator]
    seeds: Sequence[int]
    captions: Sequence[str]
    canvas: tuple[int, int]
    segments: int
    categories: Mapping[int, Category]
    placeholder: str
    limits: PromptLimits

    def __len__(self) -> int:
        return len(self.rows)


class CollatedTask(Protocol):
    """The part of a task that `Collate` needs: its name, and how it draws from the samples of a batch."""

    name: str

    def collate(self, scenes: Scenes) -> Drawn | None: ...


class Collate:
    """Makes batches of samples with any mix of sizes.

    Args:
        categories: the data set's classes, for labels and class names.
        tasks: the tasks that draw from the samples, in order.
        divisor: images are padded to a multiple of it; the coarsest stride of the vision encoder.
        placeholder: the word that replaces a visual entity in a sentence.
        limits: maximum numbers of prompts per image.
        max_segments: maximum number of segments per image; the largest are used, pixels of the others become void.
            None: all.
    """

    def __init__(
        self,
        categories: Sequence[Category],
        tasks: Sequence[CollatedTask],
        *,
        divisor: int = 32,
        placeholder: str = "[region]",
        limits: PromptLimits | None = None,
        max_segments: int | None = None,
    ) -> None:
        self.categories = {category.id: category for category in categories}
        self.tasks = tuple(tasks)
        self.divisor = divisor
        self.placeholder = placeholder
        self.limits = limits or PromptLimits()
        self.max_segments = max_segments

    def __call__(self, samples: Sequence[Sample], rngs: Sequence[np.random.Generator]) -> Batch:
        """A batch of these samples, in order; random draws for each image use its own generator."""
        rows = [IndexedSample.of(sample, max_segments=self.max_segments) for sample in samples]
        height, width = (_ceil(max(sample.size[axis] for sample in samples), self.divisor) for axis in (0, 1))
        images = np.zeros((len(rows), 3, height, width), np.uint8)
        segments = np.full((len(rows), height, width), -1, np.int16)
        labels = np.full((len(rows), longest(row.segments for row in rows)), -1, np.int64)
        for number, row in enumerate(rows):
            h, w = row.sample.size
            images[number, :, :h, :w] = row.sample.image.transpose(2, 0, 1)
            segments[number, :h, :w] = row.index
            labels[number, : len(row.segments)] = [self.categories[one.category_id].index for one in row.segments]
        seeds = [int(rng.integers(2**63)) for rng in rngs]
        captions = [self._caption(row, rng) for row, rng in zip(rows, rngs, strict=True)]
        scenes = Scenes(
            rows=rows,
            rngs=rngs,
            seeds=seeds,
            captions=captions,
            canvas=(height, width),
            segments=labels.shape[1],
            categories=self.categories,
            placeholder=self.placeholder,
            limits=self.limits,
        )
        drawn = {task.name: task.collate(scenes) for task in self.tasks}
        return Batch(
            image_ids=[sample.image_id for sample in samples],
            seeds=torch.tensor(seeds),
            images=torch.from_numpy(images),
            sizes=torch.tensor([sample.size for sample in samples]),
            canvases=[tuple(_ceil(side, self.divisor) for side in sample.size) for sample in samples],
            segments=torch.from_numpy(segments),
            labels=torch.from_numpy(labels),
            captions=captions,
            drawn={name: found for name, found in drawn.items() if found is not None},
        )

    def _caption(self, row: IndexedSample, rng: np.random.Generator) -> str:
        """A random caption, otherwise a random sentence, otherwise the names of the classes in the image."""
        texts = row.sample.captions or tuple(sentence.text for sentence in row.sample.sentences)
        if texts:
            return texts[rng.integers(len(texts))]
        names = dict.fromkeys(self.categories[segment.category_id].words for segment in row.segments)
        return f"a photo of {', '.join(names)}" if names else "a photo"


def longest(groups: Iterable[Sized]) -> int:
    """Length of the longest group, at least 1."""
    return max(1, max(len(group) for group in groups))


def _ceil(value: int, divisor: int) -> int:
    return -(-value // divisor) * divisor
