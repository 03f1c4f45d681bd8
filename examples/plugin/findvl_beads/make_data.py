"""Draws pictures of beads, with the CSV files that say where they are: python -m findvl_beads.make_data ROOT."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE = 96
KINDS = {"red bead": (210, 50, 40), "blue bead": (40, 80, 210), "gold bead": (230, 190, 50)}


def make_split(root: Path, split: str, *, images: int, seed: int) -> None:
    """Writes `root/split/*.png` and `root/split.csv`; beads do not touch."""
    rng = np.random.default_rng(seed)
    (root / split).mkdir(parents=True, exist_ok=True)
    with (root / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "x", "y", "radius", "kind"])
        for number in range(images):
            name = f"{number:04d}.png"
            picture = Image.new("RGB", (SIDE, SIDE), tuple(rng.integers(70, 150, 3).tolist()))
            draw = ImageDraw.Draw(picture)
            placed: list[tuple[float, float, float]] = []
            kinds = rng.choice(list(KINDS), size=rng.integers(1, 3), replace=False)
            for kind in kinds:
                for _ in range(int(rng.integers(1, 5))):
                    radius = float(rng.uniform(6, 11))
                    x, y = rng.uniform(radius, SIDE - radius, 2).tolist()
                    if any((x - a) ** 2 + (y - b) ** 2 < (radius + r + 2) ** 2 for a, b, r in placed):
                        continue
                    placed.append((x, y, radius))
                    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=KINDS[kind])
                    rows.writerow([name, f"{x:.1f}", f"{y:.1f}", f"{radius:.1f}", kind])
            picture.save(root / split / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="the folder to write")
    parser.add_argument("--images", type=int, default=200, help="of the train split (default: %(default)s)")
    parser.add_argument("--val-images", type=int, default=20, help="of the val split (default: %(default)s)")
    arguments = parser.parse_args()
    make_split(arguments.root, "train", images=arguments.images, seed=0)
    make_split(arguments.root, "val", images=arguments.val_images, seed=1)
    print(f"{arguments.root}: {arguments.images} train and {arguments.val_images} val images")


if __name__ == "__main__":
    main()
