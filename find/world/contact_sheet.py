"""One picture of many scenes of a data folder, with mask outlines and a sentence under each, to look at."""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from find.errors import InputError

_TEXT_HEIGHT = 48
_GAP = 8


def contact_sheet(
    root: str | os.PathLike[str],
    split: str,
    path: str | os.PathLike[str],
    n: int = 48,
    *,
    columns: int = 8,
    scale: int = 1,
) -> Path:
    """Writes a PNG of the first `n` images of a split and returns its path.

    Args:
        root: data folder in COCO's layout with an entity file.
        columns: images a row.
        scale: enlargement of the images.

    Raises:
        FindError: if the folder has no entity file of that split.
    """
    folder = Path(root)
    file = folder / "annotations" / f"entity_{split}.json"
    if not file.is_file():
        raise InputError(f"{file} does not exist: make a world first, or name the folder of one")
    entities = json.loads(file.read_text(encoding="utf-8"))
    said: dict[int, str] = {}
    for annotation in entities["annotations"]:
        said.setdefault(annotation["image_id"], annotation["sentence"])
    images = entities["images"][:n]
    width = max(image["width"] for image in images) * scale
    height = max(image["height"] for image in images) * scale
    rows = -(-len(images) // columns)
    cell = (width + _GAP, height + _TEXT_HEIGHT + _GAP)
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for k, image in enumerate(images):
        x, y = k % columns * cell[0] + _GAP, k // columns * cell[1] + _GAP
        sheet.paste(_outlined(folder, split, image["file_name"], scale), (x, y))
        lines = textwrap.wrap(said.get(image["id"], ""), width // 5)[:4]
        pen.multiline_text((x, y + height + 1), "\n".join(lines), fill="black", font=font, spacing=1)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target)
    return target


def _outlined(folder: Path, split: str, name: str, scale: int) -> Image.Image:
    with Image.open(folder / split / name) as opened:
        picture = opened.convert("RGB")
    with Image.open(folder / f"panoptic_{split}" / name.replace(".jpg", ".png")) as opened:
        colours = np.asarray(opened.convert("RGB"), dtype=np.int32)
    size = (picture.width * scale, picture.height * scale)
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    ids = (colours @ np.array([1, 256, 65536])).repeat(scale, 0).repeat(scale, 1)
    pixels = np.array(picture)
    edge = np.zeros(ids.shape, bool)
    edge[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    edge[1:] |= ids[1:] != ids[:-1]
    pixels[edge] = (pixels[edge] * 0.45 + np.array([255, 255, 255]) * 0.55).astype(np.uint8)
    return Image.fromarray(pixels)
