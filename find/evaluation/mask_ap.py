"""COCO's mask average precision for the thing classes of a folder, computed by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as rle
from jaxtyping import Bool

from find.data.dataset_issue import Report
from find.data.instances import Instances
from find.data.outlines import compressed
from find.errors import DataError


@dataclass(frozen=True)
class InstanceScores:
    """COCO's mask average precision, fractions (0 to 1); None if there are no objects of that size."""

    ap: float | None  # mean over IoU 0.50, 0.55 .. 0.95
    ap50: float | None
    ap75: float | None
    small: float | None  # below 32 x 32 pixels
    medium: float | None
    large: float | None  # above 96 x 96 pixels
    ap_of_class: Mapping[int, float] = field(default_factory=dict)  # by category id, for those in the ground truth


def mask_ap(ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> InstanceScores:
    """Average precision of `results` (COCO's result format) against `ground_truth` (COCO's instances format).

    Raises:
        FindError: a result refers to an image or a category that is not in the ground truth.
    """
    images = {image["id"] for image in ground_truth["images"]}
    categories = {category["id"] for category in ground_truth["categories"]}
    for result in results:
        if result["image_id"] not in images:
            raise DataError(f"an instance result is of image {result['image_id']}, which is not evaluated")
        if result["category_id"] not in categories:
            raise DataError(
                f"an instance result of image {result['image_id']} has the unknown category {result['category_id']}"
            )
    if not any(not annotation["iscrowd"] for annotation in ground_truth["annotations"]):
        return InstanceScores(ap=None, ap50=None, ap75=None, small=None, medium=None, large=None)
    if not results:
        return InstanceScores(ap=0.0, ap50=0.0, ap75=0.0, small=0.0, medium=0.0, large=0.0)
    number_of = {image_id: number for number, image_id in enumerate(sorted(images))}
    truth = COCO(_renumbered(ground_truth, number_of), use_deepcopy=True)
    read = truth.loadRes([_as_library_reads(result, number_of) for result in results])
    evaluation = COCOeval_faster(truth, read, "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    ap, ap50, ap75, small, medium, large = (None if v < 0 else float(v) for v in evaluation.stats[:6])
    return InstanceScores(
        ap=ap, ap50=ap50, ap75=ap75, small=small, medium=medium, large=large, ap_of_class=_of_class(evaluation)
    )


def _of_class(evaluation: COCOeval_faster) -> dict[int, float]:
    """Each class's AP over all sizes; their mean is the AP."""
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]  # IoU, recall, class; -1: not in the truth
    classes = evaluation.params.catIds
    return {int(id): float(precision[:, :, k].mean()) for k, id in enumerate(classes) if precision[0, 0, k] > -1}


def instance_results(
    *, image_id: int, masks: Bool[np.ndarray, "n h w"], category_ids: Sequence[int], scores: Sequence[float]
) -> list[dict[str, Any]]:
    """One image's predicted instances in COCO's result format (masks as compressed RLE)."""
    return [
        {
            "image_id": image_id,
            "category_id": int(category),
            "score": float(score),
            "segmentation": encode(mask),
        }
        for mask, category, score in zip(masks, category_ids, scores, strict=True)
    ]


def true_instances(
    instances: Instances, sizes: Mapping[int, tuple[int, int]], category_ids: Collection[int], report: Report
) -> dict[str, Any]:
    """The ground truth of some images: objects with masks as run-length codes. Objects without a mask are reported.

    Args:
        instances: the content of the instances file.
        sizes: height and width of each evaluated image.
        category_ids: the thing categories of the folder.
        report: receives issues about broken masks and omitted objects.

    Raises:
        FindError: an object has a category that is not a thing.
    """
    known = set(category_ids)
    annotations = []
    for one in instances.objects:
        size = sizes.get(one.image_id)
        if size is None:
            continue
        if one.category_id not in known:
            raise DataError(
                f"{instances.source}: {one.item} has category {one.category_id}, which is not a thing category of the "
                "panoptic file; both files must use the same category ids"
            )
        outline = one.outline(size, instances.source, report)
        if outline is not None:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": one.image_id,
                    "category_id": one.category_id,
                    "segmentation": outline.code,
                    "area": one.own_area(outline),
                    "bbox": [float(value) for value in rle.toBbox(outline.code)],
                    "iscrowd": int(one.is_crowd),
                }
            )
    return {
        "images": [{"id": id, "height": height, "width": width} for id, (height, width) in sizes.items()],
        "annotations": annotations,
        "categories": [{"id": category, "name": str(category)} for category in sorted(known)],
    }


def instances_from_maps(
    maps: Sequence[tuple[int, np.ndarray, Mapping[int, int], Collection[int]]], category_ids: Collection[int]
) -> dict[str, Any]:
    """COCO instances derived from panoptic maps, for folders without an instances file.

    `maps` holds, for each image, its id, its segment map [h, w], the category id of each of its thing segments and
    the ids of those among them that are crowd regions.
    """
    images, annotations = [], []
    for image_id, segment_map, categories, crowd in maps:
        height, width = segment_map.shape
        images.append({"id": image_id, "height": height, "width": width})
        for segment, category in categories.items():
            encoded = encode(segment_map == segment)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category,
                    "segmentation": encoded,
                    "area": int(rle.area(encoded)),
                    "bbox": [float(value) for value in rle.toBbox(encoded)],
                    "iscrowd": int(segment in crowd),
                }
            )
    categories = [{"id": category, "name": str(category)} for category in sorted(category_ids)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _renumbered(ground_truth: Mapping[str, Any], number_of: Mapping[int, int]) -> dict[str, Any]:
    """Assigns unique ids from 1 to objects: the library treats 0 as "unmatched" and confuses objects with equal ids;
    and ids from 0 to images, in the same order: it takes no negative ones."""
    images = [{**image, "id": number_of[image["id"]]} for image in ground_truth["images"]]
    annotations = [
        {**annotation, "id": number, "image_id": number_of[annotation["image_id"]]}
        for number, annotation in enumerate(ground_truth["annotations"], 1)
    ]
    return {**ground_truth, "images": images, "annotations": annotations}


def _as_library_reads(result: Mapping[str, Any], number_of: Mapping[int, int]) -> dict[str, Any]:
    segmentation = result["segmentation"]
    code = compressed(segmentation, tuple(segmentation["size"]))
    return {**result, "image_id": number_of[result["image_id"]], "segmentation": code}


def encode(mask: Bool[np.ndarray, "h w"]) -> dict[str, Any]:
    """A mask as COCO's compressed run-length code, which JSON can hold."""
    encoded = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    counts = encoded["counts"]
    return {"size": list(encoded["size"]), "counts": counts.decode() if isinstance(counts, bytes) else counts}
