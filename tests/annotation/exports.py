"""The same few objects on the same pictures, written as each annotation tool writes them."""

import base64
import io
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from faster_coco_eval.core import mask as rle
from PIL import Image

WIDTH, HEIGHT = 96, 64
CLASSES = ("cup", "spoon", "plate")


@dataclass(frozen=True)
class Object:
    """A polygon with whole numbers, whose pixels COCO's library says."""

    name: str
    polygon: tuple[int, ...]

    @property
    def mask(self) -> np.ndarray:
        code = rle.merge(rle.frPyObjects([list(self.polygon)], HEIGHT, WIDTH))
        return rle.decode(code).astype(bool)

    @property
    def box(self) -> tuple[int, int, int, int]:
        xs, ys = self.polygon[::2], self.polygon[1::2]
        return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def rectangle(name: str, x: int, y: int, width: int, height: int) -> Object:
    return Object(name, (x, y, x + width, y, x + width, y + height, x, y + height))


OBJECTS: dict[str, tuple[Object, ...]] = {
    "a.jpg": (rectangle("cup", 4, 4, 30, 20), Object("spoon", (50, 10, 90, 10, 70, 50))),
    "b.jpg": (rectangle("plate", 10, 30, 60, 24),),
    "c.jpg": (rectangle("cup", 8, 8, 20, 40), rectangle("cup", 60, 8, 20, 40)),
    "d.jpg": (Object("spoon", (6, 6, 60, 20, 20, 56)),),
    "e.jpg": (rectangle("plate", 2, 2, 40, 50), rectangle("spoon", 50, 2, 12, 50)),
}
SPLITS = {"a.jpg": "train", "b.jpg": "train", "c.jpg": "train", "d.jpg": "valid", "e.jpg": "test"}


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name) + ord(path.name[0])).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(path, quality=90)
    return path


def coco(
    names: list[str], *, prefix: str = "", first_class: int = 1, runs: bool = False, folder: str = "", **more: Any
) -> dict[str, Any]:
    """COCO's three lists; `more` goes into every object."""
    images, annotations = [], []
    for number, name in enumerate(names):
        images.append({"id": number, "file_name": f"{folder}{name}", "width": WIDTH, "height": HEIGHT})
        for one in OBJECTS[name]:
            shape: Any = [list(map(float, one.polygon))]
            if runs:
                flat = one.mask.ravel(order="F").astype(np.int8)
                edges = np.flatnonzero(np.diff(flat)) + 1
                counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
                shape = {"size": [HEIGHT, WIDTH], "counts": ([0] if flat[0] else []) + counts}
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": first_class + CLASSES.index(one.name),
                    "segmentation": shape,
                    "bbox": list(one.box),
                    "area": one.box[2] * one.box[3],
                    "iscrowd": 0,
                    **more,
                }
            )
    categories = [{"id": first_class + k, "name": name} for k, name in enumerate(CLASSES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def roboflow(root: Path, *, splits: dict[str, str] = SPLITS) -> Path:
    for split in dict.fromkeys(splits.values()):
        names = [name for name in OBJECTS if splits[name] == split]
        for name in names:
            picture(root / split / name)
        content = coco(names)
        content["categories"] = [{"id": 0, "name": "kitchen", "supercategory": "none"}] + [
            {**category, "supercategory": "kitchen"} for category in content["categories"]
        ]
        info = {"year": "2026", "version": "3", "description": "Exported from roboflow.com"}
        (root / split / "_annotations.coco.json").write_text(json.dumps({"info": info, **content}))
    (root / "README.roboflow.txt").write_text("kitchen > 2026-01-01")
    return root


def cvat_coco(root: Path, *, runs: bool = False) -> Path:
    """One task, without subsets; `runs`: as brushes and models draw them."""
    for name in OBJECTS:
        picture(root / "images" / "default" / name)
    more = {"attributes": {"occluded": False}, "iscrowd": int(runs)}
    content = coco(list(OBJECTS), runs=runs, **more)
    for category in content["categories"]:
        category["supercategory"] = ""
    head = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_default.json").write_text(json.dumps({**head, **content}))
    return root


def cvat_subsets(root: Path) -> Path:
    """A project whose tasks have subsets with pictures of one name: frame_000000.png in each."""
    (root / "annotations").mkdir(parents=True)
    for subset, name in (("train", "a.jpg"), ("val", "b.jpg")):
        picture(root / "images" / subset / "frame_000000.png")
        content = coco([name])
        content["images"][0]["file_name"] = "frame_000000.png"
        head = {"licenses": [{"name": "", "id": 0, "url": ""}], "info": {"contributor": ""}}
        (root / "annotations" / f"instances_{subset}.json").write_text(json.dumps({**head, **content}))
    return root


def cvat_xml(root: Path) -> Path:
    """Polygons of a.jpg and d.jpg, masks of all others: runs row by row within the box."""
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<annotations>",
        "  <version>1.1</version>",
        "  <meta><task><labels>",
    ]
    lines += [f"    <label><name>{name}</name><color>#ff0000</color></label>" for name in CLASSES]
    lines += ["  </labels></task></meta>"]
    for number, (name, objects) in enumerate(OBJECTS.items()):
        picture(root / "images" / name)
        lines.append(f'  <image id="{number}" name="{name}" width="{WIDTH}" height="{HEIGHT}">')
        for one in objects:
            if name in ("a.jpg", "d.jpg"):
                points = ";".join(f"{x:.2f},{y:.2f}" for x, y in zip(one.polygon[::2], one.polygon[1::2], strict=True))
                lines.append(
                    f'    <polygon label="{one.name}" source="manual" occluded="0" points="{points}" z_order="0">'
                )
                lines.append("    </polygon>")
            else:
                rows, columns = np.nonzero(one.mask)
                top, left = rows.min(), columns.min()
                part = one.mask[top : rows.max() + 1, left : columns.max() + 1]
                flat = part.ravel().astype(np.int8)
                edges = np.flatnonzero(np.diff(flat)) + 1
                counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
                text = ", ".join(map(str, ([0] if flat[0] else []) + counts))
                lines.append(
                    f'    <mask label="{one.name}" source="manual" occluded="0" rle="{text}" left="{left}" top="{top}" '
                    f'width="{part.shape[1]}" height="{part.shape[0]}" z_order="0"></mask>'
                )
        lines.append("  </image>")
    (root / "annotations.xml").write_text("\n".join([*lines, "</annotations>"]))
    return root


def label_studio_coco(root: Path) -> Path:
    content = coco(list(OBJECTS), first_class=0, folder="images/1a2b3c4d-", ignore=0)
    for name in OBJECTS:
        picture(root / "images" / name).rename(root / "images" / f"1a2b3c4d-{name}")
    info = {"year": 2026, "version": "1.0", "description": "", "contributor": "Label Studio", "url": ""}
    (root / "result.json").write_text(json.dumps({**content, "info": info}, indent=2))
    return root


def packed(mask: np.ndarray) -> list[int]:
    """Label Studio's code of a brush: RGBA bytes in a run-length packing, written here bit by bit."""
    values = np.repeat(mask.ravel().astype(np.uint8) * 255, 4)
    bits = f"{values.size:032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    edges = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [values.size]])
    for start, end in pairwise(edges):
        length, value = int(end - start), int(values[start])
        assert length <= 2**16
        choice, size = next((k, size) for k, size in enumerate((3, 4, 8, 16)) if length <= 2**size)
        bits += f"1{choice:02b}{length - 1:0{size}b}{value:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


def label_studio_json(root: Path) -> Path:
    """Brushes on c.jpg, polygons on all others; pictures beside the JSON under the names they were uploaded with."""
    tasks = []
    for number, (name, objects) in enumerate(OBJECTS.items(), start=1):
        picture(root / "photos" / name)
        results = []
        for one in objects:
            common = {"id": f"r{len(results)}", "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0,
                      "from_name": "label", "to_name": "image"}  # fmt: skip
            if name == "c.jpg":
                value: dict[str, Any] = {"format": "rle", "rle": packed(one.mask), "brushlabels": [one.name]}
                results.append({**common, "type": "brushlabels", "value": value})
            else:
                points = [
                    [x / WIDTH * 100, y / HEIGHT * 100]
                    for x, y in zip(one.polygon[::2], one.polygon[1::2], strict=True)
                ]
                value = {"points": points, "closed": True, "polygonlabels": [one.name]}
                results.append({**common, "type": "polygonlabels", "value": value})
        annotation = {"id": number, "was_cancelled": False, "created_at": "2026-01-01T00:00:00Z", "result": results}
        upload = f"9f8e7d6c-{name}"
        tasks.append({"id": number, "file_upload": upload, "data": {"image": f"/data/upload/1/{upload}"},
                      "annotations": [annotation], "predictions": []})  # fmt: skip
    (root / "project-1-at-2026-01-01.json").write_text(json.dumps(tasks))
    return root


def labelme(root: Path) -> Path:
    """Polygons and rectangles; c.jpg's cups as masks, d.jpg's picture only inside the JSON."""
    for name, objects in OBJECTS.items():
        path = picture(root / name)
        shapes = []
        for one in objects:
            shape: dict[str, Any] = {"label": one.name, "group_id": None, "description": "", "flags": {}, "mask": None}
            pairs = [list(map(float, pair)) for pair in zip(one.polygon[::2], one.polygon[1::2], strict=True)]
            if name == "c.jpg":
                rows, columns = np.nonzero(one.mask)
                part = one.mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
                buffer = io.BytesIO()
                Image.fromarray(part.astype(np.uint8) * 255).save(buffer, "PNG")
                corners = [[columns.min(), rows.min()], [columns.max(), rows.max()]]
                shape |= {"shape_type": "mask", "points": np.array(corners, float).tolist(),
                          "mask": base64.b64encode(buffer.getvalue()).decode()}  # fmt: skip
            elif len(pairs) == 4:
                shape |= {"shape_type": "rectangle", "points": [pairs[2], pairs[0]]}
            else:
                shape |= {"shape_type": "polygon", "points": pairs}
            shapes.append(shape)
        data = base64.b64encode(path.read_bytes()).decode() if name == "d.jpg" else None
        content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": data,
                   "imageHeight": HEIGHT, "imageWidth": WIDTH}  # fmt: skip
        (root / f"{path.stem}.json").write_text(json.dumps(content, indent=2))
    (root / "d.jpg").unlink()
    return root


def yolo(root: Path, *, split_first: bool = True) -> Path:
    """Roboflow's order (train/images) or Ultralytics' own (images/train)."""
    for name, objects in OBJECTS.items():
        split = SPLITS[name]
        images, labels = (
            (f"{split}/images", f"{split}/labels") if split_first else (f"images/{split}", f"labels/{split}")
        )
        picture(root / images / name)
        rows = []
        for one in objects:
            shares = [v / (HEIGHT if k % 2 else WIDTH) for k, v in enumerate(one.polygon)]
            rows.append(" ".join([str(CLASSES.index(one.name)), *(f"{share:.8f}" for share in shares)]))
        (root / labels).mkdir(parents=True, exist_ok=True)
        (root / labels / f"{Path(name).stem}.txt").write_text("\n".join(rows) + "\n")
    config = {"train": "../train/images", "val": "../valid/images", "nc": 3, "names": list(CLASSES)}
    if not split_first:
        config = {"path": ".", "train": "images/train", "val": "images/valid", "names": dict(enumerate(CLASSES))}
    (root / "data.yaml").write_text(yaml.safe_dump(config))
    return root


def yolo_with_lists(root: Path) -> Path:
    """Pictures and labels in one folder each, with splits in train.txt and val.txt."""
    yolo(root)
    lists: dict[str, list[str]] = {"train": [], "val": []}
    for name, split in SPLITS.items():
        for kind, file in (("images", name), ("labels", f"{Path(name).stem}.txt")):
            (root / kind).mkdir(exist_ok=True)
            (root / split / kind / file).rename(root / kind / file)
        lists["train" if split == "train" else "val"].append(f"./images/{name}")
    for split in dict.fromkeys(SPLITS.values()):
        for kind in ("images", "labels"):
            (root / split / kind).rmdir()
        (root / split).rmdir()
    for split, lines in lists.items():
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    (root / "data.yaml").write_text(
        yaml.safe_dump({"path": "./", "train": "train.txt", "names": dict(enumerate(CLASSES))})
    )
    return root


def class_map(name: str) -> np.ndarray:
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    for one in OBJECTS[name]:
        values[one.mask] = 1 + CLASSES.index(one.name)
    return values


def mask_maps(root: Path, *, palette: bool = False) -> Path:
    """Maps of class numbers, grey or with a palette."""
    for name in OBJECTS:
        picture(root / "images" / name)
        image = _with_palette(class_map(name)) if palette else Image.fromarray(class_map(name))
        (root / "masks").mkdir(exist_ok=True)
        image.save(root / "masks" / f"{Path(name).stem}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return root


def _with_palette(values: np.ndarray) -> Image.Image:
    image = Image.new("P", (WIDTH, HEIGHT))
    image.putdata(values.ravel().tolist())
    image.putpalette([(k * 37) % 256 for k in range(768)])
    return image


def masks_of_objects(root: Path) -> Path:
    """One black and white mask an object: masks/a_cup_1.png."""
    for name, objects in OBJECTS.items():
        picture(root / "images" / name)
        (root / "masks").mkdir(exist_ok=True)
        for number, one in enumerate(objects, start=1):
            mask = Image.fromarray(one.mask.astype(np.uint8) * 255)
            mask.save(root / "masks" / f"{Path(name).stem}_{one.name}_{number}.png")
    return root


def cvat_masks(root: Path) -> Path:
    """CVAT's "Segmentation mask 1.1": colours of classes, colours of objects, and labelmap.txt."""
    colours = {"cup": (250, 50, 83), "spoon": (51, 221, 255), "plate": (250, 250, 55)}
    for name, objects in OBJECTS.items():
        picture(root / "JPEGImages" / name)
        classes, separate = np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)
        for number, one in enumerate(objects, start=1):
            classes[one.mask] = colours[one.name]
            separate[one.mask] = (128 * (number & 1), 64 * number, 10)
        for folder, pixels in (("SegmentationClass", classes), ("SegmentationObject", separate)):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(root / folder / f"{Path(name).stem}.png")
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
    lines += [f"{name}:{','.join(map(str, colour))}::" for name, colour in colours.items()]
    (root / "labelmap.txt").write_text("\n".join(lines) + "\n")
    return root
