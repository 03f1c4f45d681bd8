"""One call that runs every protocol that a data folder allows, and shares what they have in common."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from find.data.coco import AUTO, CocoFolder
from find.data.data_split import DataSplit
from find.errors import InputError, UnknownWordsWarning
from find.evaluation.distributed import processes
from find.evaluation.gallery import embed_gallery
from find.evaluation.protocols.grounding import TextSource, grounding, questions_of
from find.evaluation.protocols.interactive import CLICKED_IMAGES, interactive
from find.evaluation.protocols.interleaved_retrieval import GALLERY, LARGE_GALLERY, interleaved_retrieval
from find.evaluation.protocols.interleaved_segmentation import interleaved_segmentation
from find.evaluation.protocols.panoptic import panoptic
from find.evaluation.protocols.probes import probes
from find.evaluation.protocols.retrieval import retrieval
from find.evaluation.protocols.variants import retrieval_variants, segmentation_variants
from find.evaluation.queries import Interleaving
from find.evaluation.results import Evaluation
from find.evaluation.system import FindSystem
from find.evaluation.task_results import MissingAnnotations
from find.evaluation.vocabulary import unknown_words


class Task(str, Enum):
    """The tasks, by their names in results."""

    PANOPTIC = "panoptic"
    GROUNDING = "grounding"
    INTERACTIVE = "interactive"
    RETRIEVAL = "retrieval"
    INTERLEAVED_SEGMENTATION = "interleaved_segmentation"
    INTERLEAVED_RETRIEVAL = "interleaved_retrieval"


class Study(str, Enum):
    """What goes beyond the published tables; done only when asked for."""

    VARIANTS = "variants"  # both interleaved tasks asked and counted in every way, in one table each
    PROBES = "probes"  # does the true sentence win over one made of the same units?


EMBEDDING_TASKS = (Task.RETRIEVAL, Task.INTERLEAVED_RETRIEVAL)


@processes()
def evaluate(
    model: FindSystem,
    data: str | Path | DataSplit,
    *,
    split: str = "val2017",
    tasks: Sequence[Task | str] | None = None,
    studies: Sequence[Study | str] = (),
    skip_missing: bool | None = None,
    limit: int | None = None,
    entities: str | None = AUTO,
    interleaving: Interleaving | None = None,
    gallery: int = GALLERY,
    large_gallery: int | None = LARGE_GALLERY,
    clicked_images: int = CLICKED_IMAGES,
    batch_size: int = 32,
    progress: bool = True,
) -> Evaluation:
    """Evaluate a model on one split of a COCO + FIND-Bench folder.

    Args:
        model: `find.FIND`, or whatever can do the tasks asked for (`find.evaluation.system`).
        data: a COCO folder, the one that holds annotations/; or a split already read, by whatever reader
            (`find.data.data_split`).
        tasks: which ones; by default all that the folder has annotations for (`Evaluation.skipped` tells the rest).
        studies: what else to do: "variants" of the interleaved tasks, compositional "probes".
        skip_missing: leave out (and tell) tasks and studies without annotations; by default only where `tasks` is not
            given.
        limit: use only the first so many images, in every task (then there is no large gallery).
        split, entities: of a COCO folder that is given by its path (see `CocoFolder`).
        interleaving: which entities are shown instead of named, and by whose pixels.
        gallery, large_gallery: images searched by the retrieval tasks; the large one if the split has so many.
        clicked_images: images for NoC.
        batch_size: images a call of the model.
        progress: draw progress bars.

    Raises:
        FindError: unknown task, unusable folder, an empty selection, or answers of the wrong size.
        MissingAnnotations: the folder has nothing for a task, and `skip_missing` does not leave it out.
    """
    chosen = [_named(Task, task) for task in tasks] if tasks is not None else list(Task)
    asked = [_named(Study, study) for study in studies]
    for name, number in (("limit", limit), ("gallery", gallery), ("clicked_images", clicked_images)):
        if number is not None and number < 1:
            raise InputError(f"{name} is a number of images, at least 1, not {number}")
    folder = data if isinstance(data, DataSplit) else CocoFolder(data, split, entities=entities)
    skips = tasks is None if skip_missing is None else skip_missing
    image_ids = folder.image_ids[:limit]
    if not image_ids:
        raise InputError(f"{folder.root}: split {folder.split} has no images")
    common = {"batch_size": batch_size, "progress": progress}
    seconds: dict[str, float] = {}
    skipped: dict[str, str] = {}
    results: dict[str, Any] = {}
    searched: dict[str, Any] = {"gallery": min(gallery, len(image_ids)), **common}

    if set(chosen) & set(EMBEDDING_TASKS):
        size = searched["gallery"]
        if limit is None and large_gallery is not None and Task.INTERLEAVED_RETRIEVAL in chosen:
            size = max(size, large_gallery) if large_gallery <= len(image_ids) else size
        begin = time.perf_counter()
        searched["embeddings"] = embed_gallery(model, folder, image_ids[:size], **common)
        seconds["embedding"] = time.perf_counter() - begin
    looked_at = {"image_ids": image_ids, **common}
    protocols: dict[Task, Callable[[], Any]] = {
        Task.PANOPTIC: lambda: panoptic(model, folder, **looked_at),
        Task.GROUNDING: lambda: grounding(model, folder, **looked_at),
        Task.INTERACTIVE: lambda: interactive(model, folder, clicked_images=clicked_images, **looked_at),
        Task.RETRIEVAL: lambda: retrieval(model, folder, **searched),
        Task.INTERLEAVED_SEGMENTATION: lambda: interleaved_segmentation(
            model, folder, interleaving=interleaving, **looked_at
        ),
        Task.INTERLEAVED_RETRIEVAL: lambda: interleaved_retrieval(
            model, folder, interleaving=interleaving, large_gallery=large_gallery, **searched
        ),
    }
    for task in chosen:
        begin = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnknownWordsWarning)  # `Evaluation.notes` counts them
                results[task.value] = protocols[task]()
        except MissingAnnotations as missing:
            if not skips:
                raise
            skipped[task.value] = str(missing)
        seconds[task.value] = time.perf_counter() - begin
    for study in asked:
        begin = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnknownWordsWarning)
                if study is Study.PROBES:
                    results["probes"] = probes(model, folder, **looked_at)
                else:
                    results["segmentation_variants"] = segmentation_variants(model, folder, **looked_at)
                    results["retrieval_variants"] = retrieval_variants(model, folder, **searched)
        except MissingAnnotations as missing:  # told, so that the tasks' figures are not lost
            if not skips:
                raise
            skipped[study.value] = str(missing)
        seconds[study.value] = time.perf_counter() - begin
    return Evaluation(
        split=folder.split,
        images=len(image_ids),
        unknown_words=unknown_words(model, list(_texts(folder, chosen, image_ids, gallery))),
        skipped=skipped,
        seconds=seconds,
        **results,
    )


def _texts(folder: DataSplit, chosen: Sequence[Task], image_ids: Sequence[int], gallery: int) -> Iterator[str]:
    """What the tasks give to read; whole sentences, whether words of them are shown instead or not."""
    if Task.PANOPTIC in chosen:
        yield from (category.words for category in folder.categories)
    for number, image_id in enumerate(image_ids):
        if Task.GROUNDING in chosen:
            yield from (question.text for question in questions_of(folder, image_id, TextSource.AUTO))
        if Task.RETRIEVAL in chosen and number < gallery:
            yield from folder.captions_of(image_id)
        if Task.INTERLEAVED_SEGMENTATION in chosen or (Task.INTERLEAVED_RETRIEVAL in chosen and number < gallery):
            yield from (sentence.text for sentence in folder.sentences_of(image_id))


def _named(kind: type[Task] | type[Study], name: Task | Study | str) -> Any:
    try:
        return kind(name)
    except ValueError:
        what = "task" if kind is Task else "study"
        others = ", ".join(one.value for one in kind)
        raise InputError(f"there is no {what} {name!r}; there are {others}") from None
