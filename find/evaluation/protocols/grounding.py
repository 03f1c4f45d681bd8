"""Grounded segmentation: a mask for each referring expression, or for each phrase of the sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from jaxtyping import Bool

from find.data.data_split import DataSplit
from find.errors import InputError
from find.evaluation.distributed import in_order
from find.evaluation.held_out import HeldOut
from find.evaluation.metrics import Overlap, Overlaps, compare
from find.evaluation.protocol import EvaluationProtocol, Run
from find.evaluation.system import Grounder
from find.evaluation.task_results import GroundingResult, MissingAnnotations


class TextSource(str, Enum):
    """The source of the texts to ground."""

    AUTO = "auto"  # expressions if the folder has them, otherwise phrases
    EXPRESSIONS = "expressions"  # RefCOCO, RefCOCO+, RefCOCOg and similar sets: referring_{split}.json
    PHRASES = "phrases"  # the phrases of the entity sentences


@dataclass(frozen=True)
class Question:
    """A text to find in an image. `item` is the id of its expression or sentence, `entity` its index there; the target
    is the union of `segment_ids`."""

    image_id: int
    item: int
    entity: int
    text: str
    segment_ids: tuple[int, ...]
    is_marked: bool = False  # marked as held out in the data


GroundingAnswers = Callable[[Sequence[Sequence[Question]]], Sequence[Sequence[Bool[np.ndarray, "h w"]]]]
"""The texts of some images -> a mask for each text, at the image's own size."""


def grounding(
    model: Grounder,
    folder: DataSplit,
    *,
    source: TextSource = TextSource.AUTO,
    image_ids: Sequence[int] | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> GroundingResult:
    """Grounds all texts of an image at once.

    The target of a phrase that refers to several segments is their union. An expression is held out if the folder marks
    it or its segment so. The published tables' "AP50" is P@0.5, the fraction of texts whose mask has an IoU of at least
    0.5: it is not an average precision, since nothing is ranked.

    Args:
        image_ids: the images; all of the split if not given.

    Raises:
        MissingAnnotations: the folder has no such texts for these images.
        FindError: a mask has another size than its image.
    """

    def ask(questions: Sequence[Sequence[Question]]) -> list[list[np.ndarray]]:
        images = [folder.image(group[0].image_id) for group in questions]
        answers = model.ground(images, [[question.text for question in group] for group in questions])
        return [[answer.mask for answer in group] for group in answers]

    return score_grounding(ask, folder, source=source, image_ids=image_ids, batch_size=batch_size, progress=progress)


def score_grounding(
    answers: GroundingAnswers,
    folder: DataSplit,
    *,
    source: TextSource = TextSource.AUTO,
    image_ids: Sequence[int] | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> GroundingResult:
    """The same for answers of any origin: a model, or a prediction file."""
    source = text_source(folder, source)
    image_ids = folder.image_ids if image_ids is None else image_ids
    held_out = HeldOut.read(folder)
    questions = [group for image_id in image_ids if (group := questions_of(folder, image_id, source))]
    if not questions:
        raise MissingAnnotations(
            f"{folder.root}: nothing to ground, because these images have neither expressions of "
            f"referring_{folder.split}.json nor sentences with linked phrases"
            if source is TextSource.PHRASES
            else f"{folder.root}: referring_{folder.split}.json has no expressions of these images"
        )

    def compared(groups: Sequence[Sequence[Question]]) -> list[list[Overlap]]:
        found = []
        for group, masks in zip(groups, answers(groups), strict=True):
            if len(masks) != len(group):
                raise InputError(f"image {group[0].image_id}: {len(masks)} masks for {len(group)} texts")
            segment_map = folder.segment_map(group[0].image_id)
            found.append([_compare(q, mask, segment_map, held_out) for q, mask in zip(group, masks, strict=True)])
        return found

    overlaps = in_order(questions, compared, batch_size=batch_size, title="grounding", progress=progress)
    return GroundingResult(
        overlaps=Overlaps(tuple(overlap for group in overlaps for overlap in group)),
        source=source.value,
        images=len(questions),
    )


def questions_of(folder: DataSplit, image_id: int, source: TextSource) -> list[Question]:
    """The texts to ground in an image."""
    if text_source(folder, source) is TextSource.EXPRESSIONS:
        return [
            Question(image_id, e.id, 0, e.text, (e.segment_id,), e.held_out) for e in folder.expressions_of(image_id)
        ]
    return [
        Question(image_id, sentence.id, number, phrase.text, phrase.segment_ids)
        for sentence in folder.sentences_of(image_id)
        for number, phrase in enumerate(sentence.phrases)
    ]


def text_source(folder: DataSplit, source: TextSource) -> TextSource:
    """The actual source for this folder."""
    if source is not TextSource.AUTO:
        return source
    return TextSource.EXPRESSIONS if folder.expressions else TextSource.PHRASES


def _compare(question: Question, mask: np.ndarray, segment_map: np.ndarray, held_out: HeldOut) -> Overlap:
    return compare(
        mask,
        np.isin(segment_map, question.segment_ids),
        image_id=question.image_id,
        item=question.item,
        entity=question.entity,
        held_out=question.is_marked or held_out.holds(question.image_id, question.segment_ids),
    )


class Grounding(EvaluationProtocol):
    """Grounded segmentation (`grounding`)."""

    name = "grounding"

    def run(self, system: Grounder, data: DataSplit, run: Run) -> GroundingResult:
        return grounding(system, data, image_ids=run.image_ids, **run.options)

    def texts(self, data: DataSplit, run: Run) -> Iterator[str]:
        for image_id in run.image_ids:
            yield from (question.text for question in questions_of(data, image_id, TextSource.AUTO))
