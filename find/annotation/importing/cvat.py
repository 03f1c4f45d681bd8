"""CVAT's exports: "COCO 1.0", and the XML of "CVAT for images 1.1".

COCO 1.0 holds annotations/instances_SUBSET.json and images/SUBSET/ (older versions: images/). Objects drawn as a mask,
by brush or by a model, are run-length codes with iscrowd 1, although they are single objects.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import PurePosixPath

import numpy as np

from find.annotation.importing.coco import documents, photos_of, read_documents, without_groups
from find.annotation.importing.export import (
    Draw,
    Drawn,
    Export,
    Format,
    Photo,
    split_named,
    splits_text,
    warning,
)
from find.annotation.importing.files import Files, text_edges
from find.annotation.importing.shapes import ellipse, placed, rectangle, turned, union
from find.data.dataset_issue import Report
from find.errors import DataError

XML = "annotations.xml"
LICENCES = re.compile(r'"licenses":\s*\[\s*\{(?=[^}]*"name":\s*"")(?=[^}]*"id":\s*0)(?=[^}]*"url":\s*"")')
"""The header that only CVAT writes into its JSON."""
WITHOUT_AREA = {"polyline", "points", "cuboid", "skeleton"}
MALFORMED = (ElementTree.ParseError, ValueError, KeyError)


def _recognise(files: Files) -> str | None:
    if (xml := _xml(files)) is not None:
        return f"CVAT for images ({xml})"
    paths = [path for path in _coco(files) if _subset(path) == "default" or LICENCES.search(text_edges(files[path]))]
    return f"a CVAT COCO 1.0 export{splits_text({one: split_named(_subset(one)) for one in paths})}" if paths else None


def _read(files: Files, report: Report) -> Export:
    if (xml := _xml(files)) is not None:
        return _read_xml(files, xml, report)
    paths = _coco(files)
    if not paths:
        raise DataError(
            f"{files.root}: there is neither {XML} nor annotations/instances_SUBSET.json. Export from CVAT as COCO 1.0 "
            'or as CVAT for images 1.1, with "Save images".'
        )
    read = read_documents(files, paths, report)
    kept = without_groups(read, report)
    photos, masks = [], 0
    for path, document in read.items():
        masks += sum(bool(one.iscrowd) for one in document.annotations)
        folder = f"images/{_subset(path)}/"
        within = folder if any(one.startswith(folder) for one in files.paths) else "images/"
        photos += photos_of(
            files, path, document, kept[path], report, split=split_named(_subset(path)), within=within,
            crowds=lambda one: False,
        )  # fmt: skip
    note = f"{masks} masks are taken as single objects: CVAT writes iscrowd 1 for every object drawn as a mask"
    categories = list(dict.fromkeys(one.name for own in kept.values() for one in own))
    return Export(photos, categories, notes=(note,) if masks else ())


def _coco(files: Files) -> list[str]:
    return [path for path in documents(files) if PurePosixPath(path).name.startswith("instances_")]


def _subset(path: str) -> str:
    return PurePosixPath(path).stem.removeprefix("instances_")


def _xml(files: Files) -> str | None:
    found = [path for path in files.ending(".xml") if "<annotations>" in text_edges(files[path])]
    return found[0] if found else None


def _read_xml(files: Files, path: str, report: Report) -> Export:
    if "<!DOCTYPE" in text_edges(files[path]):
        raise DataError(f"{files[path]}: it declares a document type, which CVAT never does. Export it again.")
    try:
        root = ElementTree.parse(files[path]).getroot()
    except MALFORMED as error:
        raise DataError(f"{files[path]}: this is not XML ({error}). Export it again.") from error
    if root.find("track") is not None and root.find("image") is None:
        raise DataError(
            f"{files[path]}: this is CVAT for video, whose tracks lie between frames. Export as COCO 1.0 or as CVAT "
            "for images 1.1."
        )
    images = root.findall("image")
    subsets = {image.get("subset", "") for image in images}
    place = {
        subset: files.find(
            [image.get("name", "") for image in images if image.get("subset", "") == subset],
            f"images/{subset}/" if subset else "images/",
        )
        for subset in sorted(subsets)
    }
    photos: list[Photo] = []
    for image in images:
        name, subset = image.get("name", ""), image.get("subset", "")
        own = place[subset]
        if name not in own:
            report(
                warning("picture is missing", path, f'image "{name}"',
                        f"the export has no such picture, so its {len(image)} shapes are lost",
                        'Export with "Save images", or add it to the folder images/')
            )  # fmt: skip
            continue
        split = split_named(subset)
        photos.append(Photo(files[own[name]], split, _drawn(image, path), path, _stated(image)))
    labels = [label.findtext("name", "") for label in root.iter("label")]
    return Export(photos, [name for name in labels if name])


def _stated(image: ElementTree.Element) -> tuple[int, int] | None:
    try:
        return int(image.attrib["height"]), int(image.attrib["width"])
    except MALFORMED:
        return None


def _drawn(image: ElementTree.Element, path: str) -> Draw:
    def draw(size: tuple[int, int], report: Report) -> list[Drawn]:
        found: list[Drawn] = []
        groups: dict[tuple[str, str], list[object]] = defaultdict(list)
        for number, shape in enumerate(image):
            label, group = shape.get("label", ""), shape.get("group_id") or "0"
            item = f'{shape.tag} {number + 1} ("{label}") of image "{image.get("name")}"'
            if shape.tag in WITHOUT_AREA:
                report(warning("shape without area", path, item, f"a {shape.tag} covers nothing",
                               "Draw a polygon or a mask"))  # fmt: skip
            elif shape.tag in ("box", "polygon", "mask", "ellipse"):
                try:
                    if shape.tag == "box":
                        found.append(_box(shape, label, item))
                    elif group == "0":
                        found.append(Drawn(label, _segmentation(shape, size), item))
                    else:
                        groups[label, group].append(_segmentation(shape, size))
                except MALFORMED as error:
                    report(warning("broken shape", path, item, f"it cannot be read ({error})", "Export again"))
        for (label, group), parts in groups.items():  # one object, as in CVAT's own exports of masks
            item = f'group {group} ("{label}") of image "{image.get("name")}"'
            try:
                found.append(Drawn(label, union(parts, size), item))
            except ValueError as error:
                report(warning("broken shape", path, item, f"it cannot be drawn ({error})", "Export again"))
        return found

    return draw


def _box(shape: ElementTree.Element, label: str, item: str) -> Drawn:
    x0, y0, x1, y1 = (float(shape.attrib[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
    degrees = float(shape.get("rotation", "0"))
    if degrees:
        corners = turned(rectangle(x0, y0, x1, y1), (x0 + x1) / 2, (y0 + y1) / 2, degrees)
        xs, ys = corners[::2], corners[1::2]
        return Drawn(label, None, item, (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)))
    return Drawn(label, None, item, (x0, y0, x1 - x0, y1 - y0))


def _segmentation(shape: ElementTree.Element, size: tuple[int, int]) -> object:
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in shape.attrib["points"].split(";") if pair]
        return [[float(value) for pair in pairs for value in pair]]
    if shape.tag == "ellipse":
        x, y, rx, ry = (float(shape.attrib[name]) for name in ("cx", "cy", "rx", "ry"))
        return [ellipse(x, y, rx, ry, float(shape.get("rotation", "0")))]
    left, top, width, height = (int(float(shape.attrib[name])) for name in ("left", "top", "width", "height"))
    runs = np.array([int(run) for run in shape.attrib["rle"].split(",")], np.int64)
    if width < 1 or height < 1 or (runs < 0).any() or width * height > 4 * size[0] * size[1]:
        raise ValueError(f"a mask of {width} x {height}")
    if runs.sum() != width * height:
        raise ValueError(f"its runs add up to {runs.sum()} pixels, its box has {width * height}")
    mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)  # row-major, within the box
    return placed(mask, left, top, size)


CVAT = Format("cvat", _recognise, _read)
