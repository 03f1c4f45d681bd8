"""Transforms of samples that keep image, segments, boxes and sentences consistent."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance

from find.data.sample import Expression, PhraseSpan, Sample, Sentence
from find.data.segment_map import locate
from find.images.canvas import Resizing

SIDES = re.compile(r"\b(left|right)(?=(?:most|wards?)?\b)", re.IGNORECASE)


class Transform(Protocol):
    """Makes a new sample from a sample; random numbers come from `rng`."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample: ...


class Scaling(ABC):
    """A transform that determines the image size: in training it replaces the model's own `Resize`."""

    @abstractmethod
    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample: ...


class Resize(Scaling):
    """Resizes as the model does in inference; an image of that size already is unchanged.

    Raises FindError for an image that is too narrow to leave a pixel.
    """

    def __init__(self, resizing: Resizing) -> None:
        self.resizing = resizing

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        frame = self.resizing.fit(*sample.size)
        return resize(sample, frame.inner_height, frame.inner_width)


class ResizeLongest(Scaling):
    """Resizes the longer side to `size` pixels, keeping the aspect ratio."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return resize(sample, *_fit(sample.size, self.size))


class FixedSize(Scaling):
    """Resizes to exactly `height` x `width` pixels, ignoring the aspect ratio."""

    def __init__(self, height: int, width: int) -> None:
        self.height = height
        self.width = width

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return resize(sample, self.height, self.width)


class LargeScaleJitter(Scaling):
    """Large-scale jittering: resizes the longer side to `size` times a random factor, and crops to `size` (Ghiasi et
    al. 2021).

    The crop is taken first, at whole pixels, so that only the remaining part is resized. Smaller results are not padded
    here, but in the batch.
    """

    def __init__(self, size: int, *, min_scale: float = 0.5, max_scale: float = 2.0) -> None:
        self.size = size
        self.min_scale = min_scale
        self.max_scale = max_scale

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        scale = rng.uniform(self.min_scale, self.max_scale)
        scaled = _fit(sample.size, round(self.size * scale))
        size = tuple(min(side, self.size) for side in scaled)
        part = tuple(round(old * kept / new) for old, kept, new in zip(sample.size, size, scaled, strict=True))
        top, left = (int(rng.integers(old - kept + 1)) for old, kept in zip(sample.size, part, strict=True))
        return zoom(sample, (top, left, *part), size)


class HorizontalFlip:
    """Mirrors left and right, and swaps the words "left" and "right" in all texts so that they stay true.

    "right" with other meanings is swapped, too; do not use this transform for data where that matters.
    """

    def __init__(self, *, probability: float = 0.5) -> None:
        self.probability = probability

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return flip(sample) if rng.random() < self.probability else sample


class ColorJitter:
    """Random brightness, contrast and saturation. The hue is unchanged, because sentences name colours."""

    def __init__(self, *, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2) -> None:
        self.strengths = (
            (ImageEnhance.Brightness, brightness),
            (ImageEnhance.Contrast, contrast),
            (ImageEnhance.Color, saturation),
        )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        image = Image.fromarray(sample.image)
        for enhancer, strength in self.strengths:
            image = enhancer(image).enhance(rng.uniform(1 - strength, 1 + strength))
        return replace(sample, image=np.array(image))


def resize(sample: Sample, height: int, width: int) -> Sample:
    """The sample at `height` x `width` pixels: antialiased image, nearest-neighbour segment map."""
    return zoom(sample, (0, 0, *sample.size), (height, width))


def crop(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    """The part of the sample from pixel (left, top) on.

    Segments outside are removed, together with their expressions and the sentences that mention them.
    """
    return zoom(sample, (top, left, height, width), (height, width))


def zoom(sample: Sample, part: tuple[int, int, int, int], size: tuple[int, int]) -> Sample:
    """A part of the sample (top, left, height, width in pixels) at another size (height, width).

    The image is antialiased, the segment map nearest-neighbour; what lies outside is removed, as in `crop`.
    """
    if part == (0, 0, *size) and sample.size == size:
        return sample
    top, left, height, width = part
    window = np.s_[top : top + height, left : left + width]
    image, segment_map = sample.image[window], sample.segment_map[window]
    if (height, width) != size:
        pixels = torch.from_numpy(np.require(image, requirements="W"))
        scaled = F.interpolate(pixels.permute(2, 0, 1)[None], size=size, mode="bilinear", antialias=True)
        image = scaled[0].permute(1, 2, 0).numpy()
        rows, columns = (
            ((np.arange(new) + 0.5) * old / new).astype(int) for old, new in zip((height, width), size, strict=True)
        )
        segment_map = segment_map.take(rows, axis=0).take(columns, axis=1)
    return _moved(sample, image, segment_map)


def flip(sample: Sample) -> Sample:
    """The sample mirrored, its texts with left and right swapped."""
    image, segment_map = (
        torch.from_numpy(np.require(pixels, requirements="W")).flip(1).numpy()
        for pixels in (sample.image, sample.segment_map)
    )
    width = segment_map.shape[1]
    segments = []
    for segment in sample.segments:
        x, y, w, h = segment.bbox
        segments.append(replace(segment, bbox=(width - x - w, y, w, h)))
    return replace(
        sample,
        image=image,
        segment_map=segment_map,
        segments=tuple(segments),
        captions=tuple(swap_sides(caption)[0] for caption in sample.captions),
        sentences=tuple(_swap_sentence(sentence) for sentence in sample.sentences),
        expressions=tuple(_swap_expression(expression) for expression in sample.expressions),
        foils={
            number: tuple(replace(foil, false=_swap_sentence(foil.false)) for foil in foils)
            for number, foils in sample.foils.items()
        },
    )


def swap_sides(text: str) -> tuple[str, Callable[[int], int]]:
    """The text with "left" and "right" swapped, and a function from old to new character positions."""
    swapped: list[str] = []
    ends, shifts, read = [0], [0], 0
    for found in SIDES.finditer(text):
        word = found.group()
        other = {"left": "right", "right": "left"}[word.lower()]
        other = other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other
        swapped += [text[read : found.start()], other]
        read = found.end()
        ends.append(read)
        shifts.append(shifts[-1] + len(other) - len(word))
    swapped.append(text[read:])
    return "".join(swapped), lambda position: position + shifts[bisect_right(ends, position) - 1]


def _swap_sentence(sentence: Sentence) -> Sentence:
    text, moved = swap_sides(sentence.text)
    phrases = []
    for phrase in sentence.phrases:
        start, end = moved(phrase.start), moved(phrase.end)
        phrases.append(PhraseSpan(text[start:end], start, end, phrase.segment_ids, phrase.reference))
    return Sentence(sentence.id, sentence.image_id, text, tuple(phrases))


def _swap_expression(expression: Expression) -> Expression:
    return replace(expression, text=swap_sides(expression.text)[0])


def _fit(size: tuple[int, int], longest: int) -> tuple[int, int]:
    scale = longest / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _moved(sample: Sample, image: np.ndarray, segment_map: np.ndarray) -> Sample:
    """The sample with new pixels: areas and boxes are recomputed, and vanished segments are removed everywhere."""
    found = locate(segment_map, np.array([segment.id for segment in sample.segments], np.int32))
    segments = tuple(
        replace(segment, area=area, bbox=box)
        for segment, area, box in zip(sample.segments, found.areas, found.boxes, strict=True)
        if area
    )
    left = {segment.id for segment in segments}
    sentences = sample.sentences
    expressions = sample.expressions
    if len(segments) < len(sample.segments):
        sentences = tuple(
            one for one in sentences if all(left.issuperset(phrase.segment_ids) for phrase in one.phrases)
        )
        expressions = tuple(one for one in expressions if one.segment_id in left)
    return replace(
        sample,
        image=image,
        segment_map=segment_map,
        segments=segments,
        sentences=sentences,
        expressions=expressions,
    )
