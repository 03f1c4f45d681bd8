"""One scene of the synthetic world, made in memory from (seed, split, index) alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from find.errors import InputError
from find.world.composition import Composition, Segment, compose
from find.world.forms import FormSentence, FormSpeaker
from find.world.grammar import Statement, Text, capitalised, stopped
from find.world.kinds import HELD_OUT
from find.world.language import Negative, Sentence, Speaker
from find.world.probes import probes
from find.world.relations import relations

TRAIN, VAL = "train2017", "val2017"
SPLITS = (TRAIN, VAL)
MOST_IMAGES = 500_000
"""Images a split can hold at most, so that segment ids fit into 24 bits."""
SIZES = range(96, 1025)
"""Image sides in pixels that scenes can be drawn at."""
FORMS = 3
"""Sentences of other forms that a scene has, if it allows them."""


@dataclass(frozen=True)
class Expression:
    """A referring expression: the text refers to `segment` (an index into the scene's segments)."""

    segment: int
    sentence: Sentence


@dataclass(frozen=True)
class Scene:
    """A complete scene: pixels, segments and sentences.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        segment_map: int32 [H, W] of segment ids; no void.
        segments: stuff first, then things from back to front.
        sentences: several short ones in training, one in evaluation.
        paragraph: three to five sentences in one text.
        captions: five.
        expressions: at most one a thing.
        negatives: false relatives of `sentences[0]`.
        probes: false variants of `sentences[0]` made of its own units.
        forms: sentences of other forms (places, "between", ...), each with false relatives.
        clear_alone: of each sentence and then the paragraph, whether each entity's phrase is clear without context.
    """

    image_id: int
    file_name: str
    image: np.ndarray
    segment_map: np.ndarray
    segments: tuple[Segment, ...]
    sentences: tuple[Sentence, ...]
    paragraph: Sentence
    captions: tuple[str, ...]
    expressions: tuple[Expression, ...]
    negatives: tuple[Negative, ...]
    probes: tuple[Negative, ...]
    forms: tuple[FormSentence, ...]
    clear_alone: tuple[tuple[bool, ...], ...]


def image_id(split: str, index: int) -> int:
    """COCO-like image number; train and val numbers never meet."""
    return index + 1 + (0 if split == TRAIN else 1 << 19)


def scene(seed: int, split: str, index: int, size: int = 160) -> Scene:
    """Makes scene `index` of a split; the same four values always give the same scene.

    Args:
        seed: number of the world.
        split: "train2017" or "val2017"; only val scenes show held-out pairs.
        index: 0-based number in its split.
        size: side of the square image in pixels.

    Raises:
        FindError: for an unknown split, or a size or index out of range.
    """
    composed = composition(seed, split, index, size)
    # separate streams, so that words can change without changing pixels, and forms without other words
    words, forms = (random.Random(f"{seed}/{split}/{index}/{name}") for name in ("words", "forms"))
    number = image_id(split, index)
    return _spoken(composed, number, f"{number:012d}.jpg", split, words, forms)


def composition(seed: int, split: str, index: int, size: int = 160) -> Composition:
    """What scene `index` shows, with the geometry by which sentences are judged; arguments as those of `scene`.

    Raises:
        FindError: for an unknown split, or a size or index out of range.
    """
    if split not in SPLITS:
        raise InputError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    if size not in SIZES:
        raise InputError(f"image size {size} is not between {SIZES.start} and {SIZES.stop - 1} pixels")
    if not 0 <= index < MOST_IMAGES:
        raise InputError(f"scene {index} is not between 0 and {MOST_IMAGES - 1}")
    pixels = random.Random(f"{seed}/{split}/{index}/pixels")
    return compose(image_side=size, held_out=split == VAL, image_id=image_id(split, index), rng=pixels)


def scenes(seed: int, split: str, count: int, size: int = 160) -> Iterator[Scene]:
    """The first `count` scenes of a split, one after the other."""
    return (scene(seed, split, index, size) for index in range(count))


def _spoken(
    composed: Composition, number: int, file_name: str, split: str, rng: random.Random, forms: random.Random
) -> Scene:
    truth = relations(composed)
    speaker = Speaker(composed, truth, rng)

    def style(text: Text) -> Text:
        return stopped(capitalised(text)) if rng.random() < 0.4 else text

    if split == TRAIN:
        wanted = rng.randint(3, 5)
        sentences = [speaker.sentence(clear=0.85, about_twins=k == 0, style=style) for k in range(wanted)]
        sentences = list({s.text.text: s for s in sentences}.values())
    else:
        sentences = [speaker.sentence(clear=0.7, about_twins=True, style=style)]
    paragraph = speaker.paragraph()
    expressions = [Expression(k, said) for k in composed.things if (said := speaker.expression(k)) is not None]
    negatives = speaker.negatives(sentences[0], rng.randint(2, 4)) if split == VAL else []
    captions = tuple(speaker.caption() for _ in range(5))
    made = probes(sentences[0], composed.segments, truth)
    if split == TRAIN:
        negatives = speaker.negatives(sentences[0], rng.randint(2, 4))  # the last draw: it changes no other words
        made = _without_held_out(made)
    formed = FormSpeaker(composed, truth, forms).sentences(FORMS)
    if split == TRAIN:
        formed = [replace(one, false=tuple(_without_held_out(one.false))) for one in formed]
    return Scene(
        image_id=number,
        file_name=file_name,
        image=composed.image,
        segment_map=composed.segment_map,
        segments=composed.segments,
        sentences=tuple(sentences),
        paragraph=paragraph,
        captions=captions,
        expressions=tuple(expressions),
        negatives=tuple(negatives),
        probes=tuple(made),
        forms=tuple(one for one in formed if one.false),
        clear_alone=tuple(
            tuple(speaker.is_clear_alone(entity) for entity in said.statement.entities)
            for said in (*sentences, paragraph)
        ),
    )


def _without_held_out(made: Sequence[Negative]) -> list[Negative]:
    return [negative for negative in made if not _says_held_out(negative.sentence.statement)]


def _says_held_out(statement: Statement) -> bool:
    return any(said.colour and (said.kind.name, said.colour.name) in HELD_OUT for said in statement.entities)
