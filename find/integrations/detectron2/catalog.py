"""Folders in COCO's layout (COCO with FIND-Bench, the synthetic world, one's own) in detectron2's catalogs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from find.data.coco import CocoFolder
from find.data.source import FileSource
from find.errors import InputError
from find.evaluation.mask_ap import instances_from_maps
from find.foundations.detectron2 import detectron2_module
from find.integrations.detectron2.classes import metadata_of, numbering

Record = dict[str, Any]


@dataclass(frozen=True)
class Registered:
    """The names of a folder in `DatasetCatalog` and `MetadataCatalog`.

    Attributes:
        instance: things with masks, for `COCOEvaluator`.
        panoptic: things and stuff as panoptic maps, for `COCOPanopticEvaluator`.
        sentences: a record for each sentence; None where the folder has none.
    """

    instance: str
    panoptic: str
    sentences: str | None


def register(folder: CocoFolder, name: str) -> Registered:
    """Registers a folder as `NAME_instance`, `NAME_panoptic` and, if it has sentences, `NAME_sentences`.

    Records are made when detectron2 requests them. All have `file_name`, `height`, `width` and `image_id`; then

    - instance: `annotations`, from instances_{split}.json, or, where there is none, from the panoptic maps, which
      takes decoding them all. `COCOEvaluator` then needs an `output_dir`.
    - panoptic: `pan_seg_file_name` and `segments_info`; `captions`, and `expressions` (id, text, segment_id).
    - sentences: as panoptic, with `sentence_id`, `text` and `phrases` (text, start, end, segment_ids, reference): one
      record for each sentence, so that an image may come many times.

    One numbering of classes serves all: things by id, then stuff by id.

    Raises:
        FindError: detectron2 is not installed, the name is taken, or the files are in a zip, which detectron2 cannot
            read.
    """
    data = detectron2_module("detectron2.data")
    roots = {"image_root": _place(folder.images), "panoptic_root": _place(folder.maps)}
    names = Registered(f"{name}_instance", f"{name}_panoptic", f"{name}_sentences" if folder.sentences else None)
    instances = folder.annotations / f"instances_{folder.split}.json"
    truth = str(instances) if instances.exists() else None
    classes = metadata_of(folder.categories)
    panoptic = {
        **classes,
        **roots,
        "panoptic_json": str(folder.annotations / f"panoptic_{folder.split}.json"),
        "json_file": truth,
        "evaluator_type": "coco_panoptic_seg",
        "ignore_label": 255,
        "label_divisor": 1000,
    }
    instance = {key: value for key, value in classes.items() if key.startswith("thing_")}
    instance |= {"image_root": roots["image_root"], "evaluator_type": "coco"}
    if truth is not None:
        instance["json_file"] = truth
    entries: list[tuple[str, Callable[[CocoFolder], list[Record]], Record]] = [
        (names.instance, instance_records, instance),
        (names.panoptic, panoptic_records, panoptic),
    ]
    if names.sentences is not None:
        entries.append((names.sentences, sentence_records, {**panoptic, "evaluator_type": "find_sentences"}))
    for key, _, _ in entries:
        if key in data.DatasetCatalog or key in data.MetadataCatalog:
            raise InputError(f"detectron2 has a data set {key!r} already; give another name")
    for key, records, metadata in entries:
        data.DatasetCatalog.register(key, partial(records, folder))
        data.MetadataCatalog.get(key).set(**metadata)
    return names


def instance_records(folder: CocoFolder) -> list[Record]:
    """Images with the things in them.

    Raises:
        FindError: an annotation's category is not among the folder's things.
    """
    instances = folder.annotations / f"instances_{folder.split}.json"
    found = _listed_things(instances) if instances.exists() else _painted_things(folder)
    things = _things(folder)
    number_of = {id: number for id, number in numbering(folder.categories).items() if id in things}
    records = []
    for row, image_id in enumerate(folder.image_ids):
        annotations = found.get(image_id, [])
        for annotation in annotations:
            category = annotation["category_id"]
            if category not in number_of:
                raise InputError(
                    f"{instances}: image {image_id} has an instance of category {category}, which is not a thing in "
                    f"{folder.table.source}; the two files must number categories alike"
                )
            annotation["category_id"] = number_of[category]
        records.append({**_image(folder, row), "annotations": annotations})
    return records


def panoptic_records(folder: CocoFolder) -> list[Record]:
    """Images with their panoptic maps, captions and referring expressions."""
    number_of = numbering(folder.categories)
    return [
        {
            **_panoptic(folder, row, number_of),
            "captions": list(folder.captions_of(image_id)),
            "expressions": [
                {"id": e.id, "text": e.text, "segment_id": e.segment_id} for e in folder.expressions_of(image_id)
            ],
        }
        for row, image_id in enumerate(folder.image_ids)
    ]


def sentence_records(folder: CocoFolder) -> list[Record]:
    """Sentences with their image and its panoptic map, in the order of the file."""
    number_of = numbering(folder.categories)
    return [
        {
            **_panoptic(folder, folder.position(sentence.image_id), number_of),
            "sentence_id": sentence.id,
            "text": sentence.text,
            "phrases": [{**asdict(p), "segment_ids": list(p.segment_ids)} for p in sentence.phrases],
        }
        for sentence in folder.sentences
    ]


def _image(folder: CocoFolder, row: int) -> Record:
    height, width = folder.table.sizes[row].tolist()
    return {
        "file_name": str(folder.images.path / folder.images.own(folder.table.file_names[row])),
        "image_id": folder.image_ids[row],
        "height": height,
        "width": width,
    }


def _panoptic(folder: CocoFolder, row: int, number_of: dict[int, int]) -> Record:
    things = _things(folder)
    return {
        **_image(folder, row),
        "pan_seg_file_name": str(folder.maps.path / folder.maps.own(folder.table.map_names[row])),
        "segments_info": [
            {
                "id": segment.id,
                "category_id": number_of[segment.category_id],
                "isthing": segment.category_id in things,
                "iscrowd": int(segment.is_crowd),
                "area": segment.area,
                "bbox": list(segment.bbox),
            }
            for segment in folder.table.segments(row)
        ],
    }


def _things(folder: CocoFolder) -> set[int]:
    return {category.id for category in folder.categories if category.is_thing}


def _listed_things(instances: Path) -> dict[int, list[Record]]:
    """Image id -> annotations as detectron2 reads them, with the ids of their categories in the data."""
    datasets = detectron2_module("detectron2.data.datasets")
    return {record["image_id"]: record["annotations"] for record in datasets.load_coco_json(str(instances), "")}


def _painted_things(folder: CocoFolder) -> dict[int, list[Record]]:
    """The same, made of the panoptic maps."""
    mode = detectron2_module("detectron2.structures").BoxMode.XYWH_ABS
    keys = ("bbox", "category_id", "segmentation", "iscrowd")
    things = _things(folder)
    found = {}
    for image_id in folder.image_ids:
        segments = [segment for segment in folder.segments(image_id) if segment.category_id in things]
        categories = {segment.id: segment.category_id for segment in segments}
        crowd = {segment.id for segment in segments if segment.is_crowd}
        made = instances_from_maps([(image_id, folder.segment_map(image_id), categories, crowd)], things)
        found[image_id] = [{**{key: a[key] for key in keys}, "bbox_mode": mode} for a in made["annotations"]]
    return found


def _place(source: FileSource) -> str:
    if not Path(source.path).is_dir():
        raise InputError(f"{source.path}: detectron2 reads files, not archives; unpack it beside where it lies")
    return str(source.path)
