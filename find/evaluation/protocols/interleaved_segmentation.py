"""Interleaved segmentation: a mask for each entity of a sentence, some of which are regions instead of words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from find.data.data_split import DataSplit
from find.data.sample import Sentence
from find.errors import InputError
from find.evaluation.distributed import in_order
from find.evaluation.held_out import HeldOut
from find.evaluation.interleaved_results import InterleavedSegmentationResult
from find.evaluation.metrics import Overlap, Overlaps, compare
from find.evaluation.protocol import EvaluationProtocol, Run
from find.evaluation.queries import Interleaving
from find.evaluation.system import QuerySegmenter
from find.evaluation.task_results import MissingAnnotations

EntityAnswers = Callable[[Sequence[Sentence], Interleaving], Sequence[Sequence[Bool[np.ndarray, "h w"]]]]
"""Sentences, and which of their entities are regions -> a mask for each entity, at the image's own size."""


def interleaved_segmentation(
    model: QuerySegmenter,
    folder: DataSplit,
    *,
    interleaving: Interleaving | None = None,
    image_ids: Sequence[int] | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> InterleavedSegmentationResult:
    """Segments the entities of every sentence in its image; each counts once, its target is the union of its segments.

    By default a random half of the phrases that have a reference are replaced by that segment of another image.

    Two pitfalls of the published protocol: its regions are the target segments themselves, so that the prompt is the
    target mask in the same image, and the figure measures how well a mask is copied rather than whether an entity is
    found (`RegionSource.SAME`; figures of both kinds must not be compared). And its random choice has no seed, so the
    queries differ between runs; ours depends only on the seed and the sentence. `all_interleavings` lists all variants.

    Raises:
        MissingAnnotations: no sentence of these images has a linked phrase.
        FindError: a mask has another size than its image.
    """

    def ask(sentences: Sequence[Sentence], interleaving: Interleaving) -> list[list[np.ndarray]]:
        images = [folder.image(sentence.image_id) for sentence in sentences]
        answers = model.segment(images, [interleaving.query(sentence, folder).query for sentence in sentences])
        return [[answer.mask for answer in masks] for masks in answers]

    return score_interleaved_segmentation(
        ask, folder, interleaving=interleaving, image_ids=image_ids, batch_size=batch_size, progress=progress
    )


def score_interleaved_segmentation(
    answers: EntityAnswers,
    folder: DataSplit,
    *,
    interleaving: Interleaving | None = None,
    image_ids: Sequence[int] | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> InterleavedSegmentationResult:
    """The same for answers of any origin: a model, or a prediction file."""
    interleaving = interleaving or Interleaving()
    image_ids = folder.image_ids if image_ids is None else image_ids
    held_out = HeldOut.read(folder)
    sentences = [s for image_id in image_ids for s in folder.sentences_of(image_id) if s.phrases]
    if not sentences:
        raise MissingAnnotations(f"{folder.root}: no sentence of {folder.split} has a linked phrase in these images")

    def compared(chunk: Sequence[Sentence]) -> list[list[Overlap]]:
        found = []
        for sentence, masks in zip(chunk, answers(chunk, interleaving), strict=True):
            if len(masks) != len(sentence.phrases):
                raise InputError(f"sentence {sentence.id}: {len(masks)} masks for {len(sentence.phrases)} entities")
            segment_map = folder.segment_map(sentence.image_id)
            shown = [place is not None for place in interleaving.places(sentence)]
            found.append([
                compare(
                    mask,
                    np.isin(segment_map, phrase.segment_ids),
                    image_id=sentence.image_id,
                    item=sentence.id,
                    entity=number,
                    is_region=shown[number],
                    held_out=held_out.holds(sentence.image_id, phrase.segment_ids),
                )
                for number, (phrase, mask) in enumerate(zip(sentence.phrases, masks, strict=True))
            ])  # fmt: skip
        return found

    title = f"interleaved segmentation, {interleaving.name}"
    overlaps = in_order(sentences, compared, batch_size=batch_size, title=title, progress=progress)
    return InterleavedSegmentationResult(
        overlaps=Overlaps(tuple(overlap for group in overlaps for overlap in group)),
        interleaving=interleaving,
        sentences=len(sentences),
    )


@dataclass(frozen=True)
class InterleavedSegmentation(EvaluationProtocol):
    """Interleaved segmentation (`interleaved_segmentation`)."""

    interleaving: Interleaving | None = None
    name: ClassVar[str] = "interleaved_segmentation"

    def run(self, system: QuerySegmenter, data: DataSplit, run: Run) -> InterleavedSegmentationResult:
        return interleaved_segmentation(
            system, data, interleaving=self.interleaving, image_ids=run.image_ids, **run.options
        )

    def texts(self, data: DataSplit, run: Run) -> Iterator[str]:
        """Complete sentences, even if some phrases are replaced by regions."""
        for image_id in run.image_ids:
            yield from (sentence.text for sentence in data.sentences_of(image_id))
