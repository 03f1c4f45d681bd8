"""Generic segmentation: panoptic quality, semantic mean IoU and mask AP on one folder's classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from find.data.data_split import DataSplit
from find.data.dataset_issue import DatasetIssue
from find.data.sample import Category, Segment
from find.data.segment_map import segment_index
from find.errors import DataError, printable, warn_caller
from find.evaluation.distributed import in_order
from find.evaluation.encoding import encode_once
from find.evaluation.held_out import HeldOut
from find.evaluation.mask_ap import instance_results, instances_from_maps, mask_ap, true_instances
from find.evaluation.panoptic_quality import SegmentMatches, match_segments, panoptic_quality
from find.evaluation.protocol import EvaluationProtocol, Run
from find.evaluation.semantic import SemanticCounts, count_pixels, semantic_miou
from find.evaluation.system import GenericSegmenter
from find.evaluation.task_results import Divided, GenericImage, PanopticResult
from find.model.predictions import InstancePrediction, PanopticPrediction


@dataclass(frozen=True, eq=False)
class GenericAnswer:
    """A system's answers for one image; None for parts that it does not support.

    Attributes:
        segment_map: segment ids, 0 = none; with `categories`, the category id of each.
        classes: class index (position among the folder's categories) of every pixel, negative = none.
        instances: COCO's instance results of the image.
    """

    segment_map: Int[np.ndarray, "h w"] | None = None
    categories: Mapping[int, int] | None = None
    classes: Int[np.ndarray, "h w"] | None = None
    instances: Sequence[Mapping[str, Any]] | None = None


GenericAnswers = Callable[[Sequence[int]], Sequence[GenericAnswer]]
"""Image ids -> a system's answer for each image; all have the same parts."""


def panoptic(
    model: GenericSegmenter,
    folder: DataSplit,
    *,
    image_ids: Sequence[int] | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> PanopticResult:
    """Segments each image into all classes of the folder.

    - PQ is COCO's, with crowd regions and void.
    - mIoU is over the classes in the true maps; void is ignored, crowd regions count as their class.
    - AP is COCO's mask AP over thing classes. Its ground truth is instances_{split}.json, where objects may overlap, or
      the panoptic maps if that file is missing.

    Args:
        image_ids: the images; all of the split if not given.

    Raises:
        FindError: an answer has another size than its image, or labels that are not classes.
    """
    categories = folder.categories
    names = [category.words for category in categories]
    is_thing = [category.is_thing for category in categories]

    def ask(chunk: Sequence[int]) -> list[GenericAnswer]:
        images = encode_once(model, [folder.image(image_id) for image_id in chunk])
        answers = zip(
            chunk,
            model.panoptic(images, names, is_thing),
            model.semantic(images, names),
            model.instances(images, names, is_thing),
            strict=True,
        )
        return [
            GenericAnswer(
                segment_map=prediction.segment_map,
                categories=_predicted_categories(prediction, categories, image_id),
                classes=semantic,
                instances=_instance_results(instances, categories, image_id),
            )
            for image_id, prediction, semantic, instances in answers
        ]

    return score_panoptic(ask, folder, image_ids=image_ids, batch_size=batch_size, progress=progress)


def score_panoptic(
    answers: GenericAnswers,
    folder: DataSplit,
    *,
    image_ids: Sequence[int] | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> PanopticResult:
    """The same for answers of any origin: a model, or COCO's result files."""
    image_ids = folder.image_ids if image_ids is None else image_ids
    is_thing = {category.id: category.is_thing for category in folder.categories}
    index_of = {category.id: category.index for category in folder.categories}

    def compared(chunk: Sequence[int]) -> list[tuple[GenericImage, Sequence[Mapping[str, Any]] | None]]:
        found = []
        for image_id, answer in zip(chunk, answers(chunk), strict=True):
            segments = folder.segments(image_id)
            segment_map = folder.segment_map(image_id)
            matches = None if answer.segment_map is None else _match(image_id, answer, segments, segment_map, is_thing)
            pixels = None if answer.classes is None else _count(image_id, answer, segments, segment_map, index_of)
            found.append((GenericImage(image_id, matches, pixels), answer.instances))
        return found

    found = in_order(image_ids, compared, batch_size=batch_size, title="panoptic", progress=progress)
    images = [image for image, _ in found]
    matches = [image.matches for image in images if image.matches is not None]
    instances = [results for _, results in found if results is not None]
    truth = _true_instances(folder, image_ids, [id for id, thing in is_thing.items() if thing]) if instances else None
    return PanopticResult(
        quality=panoptic_quality(matches, is_thing) if matches else None,
        miou=semantic_miou([image.pixels for image in images if image.pixels is not None]),
        instances=truth and mask_ap(truth, [result for results in instances for result in results]),
        segment_quality=_segment_quality(images, HeldOut.read(folder)),
        class_names={category.id: category.name for category in folder.categories},
        is_thing=is_thing,
        images=len(image_ids),
        per_image=images,
    )


def _match(
    image_id: int,
    answer: GenericAnswer,
    segments: Sequence[Segment],
    segment_map: Int[np.ndarray, "h w"],
    is_thing: Mapping[int, bool],
) -> SegmentMatches:
    return match_segments(
        image_id=image_id,
        target_map=segment_map,
        target_categories={segment.id: segment.category_id for segment in segments},
        crowd={segment.id for segment in segments if segment.is_crowd},
        predicted_map=answer.segment_map,
        predicted_categories=answer.categories or {},
        category_ids=list(is_thing),
    )


def _count(
    image_id: int,
    answer: GenericAnswer,
    segments: Sequence[Segment],
    segment_map: Int[np.ndarray, "h w"],
    index_of: Mapping[int, int],
) -> SemanticCounts:
    classes = np.array([*(index_of[segment.category_id] for segment in segments), -1])  # the last index is void
    target = classes[segment_index(segment_map, np.array([segment.id for segment in segments], np.int32))]
    return count_pixels(target, answer.classes, classes=len(index_of), image_id=image_id)


def _predicted_categories(
    prediction: PanopticPrediction, categories: Sequence[Category], image_id: int
) -> dict[int, int]:
    for segment in prediction.segments:
        if not 0 <= segment.label < len(categories):
            raise DataError(f"image {image_id}: predicted class {segment.label}, but there are {len(categories)}")
    return {segment.id: categories[segment.label].id for segment in prediction.segments}


def _instance_results(
    prediction: InstancePrediction, categories: Sequence[Category], image_id: int
) -> list[dict[str, Any]]:
    return instance_results(
        image_id=image_id,
        masks=prediction.masks,
        category_ids=[categories[label].id for label in prediction.labels],
        scores=prediction.scores,
    )


def _true_instances(folder: DataSplit, image_ids: Sequence[int], thing_ids: Sequence[int]) -> dict[str, Any]:
    listed = _listed_instances(folder, image_ids, thing_ids)
    if listed is not None:
        return listed
    things = set(thing_ids)
    maps = []
    for image_id in image_ids:
        segments = [segment for segment in folder.segments(image_id) if segment.category_id in things]
        maps.append(
            (
                image_id,
                folder.segment_map(image_id),
                {segment.id: segment.category_id for segment in segments},
                {segment.id for segment in segments if segment.is_crowd},
            )
        )
    return instances_from_maps(maps, thing_ids)


def _listed_instances(folder: DataSplit, image_ids: Sequence[int], thing_ids: Sequence[int]) -> dict[str, Any] | None:
    """The ground truth of data with listed objects; omissions are reported in one warning, broken data raise."""
    left_out: Counter[str] = Counter()
    first: dict[str, str] = {}

    def refuse_or_skip(issue: DatasetIssue) -> None:
        if issue.stops:
            raise DataError(f"{folder.root}: {issue}")
        left_out[issue.kind] += 1
        first.setdefault(issue.kind, printable(f"{issue.item}: {issue.message}"))

    instances = folder.instances(refuse_or_skip)
    if instances is None:
        return None
    sizes = {image_id: folder.image_size(image_id) for image_id in image_ids}
    for image_id, (height, width) in sizes.items():
        image = instances.images.get(image_id)
        if image is not None and (image.height, image.width) != (height, width):
            raise DataError(
                f"{folder.root}: {instances.source}, image {image_id}: it is {image.width} x "
                f"{image.height} here but {width} x {height} in the panoptic file. Correct the one that is wrong."
            )
    truth = true_instances(instances, sizes, thing_ids, refuse_or_skip)
    if left_out:
        summary = "; ".join(f"{kind}: {count} (first: {first[kind]})" for kind, count in sorted(left_out.items()))
        warn_caller(f"{folder.root}: {instances.source}: left out of the truth of AP, or doubtful: {summary}")
    return truth


def _segment_quality(images: Sequence[GenericImage], held_out: HeldOut) -> Divided[float | None]:
    found = [
        (iou, held_out.holds(image.image_id, [segment]))
        for image in images
        if image.matches is not None
        for segment, iou in image.matches.ious.items()
    ]
    values, apart = np.array([iou for iou, _ in found]), np.array([is_apart for _, is_apart in found], bool)
    if not apart.any():
        return Divided(all=_mean(values))
    return Divided(all=_mean(values), seen=_mean(values[~apart]), held_out=_mean(values[apart]))


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None


class Panoptic(EvaluationProtocol):
    """Generic segmentation (`panoptic`)."""

    name = "panoptic"

    def run(self, system: GenericSegmenter, data: DataSplit, run: Run) -> PanopticResult:
        return panoptic(system, data, image_ids=run.image_ids, **run.options)

    def texts(self, data: DataSplit, run: Run) -> Iterator[str]:
        yield from (category.words for category in data.categories)
