"""Mask AP: equal to pycocotools on real annotations, and known answers at the edges."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from find.data.dataset_issue import DatasetIssue
from find.data.instances import read_instances
from find.errors import FindError
from find.evaluation.mask_ap import instance_results, instances_from_maps, mask_ap, true_instances


def refuse(issue: DatasetIssue) -> None:
    raise issue.error()


def perturbed(truth: dict, rng: np.random.Generator) -> list[dict]:
    """Results that are right, shifted, mislabelled, missing and doubled, with scores in no order."""
    coco = silent(COCO)
    coco.dataset = truth
    silent(coco.createIndex)
    categories = [c["id"] for c in truth["categories"]]
    results = []
    for annotation in truth["annotations"]:
        kind = rng.integers(0, 6)
        if kind == 0:
            continue
        mask = np.roll(coco.annToMask(annotation).astype(bool), int(rng.integers(0, 8)), axis=int(rng.integers(0, 2)))
        category = int(rng.choice(categories)) if kind == 1 else annotation["category_id"]
        copies = 2 if kind == 2 else 1
        results += instance_results(
            image_id=annotation["image_id"],
            masks=np.stack([mask] * copies),
            category_ids=[category] * copies,
            scores=rng.random(copies),
        )
    return results


def silent(function, *args, **kwargs):
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*args, **kwargs)


def test_equals_pycocotools_on_real_annotations_with_crowds(shared: Path):
    path = shared / "coco-sample" / "coco" / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    crowded = {a["image_id"] for a in content["annotations"] if a["iscrowd"]}
    image_ids = sorted(crowded)[:6] + [image["id"] for image in content["images"]][:12]
    instances = read_instances(path, refuse)
    sizes = {id: (instances.images[id].height, instances.images[id].width) for id in image_ids}
    truth = true_instances(instances, sizes, [c["id"] for c in content["categories"]], refuse)
    results = perturbed(truth, np.random.default_rng(0))
    scores = mask_ap(truth, results)

    coco = silent(COCO)
    coco.dataset = json.loads(json.dumps(truth))
    silent(coco.createIndex)
    evaluation = COCOeval(coco, silent(coco.loadRes, json.loads(json.dumps(results))), "segm")
    for step in (evaluation.evaluate, evaluation.accumulate, evaluation.summarize):
        silent(step)
    ours = (scores.ap, scores.ap50, scores.ap75, scores.small, scores.medium, scores.large)
    assert 0.1 < scores.ap < 0.9
    assert ours == pytest.approx(tuple(evaluation.stats[:6]), abs=1e-9)
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    known = {id: precision[:, :, k].mean() for k, id in enumerate(evaluation.params.catIds) if precision[0, 0, k] > -1}
    assert scores.ap_of_class == pytest.approx(known, abs=1e-9)


def two_objects() -> dict:
    segment_map = np.zeros((40, 60), np.int32)
    segment_map[5:20, 5:20] = 7
    segment_map[25:38, 30:58] = 8
    segment_map[0:4, :] = 9
    return instances_from_maps([(3, segment_map, {7: 1, 8: 2, 9: 2}, {9})], [1, 2])


def test_the_truth_itself_scores_one_and_nothing_scores_zero():
    truth = two_objects()
    results = [
        {"image_id": 3, "category_id": a["category_id"], "score": 0.5, "segmentation": a["segmentation"]}
        for a in truth["annotations"]
        if not a["iscrowd"]
    ]
    assert mask_ap(truth, results).ap == pytest.approx(1)
    assert mask_ap(truth, results[:1]).ap == pytest.approx(0.5)
    assert mask_ap(truth, []).ap == 0


def test_without_objects_there_is_no_average_precision():
    truth = instances_from_maps([(3, np.zeros((4, 4), np.int32), {}, ())], [1])
    assert mask_ap(truth, []).ap is None


def test_instances_of_maps_are_the_maps():
    annotations = two_objects()["annotations"]
    assert [a["area"] for a in annotations] == [225, 13 * 28, 240]
    assert annotations[1]["bbox"] == [30, 25, 28, 13]
    assert rle.decode(annotations[0]["segmentation"])[5:20, 5:20].all()


def test_results_of_other_images_and_categories_are_refused(tmp_path: Path):
    truth = two_objects()
    truth["images"][0]["file_name"] = "a.jpg"
    file = tmp_path / "instances_val2017.json"
    file.write_text(json.dumps(truth))
    mask = np.ones((1, 40, 60), bool)
    with pytest.raises(FindError, match="image 4, which is not evaluated"):
        mask_ap(truth, instance_results(image_id=4, masks=mask, category_ids=[1], scores=[1]))
    with pytest.raises(FindError, match="unknown category 5"):
        mask_ap(truth, instance_results(image_id=3, masks=mask, category_ids=[5], scores=[1]))
    with pytest.raises(FindError, match="instance 1 of image 3 has category 1"):
        true_instances(read_instances(file, refuse), {3: (40, 60)}, [2], refuse)
