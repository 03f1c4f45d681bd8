"""Interleaved segmentation: a mask for each entity of a sentence, some of them shown instead of named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from find.data.coco import CocoFolder
from find.evaluation.gallery import batches
from find.evaluation.held_out import HeldOut
from find.evaluation.metrics import Overlaps
from find.evaluation.queries import Interleaving
from find.evaluation.results import InterleavedSegmentationResult, MissingAnnotations, divide
from find.evaluation.systems import QuerySegmenter


def interleaved_segmentation(
    model: QuerySegmenter,
    folder: CocoFolder,
    *,
    interleaving: Interleaving | None = None,
    image_ids: Sequence[int] | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> InterleavedSegmentationResult:
    """Ask for every sentence in its own image; each entity counts once, its target is the union of its segments.

    By default a seeded half of the phrases that have a reference are shown by that segment of another image; the
    published variant, which shows the sought segment itself, is `Interleaving(source=RegionSource.SAME)`.

    Raises:
        MissingAnnotations: no sentence of these images has a linked phrase.
        FindError: a mask has another size than its image.
    """
    interleaving = interleaving or Interleaving()
    image_ids = folder.image_ids if image_ids is None else image_ids
    held_out = HeldOut.read(folder)
    sentences = [s for image_id in image_ids for s in folder.sentences_of(image_id) if s.phrases]
    if not sentences:
        raise MissingAnnotations(f"{folder.root}: no sentence of {folder.split} has a linked phrase in these images")
    everything, phrases, regions = Overlaps(), Overlaps(), Overlaps()
    for chunk in batches(sentences, batch_size, title="interleaved segmentation", progress=progress):
        made = [interleaving.query(sentence, folder) for sentence in chunk]
        images = [folder.image(sentence.image_id) for sentence in chunk]
        answers = model.segment(images, [item.query for item in made])
        for sentence, item, masks in zip(chunk, made, answers, strict=True):
            segment_map = folder.segment_map(sentence.image_id)
            for phrase, is_region, answer in zip(sentence.phrases, item.is_region, masks, strict=True):
                target = np.isin(segment_map, phrase.segment_ids)
                apart = held_out.holds(sentence.image_id, phrase.segment_ids)
                for overlaps in (everything, regions if is_region else phrases):
                    overlaps.add(answer.mask, target, image_id=sentence.image_id, held_out=apart)
    return InterleavedSegmentationResult(
        masks=divide(everything),
        phrases=phrases.scores(),
        regions=regions.scores(),
        interleaving=interleaving,
        sentences=len(sentences),
    )
