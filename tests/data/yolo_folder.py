"""A YOLO segmentation folder of drawn rectangles, in any of the layouts that tools write."""

from pathlib import Path

import numpy as np
import yaml
from PIL import Image

WIDTH, HEIGHT = 96, 64
NAMES = ["cat", "dog", "traffic light"]
PHOTOS = {  # name -> class, left, top, right, bottom in pixels
    "a": [(0, 8, 8, 40, 40), (1, 56, 16, 88, 56)],
    "b": [(0, 0, 0, 32, 32), (0, 48, 8, 80, 48)],
    "c": [(2, 40, 8, 56, 56), (1, 4, 30, 30, 60)],
    "d": [(1, 10, 10, 80, 50), (0, 30, 20, 60, 40)],  # a cat on a dog
}
COLORS = [(220, 60, 40), (40, 90, 220), (240, 210, 40)]


def rectangle(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def row(number, points) -> str:
    return " ".join([str(number), *(f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in points)])


def write_photo(file: Path, objects) -> None:
    pixels = np.random.default_rng(len(objects)).integers(90, 140, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    for number, left, top, right, bottom in objects:
        pixels[top:bottom, left:right] = COLORS[number]
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def write_split(images: Path, labels: Path, photos=PHOTOS) -> None:
    for name, objects in photos.items():
        write_photo(images / f"{name}.png", objects)
        file = labels / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(row(o[0], rectangle(*o[1:])) + "\n" for o in objects))


def write_yolo(root: Path, *, config=None) -> Path:
    """images/train, images/val and the labels beside them."""
    for split in ("train", "val"):
        write_split(root / "images" / split, root / "labels" / split)
    config = config or {"path": ".", "train": "images/train", "val": "images/val", "names": dict(enumerate(NAMES))}
    (root / "data.yaml").write_text(yaml.safe_dump(config))
    return root
