"""A data set that has instances only gets panoptic maps: each pixel goes to the smallest object that covers it."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval import COCO

from find.data.decode import segment_png
from find.data.records import read_json
from find.data.segment_map import locate
from find.errors import FindError


def write_panoptic(root: Path, split: str, out: Path) -> dict[str, int]:
    """Writes out/annotations/panoptic_{split}.json and out/panoptic_{split}/*.png from root's instances.

    Crowd regions lie below everything, then objects from large to small. Pixels of no object are void.

    Returns:
        How many images and segments there are, and how many objects lie hidden under others.

    Raises:
        FindError: there is no such file, an object's mask cannot be drawn, or two images differ in their suffix only.
    """
    path = root / "annotations" / f"instances_{split}.json"
    content = read_json(path, "images", "annotations", "categories")
    coco = COCO(content, use_deepcopy=True)
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    pictures = out / f"panoptic_{split}"
    pictures.mkdir(parents=True, exist_ok=True)
    records, hidden = [], 0
    written: set[str] = set()
    for image in content["images"]:
        objects = sorted(by_image[image["id"]], key=lambda a: (not a.get("iscrowd", 0), -float(a["area"]), a["id"]))
        segment_map = np.zeros((image["height"], image["width"]), np.int32)
        for number, annotation in enumerate(objects, start=1):
            try:
                segment_map[coco.annToMask(annotation).astype(bool)] = number
            except Exception as error:  # the library raises many types for broken polygons
                raise FindError(f"{path}: instance {annotation['id']} cannot be drawn ({error})") from error
        located = locate(segment_map, np.arange(1, len(objects) + 1, dtype=np.int32))
        segments = [
            {"id": number, "category_id": a["category_id"], "area": area, "bbox": box, "iscrowd": a.get("iscrowd", 0)}
            for number, (a, area, box) in enumerate(zip(objects, located.areas, located.boxes, strict=True), start=1)
            if area
        ]
        hidden += len(objects) - len(segments)
        name = f"{Path(image['file_name']).stem}.png"
        if name in written:
            raise FindError(f"{path}: two images would share the panoptic map {name}; give their files different names")
        written.add(name)
        segment_png(segment_map).save(pictures / name)
        records.append({"image_id": image["id"], "file_name": name, "segments_info": segments})
    categories = [{**category, "isthing": 1} for category in content["categories"]]
    made = {"images": content["images"], "annotations": records, "categories": categories}
    target = out / "annotations" / f"panoptic_{split}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(made) + "\n", encoding="utf-8")
    return {"images": len(records), "segments": sum(len(r["segments_info"]) for r in records), "hidden": hidden}
