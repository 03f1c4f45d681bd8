"""A folder of three tiny pictures whose every pixel is known, to be spoiled by the tests."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 64, 48
SKY, CROWD = 7, 70_000
DOG_BOX = (8, 20, 16, 20)  # x, y, width, height


def dog(image_id: int) -> int:
    """Segment id of the dog in an image."""
    return 300 + image_id


@dataclass
class TinyFolder:
    """Change `files` (annotation file name -> JSON) or the pictures, then `write`."""

    root: Path
    files: dict[str, Any]

    def write(self) -> Path:
        (self.root / "annotations").mkdir(parents=True, exist_ok=True)
        for name, data in self.files.items():
            (self.root / "annotations" / name).write_text(json.dumps(data))
        return self.root

    def phrase(self, image: int = 1, number: int = 0) -> dict[str, Any]:
        """A phrase record of the image's sentence."""
        records = self.files["entity_val2017.json"]["annotations"]
        return next(record for record in records if record["image_id"] == image)["phrase"][number]


def paint_ids(ids: np.ndarray) -> Image.Image:
    """The panoptic PNG of a map of segment ids."""
    return Image.fromarray(np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8))


def segment_ids(image_id: int) -> np.ndarray:
    """Sky in the upper third, a dog left below it, a crowd of people right below it, void elsewhere."""
    ids = np.zeros((HEIGHT, WIDTH), np.int32)
    ids[:16] = SKY
    x, y, width, height = DOG_BOX
    ids[y : y + height, x : x + width] = dog(image_id)
    ids[20:40, 40:60] = CROWD
    return ids


def make_tiny_folder(root: Path) -> TinyFolder:
    """Three images with captions, sentences, a reference and a referring expression, written to `root`."""
    for folder in ("val2017", "panoptic_val2017"):
        (root / folder).mkdir(parents=True)
    images, panoptic = [], []
    for image_id in (1, 2, 3):
        name = f"{image_id:012d}"
        pixels = np.full((HEIGHT, WIDTH, 3), 40 * image_id, np.uint8)
        pixels[segment_ids(image_id) == dog(image_id)] = (200, 100, 0)
        Image.fromarray(pixels).save(root / "val2017" / f"{name}.jpg", quality=95)
        paint_ids(segment_ids(image_id)).save(root / "panoptic_val2017" / f"{name}.png")
        images.append({"id": image_id, "file_name": f"{name}.jpg", "height": HEIGHT, "width": WIDTH})
        segments = [
            (SKY, 187, WIDTH * 16, [0, 0, WIDTH, 16], 0),
            (dog(image_id), 18, 320, list(DOG_BOX), 0),
            (CROWD, 1, 400, [40, 20, 20, 20], 1),
        ]
        keys = ("id", "category_id", "area", "bbox", "iscrowd")
        infos = [dict(zip(keys, segment, strict=True)) for segment in segments]
        panoptic.append({"image_id": image_id, "file_name": f"{name}.png", "segments_info": infos})
    categories = [
        {"id": 1, "name": "person", "isthing": 1, "color": [220, 20, 60]},
        {"id": 18, "name": "dog", "isthing": 1, "color": [255, 179, 240]},
        {"id": 187, "name": "sky-other-merged", "isthing": 0, "color": [70, 130, 180]},
    ]

    def phrase(text: str, start: int, segment: int, **more: Any) -> dict[str, Any]:
        return {"phrase": text, "annotation_id": str(segment), "start_idx": start, "end_idx": start + len(text), **more}

    sentences = [
        {"id": 10, "image_id": 1, "sentence": "A dog on the left under the sky.",
         "phrase": [phrase("A dog on the left", 0, dog(1), reference={"image_id": 2, "annotation_id": dog(2)}),
                    phrase("the sky", 24, SKY)]},
        {"id": 11, "image_id": 2, "sentence": "The sky is above a brown dog.",
         "phrase": [phrase("The sky", 0, SKY), phrase("a brown dog", 17, dog(2))]},
    ]  # fmt: skip
    captions = [
        {"id": 1, "image_id": 1, "caption": "One dog, one sky."},
        {"id": 2, "image_id": 1, "caption": "A dog."},
        {"id": 3, "image_id": 2, "caption": "A brown dog."},
    ]
    referring = [{"id": 5, "image_id": 1, "segment_id": dog(1), "sentence": "the brown dog", "held_out": True}]
    folder = TinyFolder(
        root,
        {
            "panoptic_val2017.json": {"images": images, "annotations": panoptic, "categories": categories},
            "captions_val2017.json": {"images": images, "annotations": captions},
            "instances_val2017.json": {"images": images, "annotations": [], "categories": categories[:2]},
            "entity_val2017.json": {"images": images, "annotations": sentences},
            "referring_val2017.json": {"images": images, "annotations": referring},
        },
    )
    folder.write()
    return folder
