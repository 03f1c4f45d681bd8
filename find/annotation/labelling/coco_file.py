"""Labels as COCO's instances JSON, which `findvl data import`, pycocotools and annotation tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from find.annotation.labelling.labels import Label, Labels
from find.annotation.labelling.polygons import polygons as polygons_of
from find.images.rle import decode
from find.utils.files import write_atomically


def write_labels(labels: Labels, file: Path, *, polygons: bool) -> Path:
    categories = {name: number for number, name in enumerate(labels.categories, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, photo in enumerate(labels.photos, start=1):
        height, width = photo.size
        images.append({"id": number, "file_name": photo.path, "width": width, "height": height})
        for label in photo.labels:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": categories[label.category],
                    "segmentation": _polygons(label) if polygons else label.segmentation,
                    "area": label.area,
                    "bbox": list(label.box),
                    "iscrowd": 0,
                    "score": round(label.score, 4),
                    "query": label.query,
                }
            )
    document = {
        "info": {"description": "found by findvl label; not reviewed", "queries": labels.queries, **labels.settings},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
    }
    write_atomically(file, msgspec.json.encode(document) + b"\n")
    return file


def _polygons(label: Label) -> list[list[int]]:
    height, width = label.segmentation["size"]
    return [ring.ravel().tolist() for ring in polygons_of(decode(label.segmentation, (height, width)))]
