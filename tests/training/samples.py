"""Samples drawn by hand: rectangles on stripes, sentences, references to each other's segments, false relatives."""

from __future__ import annotations

import numpy as np

from find.data.sample import Category, Expression, Foil, PhraseSpan, Reference, Sample, Segment, Sentence

CATEGORIES = tuple(
    Category(id, name, name != "sky-other-merged", (10 * id, 0, 0), index)
    for index, (id, name) in enumerate(((1, "sky-other-merged"), (2, "dog"), (3, "red car")))
)
SIZES = ((96, 96), (64, 96), (96, 80), (96, 96))
"""Three canvases: the third is narrower, and padded to the first's."""


def make_samples() -> list[Sample]:
    return [_sample(number, size) for number, size in enumerate(SIZES, start=1)]


def _sample(image_id: int, size: tuple[int, int]) -> Sample:
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([(rows * 3) % 256, (columns * 2 + 40 * image_id) % 256, (rows + columns) % 256], -1)
    sky, dog, car = (image_id * 10 + k for k in range(3))
    segment_map = np.zeros(size, np.int32)
    segment_map[: height // 3] = sky
    segment_map[height // 2 : height - 8, 8 : 24 + 4 * image_id] = dog
    segment_map[height // 2 - 8 : height - 4, width - 32 : width - 8] = car
    segments = tuple(
        Segment(id, category, int((segment_map == id).sum()), (0, 0, 1, 1))
        for id, category in ((sky, 1), (dog, 2), (car, 3))
    )
    other = image_id % len(SIZES) + 1
    true = _sentence(image_id, image_id, ("a dog", dog, (other, other * 10 + 1)), " left of ", ("a red car", car, None))
    false = _sentence(100 + image_id, image_id, ("a red car", car, None), " left of ", ("a dog", dog, None))
    return Sample(
        image_id,
        f"{image_id}.png",
        image.astype(np.uint8),
        segment_map,
        segments,
        captions=(f"picture {image_id} of a dog and a red car under the sky",),
        sentences=(true,),
        expressions=(Expression(image_id, image_id, f"the dog number {image_id}", dog),),
        foils={true.id: (Foil(false, (1, 0)),)},
    )


def _sentence(
    id: int,
    image_id: int,
    first: tuple[str, int, tuple[int, int] | None],
    between: str,
    last: tuple[str, int, tuple[int, int] | None],
) -> Sentence:
    text, phrases = "", []
    for part in (first, between, last):
        if isinstance(part, str):
            text += part
            continue
        words, segment, reference = part
        span = PhraseSpan(words, len(text), len(text) + len(words), (segment,), reference and Reference(*reference))
        phrases.append(span)
        text += words
    return Sentence(id, image_id, text, tuple(phrases))
