"""Generic segmentation: panoptic quality, semantic mean IoU and mask AP of one folder's classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from find.data.coco import CocoFolder
from find.data.panoptic import segment_index
from find.data.records import read_json
from find.data.sample import Category, Segment
from find.errors import FindError
from find.evaluation.gallery import batches
from find.evaluation.held_out import HeldOut
from find.evaluation.mask_ap import instance_results, instances_from_file, instances_from_maps, mask_ap
from find.evaluation.metrics import SemanticConfusion
from find.evaluation.panoptic_quality import PanopticQuality
from find.evaluation.results import Divided, PanopticResult
from find.evaluation.systems import GenericSegmenter
from find.predictions import InstancePrediction, PanopticPrediction


def panoptic(
    model: GenericSegmenter,
    folder: CocoFolder,
    *,
    image_ids: Sequence[int] | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> PanopticResult:
    """Ask for all classes of the folder in each image.

    - PQ is COCO's, with crowd regions and void.
    - mIoU is over the classes that the true maps hold; void is left out, crowd regions count as their class.
    - AP is COCO's mask AP over thing classes. Its truth is instances_{split}.json, where objects may overlap, or the
      panoptic maps if there is no such file.

    Args:
        image_ids: the images; all of the split if not given.

    Raises:
        FindError: an answer has another size than its image, or labels that are no class.
    """
    image_ids = folder.image_ids if image_ids is None else image_ids
    categories = folder.categories
    names = [category.words for category in categories]
    is_thing = [category.is_thing for category in categories]
    thing_ids = [category.id for category in categories if category.is_thing]
    index_of = {category.id: category.index for category in categories}
    held_out = HeldOut.read(folder)

    quality = PanopticQuality({category.id: category.is_thing for category in categories})
    confusion = SemanticConfusion(len(categories))
    segment_ious: list[float] = []
    segment_held_out: list[bool] = []
    results = []
    for chunk in batches(image_ids, batch_size, title="panoptic", progress=progress):
        images = [folder.image(image_id) for image_id in chunk]
        answers = zip(
            chunk,
            model.panoptic(images, names, is_thing),
            model.semantic(images, names),
            model.instances(images, names, is_thing),
            strict=True,
        )
        for image_id, prediction, semantic, instances in answers:
            segments, segment_map = folder.segments(image_id), folder.segment_map(image_id)
            matches = quality.add(
                image_id=image_id,
                target_map=segment_map,
                target_categories={segment.id: segment.category_id for segment in segments},
                crowd={segment.id for segment in segments if segment.is_crowd},
                predicted_map=prediction.segment_map,
                predicted_categories=_predicted_categories(prediction, categories, image_id),
            )
            segment_ious += matches.values()
            segment_held_out += [held_out.holds(image_id, [segment]) for segment in matches]
            confusion.add(_semantic_map(segment_map, segments, index_of), semantic, image_id=image_id)
            results += _instance_results(instances, categories, image_id)

    truth = _true_instances(folder, image_ids, thing_ids)
    return PanopticResult(
        quality=quality.scores(),
        miou=confusion.miou(),
        instances=mask_ap(truth, results),
        segment_quality=_divide(segment_ious, segment_held_out),
        class_names={category.id: category.name for category in categories},
        images=len(image_ids),
    )


def _predicted_categories(
    prediction: PanopticPrediction, categories: Sequence[Category], image_id: int
) -> dict[int, int]:
    for segment in prediction.segments:
        if not 0 <= segment.label < len(categories):
            raise FindError(f"image {image_id}: predicted class {segment.label}, but there are {len(categories)}")
    return {segment.id: categories[segment.label].id for segment in prediction.segments}


def _instance_results(prediction: InstancePrediction, categories: Sequence[Category], image_id: int) -> list[dict]:
    return instance_results(
        image_id=image_id,
        masks=prediction.masks,
        category_ids=[categories[label].id for label in prediction.labels],
        scores=prediction.scores,
    )


def _semantic_map(
    segment_map: Int[np.ndarray, "h w"], segments: Sequence[Segment], index_of: dict[int, int]
) -> Int[np.ndarray, "h w"]:
    """Class index of every pixel, -1 = void."""
    classes = np.array([*(index_of[segment.category_id] for segment in segments), -1])
    return classes[segment_index(segment_map, np.array([segment.id for segment in segments], np.int32))]


def _true_instances(folder: CocoFolder, image_ids: Sequence[int], thing_ids: Sequence[int]) -> dict:
    path = folder.annotations / f"instances_{folder.split}.json"
    if path.exists():
        return instances_from_file(read_json(path, "images", "annotations"), image_ids, thing_ids)
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


def _divide(ious: Sequence[float], held_out: Sequence[bool]) -> Divided[float | None]:
    values, apart = np.array(ious), np.array(held_out, bool)
    if not apart.any():
        return Divided(all=_mean(values))
    return Divided(all=_mean(values), seen=_mean(values[~apart]), held_out=_mean(values[apart]))


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None
