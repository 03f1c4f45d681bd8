"""One call that runs several protocols on a data set and shares their common work."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from find.data.coco import AUTO, CocoFolder
from find.data.data_split import DataSplit
from find.errors import DataError, InputError, UnknownWordsWarning
from find.evaluation.distributed import processes
from find.evaluation.gallery import embed_gallery
from find.evaluation.protocol import EvaluationProtocol, ProtocolLike, Result, Run, as_protocol
from find.evaluation.protocol_names import PUBLISHED
from find.evaluation.protocols.interactive import CLICKED_IMAGES
from find.evaluation.protocols.interleaved_retrieval import GALLERY, LARGE_GALLERY
from find.evaluation.protocols.probes import probes
from find.evaluation.protocols.variants import retrieval_variants, segmentation_variants
from find.evaluation.queries import Interleaving
from find.evaluation.results import Evaluation
from find.evaluation.system import FindSystem
from find.evaluation.task_results import MissingAnnotations
from find.evaluation.vocabulary import unknown_words


class Task(str, Enum):
    """The published tasks, by their names in results."""

    PANOPTIC = "panoptic"
    GROUNDING = "grounding"
    INTERACTIVE = "interactive"
    RETRIEVAL = "retrieval"
    INTERLEAVED_SEGMENTATION = "interleaved_segmentation"
    INTERLEAVED_RETRIEVAL = "interleaved_retrieval"


class Study(str, Enum):
    """Optional studies beyond the published tables."""

    VARIANTS = "variants"  # both interleaved tasks with every query type, region source and gallery, in one table each
    PROBES = "probes"  # does the true sentence score higher than a false one of the same units?


@processes()
def evaluate(
    model: FindSystem,
    data: str | Path | DataSplit,
    *,
    split: str = "val2017",
    tasks: Sequence[Task | str] | None = None,
    protocols: Sequence[ProtocolLike] | None = None,
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
    """Evaluate a model on one split of a data set.

    Args:
        model: `find.FIND`, or any system that supports the tasks (`find.evaluation.system`).
        data: a COCO folder, the one that holds annotations/; or a split that any reader has read
            (`find.data.data_split`).
        tasks: names of protocols; by default those of the published six for which the data have annotations
            (`Evaluation.skipped` lists the others).
        protocols: protocols as objects, functions of (system, data, run), names or class paths, instead of `tasks`
            (`find.evaluation.protocol`).
        studies: optional studies: "variants" of the interleaved tasks, compositional "probes".
        skip_missing: skip (and report) tasks and studies without annotations; by default only if neither `tasks` nor
            `protocols` is given.
        limit: use only the first `limit` images in every task (then there is no large gallery).
        split, entities: options for a COCO folder given by its path (see `CocoFolder`).
        interleaving: which entities are regions instead of words, and which images the regions come from.
        gallery, large_gallery: number of images in the retrieval galleries; the large one needs a split of that size.
        clicked_images: number of images for NoC.
        batch_size: images per call of the model.
        progress: show progress bars.

    Raises:
        FindError: an unknown task, an unusable folder, an empty selection, or answers of the wrong size.
        MissingAnnotations: the folder lacks annotations for a task, and `skip_missing` is off.
    """
    for name, number in (("limit", limit), ("gallery", gallery), ("clicked_images", clicked_images)):
        if number is not None and number < 1:
            raise InputError(f"{name} is a number of images, at least 1, not {number}")
    if tasks is not None and protocols is not None:
        raise InputError("give tasks (names) or protocols, not both; protocols may be names, too")
    settings = {
        "interleaving": interleaving, "gallery": gallery, "large_gallery": large_gallery,
        "clicked_images": clicked_images,
    }  # fmt: skip
    asked_for = tasks if protocols is None else protocols
    chosen = _by_name([as_protocol(_plain(one), settings) for one in (PUBLISHED if asked_for is None else asked_for)])
    asked = [_study(study) for study in studies]
    folder = data if isinstance(data, DataSplit) else CocoFolder(data, split, entities=entities)
    skips = asked_for is None if skip_missing is None else skip_missing
    image_ids = folder.image_ids[:limit]
    if not image_ids:
        raise DataError(f"{folder.root}: split {folder.split} has no images")
    run = Run(image_ids, limit=limit, batch_size=batch_size, progress=progress)
    seconds: dict[str, float] = {}
    embedded = max((protocol.embeds(run) for protocol in chosen.values()), default=0)
    if embedded:
        begin = time.perf_counter()
        run = replace(run, embeddings=embed_gallery(model, folder, image_ids[:embedded], **run.options))
        seconds["embedding"] = time.perf_counter() - begin

    skipped: dict[str, str] = {}

    def done(name: str, work: Callable[[], Any]) -> Any:
        """The result of `work`; None if annotations are missing and may be skipped."""
        begin = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnknownWordsWarning)  # `Evaluation.notes` counts them
                return work()
        except MissingAnnotations as missing:
            if not skips:
                raise
            skipped[name] = str(missing)  # recorded, so that the other tasks' figures are not lost
        finally:
            seconds[name] = time.perf_counter() - begin

    found = {name: done(name, partial(one.run, model, folder, run)) for name, one in chosen.items()}
    results: dict[str, Result] = {name: result for name, result in found.items() if result is not None}
    searched = {"gallery": min(gallery, len(image_ids)), "embeddings": run.embeddings, **run.options}
    looked_at = {"image_ids": image_ids, **run.options}
    of_study: dict[Study, Callable[[], dict[str, Any]]] = {
        Study.VARIANTS: lambda: {
            "segmentation_variants": segmentation_variants(model, folder, **looked_at),
            "retrieval_variants": retrieval_variants(model, folder, **searched),
        },
        Study.PROBES: lambda: {"probes": probes(model, folder, **looked_at)},
    }
    studied: dict[str, Any] = {}
    for study in asked:
        studied |= done(study.value, of_study[study]) or {}
    return Evaluation(
        split=folder.split,
        images=len(image_ids),
        results=results,
        unknown_words=unknown_words(model, [text for one in chosen.values() for text in one.texts(folder, run)]),
        skipped=skipped,
        seconds=seconds,
        **studied,
    )


def _plain(given: Any) -> Any:
    return given.value if isinstance(given, Task) else given


def _by_name(protocols: Sequence[EvaluationProtocol]) -> dict[str, EvaluationProtocol]:
    found: dict[str, EvaluationProtocol] = {}
    for protocol in protocols:
        if found.setdefault(protocol.name, protocol) is not protocol:
            raise InputError(f"two protocols are called {protocol.name!r}; give one of them another name")
    return found


def _study(name: Study | str) -> Study:
    try:
        return Study(name)
    except ValueError:
        others = ", ".join(one.value for one in Study)
        raise InputError(f"there is no study {name!r}; there are {others}") from None
