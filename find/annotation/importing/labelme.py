"""labelme's folders: a JSON beside each picture, with polygons, rectangles, circles and masks.

Shapes with the same label and `group_id` are parts of one object, as in labelme's own converters. The JSON may contain
the picture (`imageData`), which is used if the file is missing.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from find.annotation.importing.export import Draw, Drawn, Export, Format, Photo, split_of_path, splits_text, warning
from find.annotation.importing.files import PICTURES, Files, folder_of
from find.annotation.importing.shapes import ellipse, placed, rectangle, union
from find.data.dataset_issue import Report
from find.data.names import plain_path
from find.data.records import Record, read_json
from find.errors import DataError, FindError

IGNORED = ("__ignore__", "_background_")
"""labelme's own labels for regions that are not objects."""


class ShapeRecord(Record):
    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"
    group_id: int | str | None = None
    mask: str | None = None


def _is_labelme(files: Files, path: str) -> bool:
    return {"shapes", "imagePath"} <= files.json_fields(path)


def _recognise(files: Files) -> str | None:
    paths = files.ending(".json")
    if not any(_is_labelme(files, path) for path in paths):
        return None
    return f"labelme's JSON files{splits_text({path: split_of_path(path) for path in paths})}"


def _read(files: Files, report: Report) -> Export:
    photos, used = [], set()
    for path in files.ending(".json"):
        if not _is_labelme(files, path):
            report(warning("other JSON file", path, "the file", "it is not a labelme file and is ignored", "Nothing"))
            continue
        try:
            content = read_json(files[path], "shapes")
        except FindError as error:
            report(warning("broken file", path, "the file", str(error), "Open and save it in labelme"))
            continue
        picture = _picture(files, path, content)
        if picture is None and not _from_json(files, path, content):
            report(
                warning("picture is missing", path, f"imagePath {content.get('imagePath')!r}",
                        f"it is missing, so {len(content['shapes'])} shapes are lost", "Put it beside the JSON")
            )  # fmt: skip
            continue
        used.add(picture)
        where = files[picture] if picture is not None else files.scratch / _own_name(path, content)
        photos.append(Photo(where, split_of_path(path), _drawn(content["shapes"], path), path, _stated(content)))
    if not photos:
        raise DataError(f"{files.root}: there is no JSON file of labelme with its picture.")
    for name in files.pictures:
        if name not in used:
            message, fix = "no JSON file describes it, so it is left out", "Annotate it; a JSON without shapes will do"
            report(warning("picture without annotations", name, "the picture", message, fix))
    return Export(photos)


def _picture(files: Files, path: str, content: Mapping[str, Any]) -> str | None:
    """The picture: at the JSON's path, beside the JSON by that name or the JSON's own, or anywhere by that name."""
    said = content.get("imagePath")
    said = plain_path(said) if isinstance(said, str) else ""
    folder = f"{folder_of(path)}/" if folder_of(path) else ""
    for name in (folder + said, folder + said.rpartition("/")[2]):
        if said and name in files.known:
            return name
    beside = files.pictures_beside.get(path.rpartition(".")[0])
    return beside or (files.find([said]).get(said) if said else None)


def _from_json(files: Files, path: str, content: Mapping[str, Any]) -> bool:
    """Extracts the picture from the JSON; returns whether it succeeded."""
    data = content.get("imageData")
    if not isinstance(data, str) or not data:
        return False
    try:
        picture = base64.b64decode(data, validate=True)
    except ValueError:
        return False
    files.scratch.mkdir(parents=True, exist_ok=True)
    (files.scratch / _own_name(path, content)).write_bytes(picture)
    return True


def _own_name(path: str, content: Mapping[str, Any]) -> str:
    """The name of an extracted picture: the JSON's name with the picture's suffix."""
    said = str(content.get("imagePath") or "")
    suffix = said.rpartition(".")[2].lower()
    return f"{path.removesuffix('.json').replace('/', '_')}.{suffix if suffix in PICTURES else 'jpg'}"


def _stated(content: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = content.get("imageHeight"), content.get("imageWidth")
    return (height, width) if type(height) is int and type(width) is int else None


def _drawn(shapes: list[dict[str, Any]], path: str) -> Draw:
    def draw(size: tuple[int, int], report: Report) -> list[Drawn]:
        groups: dict[tuple[str, object], list[Any]] = {}
        for number, raw in enumerate(shapes):
            item = f"shape {number + 1} ({raw.get('label')!r})"
            try:
                shape = msgspec.convert(raw, ShapeRecord)
                segmentation = _segmentation(shape, size)
            except (ValueError, OSError) as error:
                report(warning("broken shape", path, item, f"it cannot be read ({error})", "Draw it again"))
                continue
            if shape.label in IGNORED:
                report(warning("ignored region", path, item, "it is not an object; its pixels are void", "Nothing"))
            elif segmentation is None:
                report(warning("shape without area", path, item, f"a {shape.shape_type} covers nothing",
                               "Draw a polygon or a mask"))  # fmt: skip
            else:
                alone = ("alone", number)
                groups.setdefault((shape.label, alone if shape.group_id is None else shape.group_id), []).append(
                    (item, segmentation)
                )
        found = []
        for (label, _), parts in groups.items():
            try:
                found.append(Drawn(label, union([one for _, one in parts], size), parts[0][0]))
            except ValueError as error:
                report(
                    warning("broken shape", path, parts[0][0], f"its group cannot be drawn ({error})", "Draw it again")
                )
        return found

    return draw


def _segmentation(shape: ShapeRecord, size: tuple[int, int]) -> Any:
    """Polygons or a run-length code; None for shapes without area."""
    points = shape.points
    if not all(math.isfinite(value) for point in points for value in point):
        raise ValueError("a point is not a number")
    kind = shape.shape_type or "polygon"
    corners = (2, 4) if kind == "rectangle" else (2,)
    if kind in ("rectangle", "circle", "mask") and len(points) not in corners:
        raise ValueError(f"a {kind} with {len(points)} points")
    if kind == "rectangle" and len(points) == 2:
        return [rectangle(*points[0], *points[1])]
    if kind == "circle":
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return [ellipse(x, y, radius, radius)]
    if kind == "mask":
        with Image.open(io.BytesIO(base64.b64decode(shape.mask or "", validate=True))) as picture:
            mask = np.asarray(picture.convert("L")) > 0
        return placed(mask, round(points[0][0]), round(points[0][1]), size)
    if kind in ("polygon", "rectangle", "rotation", "oriented_rectangle"):
        return [[value for point in points for value in point]]
    return None


LABELME = Format("labelme", _recognise, _read)
