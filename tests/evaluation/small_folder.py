"""A small but complete data set, written file by file."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

IMAGES = 8
HEIGHT, WIDTH = 40, 48
CATEGORIES = [
    {"id": 18, "name": "dog", "isthing": 1, "color": [200, 0, 0]},
    {"id": 3, "name": "car", "isthing": 1, "color": [0, 200, 0]},
    {"id": 187, "name": "sky-other-merged", "isthing": 0, "color": [0, 0, 200]},
]
COLOURS = ("red", "blue", "green", "white", "black", "brown", "pink", "grey")


def write(path: Path, content: dict) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def write_folder(root: Path) -> None:
    """Images of a dog, a car, sky, a crowd of dogs and void; every box has an even width.

    Of image k the dog is held out where k is 2 or 5. References point to the next image.
    """
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    for name in ("val2017", "panoptic_val2017"):
        (root / name).mkdir()
    images, annotations, captions, sentences, expressions, negatives = [], [], [], [], [], []
    for number in range(IMAGES):
        image_id = 100 + number
        ids = {name: 1000 * number + place for place, name in enumerate(("dog", "car", "sky", "crowd"), start=1)}
        segment_map = np.zeros((HEIGHT, WIDTH), np.int32)
        segment_map[:10, :] = ids["sky"]
        segment_map[14:26, 2 + number : 16 + number] = ids["dog"]
        segment_map[14:30, 30:40] = ids["car"]
        segment_map[34:, :20] = ids["crowd"]
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(root / "val2017" / f"{image_id}.png")
        encoded = np.stack([segment_map % 256, segment_map // 256 % 256, segment_map // 65536], axis=-1)
        Image.fromarray(encoded.astype(np.uint8)).save(root / "panoptic_val2017" / f"{image_id}.png")

        images.append({"id": image_id, "file_name": f"{image_id}.png", "height": HEIGHT, "width": WIDTH})
        segments = []
        for name, category in (("dog", 18), ("car", 3), ("sky", 187), ("crowd", 18)):
            rows, columns = np.nonzero(segment_map == ids[name])
            box = [int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
            segments.append(
                {
                    "id": ids[name],
                    "category_id": category,
                    "area": len(rows),
                    "bbox": box,
                    "iscrowd": int(name == "crowd"),
                }
            )
        annotations.append({"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": segments})

        colour = COLOURS[number]
        for copy in range(2):
            captions.append(
                {"id": 2 * number + copy, "image_id": image_id, "caption": f"picture {copy} of a {colour} dog"}
            )
        following = (number + 1) % IMAGES
        text = f"a {colour} dog left of a car"
        sentences.append(
            {
                "id": number,
                "image_id": image_id,
                "sentence": text,
                "phrase": [
                    {
                        "phrase": f"a {colour} dog",
                        "annotation_id": ids["dog"],
                        "start_idx": 0,
                        "end_idx": text.index(" left"),
                        "reference": {"image_id": 100 + following, "annotation_id": 1000 * following + 1},
                    },
                    {
                        "phrase": "a car",
                        "annotation_id": ids["car"],
                        "start_idx": text.index("a car"),
                        "end_idx": len(text),
                    },
                ],
            }
        )
        expressions.append(
            {"id": number, "image_id": image_id, "segment_id": ids["dog"], "sentence": f"the {colour} one"}
        )
        wrong = f"a {COLOURS[following]} dog"
        negatives.append(
            {
                "id": number,
                "image_id": image_id,
                "sentence_id": number,
                "sentence": f"{wrong} left of a car",
                "phrase": [{"phrase": wrong, "annotation_id": ids["dog"], "start_idx": 0, "end_idx": len(wrong)}],
                "changed": {"what": "colour", "from": colour, "to": COLOURS[following]},
            }
        )
    folder = root / "annotations"
    write(folder / "panoptic_val2017.json", {"images": images, "annotations": annotations, "categories": CATEGORIES})
    for name, content in (
        ("captions", captions),
        ("entity", sentences),
        ("referring", expressions),
        ("hard_negatives", negatives),
    ):
        write(folder / f"{name}_val2017.json", {"images": images, "annotations": content})
    write(root / "held_out.json", {"segments": {"val2017": {"102": [2001], "105": [5001]}}})
