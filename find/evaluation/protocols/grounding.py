"""Grounded segmentation: a mask for each referring expression, or for each phrase of the sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from find.data.coco import CocoFolder
from find.evaluation.gallery import batches
from find.evaluation.held_out import HeldOut
from find.evaluation.metrics import Overlaps
from find.evaluation.results import GroundingResult, MissingAnnotations, divide
from find.evaluation.systems import Grounder

EXPRESSIONS, PHRASES = "expressions", "phrases"


def grounding(
    model: Grounder,
    folder: CocoFolder,
    *,
    image_ids: Sequence[int] | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> GroundingResult:
    """Ask each image for all its texts at once: referring expressions where the folder has them, else phrases.

    A phrase that means several segments is to be answered with their union. An expression is held out if the folder
    marks it so or if its segment is.

    Raises:
        MissingAnnotations: the folder has neither referring expressions nor sentences for these images.
        FindError: a mask has another size than its image.
    """
    image_ids = folder.image_ids if image_ids is None else image_ids
    held_out = HeldOut.read(folder)
    texts = {image_id: texts_to_ground(folder, image_id) for image_id in image_ids}
    asked = [image_id for image_id in image_ids if texts[image_id]]
    if not asked:
        raise MissingAnnotations(
            f"{folder.root}: nothing to ground, for there is neither referring_{folder.split}.json nor a sentence "
            f"with linked phrases for these images"
        )
    overlaps = Overlaps()
    for chunk in batches(asked, batch_size, title="grounding", progress=progress):
        images = [folder.image(image_id) for image_id in chunk]
        answers = model.ground(images, [[text for text, _, _ in texts[image_id]] for image_id in chunk])
        for image_id, masks in zip(chunk, answers, strict=True):
            segment_map = folder.segment_map(image_id)
            for (_, segment_ids, is_marked), answer in zip(texts[image_id], masks, strict=True):
                overlaps.add(
                    answer.mask,
                    np.isin(segment_map, segment_ids),
                    image_id=image_id,
                    held_out=is_marked or held_out.holds(image_id, segment_ids),
                )
    return GroundingResult(masks=divide(overlaps), source=_source(folder), images=len(asked))


def texts_to_ground(folder: CocoFolder, image_id: int) -> list[tuple[str, tuple[int, ...], bool]]:
    """Each text of the image, the segments that it means, and whether the data marks it as held out."""
    if _source(folder) == EXPRESSIONS:
        return [(e.text, (e.segment_id,), e.held_out) for e in folder.expressions_of(image_id)]
    phrases = [phrase for sentence in folder.sentences_of(image_id) for phrase in sentence.phrases]
    return [(phrase.text, phrase.segment_ids, False) for phrase in phrases]


def _source(folder: CocoFolder) -> str:
    return EXPRESSIONS if folder.expressions else PHRASES
