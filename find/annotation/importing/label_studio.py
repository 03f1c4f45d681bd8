"""Label Studio's exports: "COCO" (result.json and images/), and its own JSON, the only one with exact brush masks.

The JSON has no pictures: they are searched in the folder of the export. Shapes are in percent of the picture; a brush
is a packed run-length code of RGBA bytes (format of the "rle-pack" library), whose alpha channel is the mask.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from find.annotation.importing.coco import documents, photos_of, read_documents, without_groups
from find.annotation.importing.export import Draw, Drawn, Export, Format, Photo, warning
from find.annotation.importing.files import Files, text_edges
from find.annotation.importing.shapes import ellipse, rectangle, run_lengths, turned
from find.data.dataset_issue import Report
from find.data.records import brief, read_json
from find.errors import DataError

TASK = {"id", "data", "annotations"}
MALFORMED = (ValueError, KeyError, TypeError, IndexError, OverflowError)
KINDS = ("polygon", "rectangle", "ellipse", "brush")
"""Shapes with an area. The label is in the shape, as "polygonlabels", or in a result "labels" with the same id."""


def _recognise(files: Files) -> str | None:
    if _coco(files):
        return "a Label Studio COCO export"
    tasks = _tasks(files)
    return f"Label Studio's JSON ({', '.join(tasks[:3])})" if tasks else None


def _read(files: Files, report: Report) -> Export:
    if coco := _coco(files):
        read = read_documents(files, coco, report)
        kept = without_groups(read, report)
        photos = [
            photo
            for path, document in read.items()
            for photo in photos_of(
                files, path, document, kept[path], report, split=None, within="images/", crowds=lambda one: False
            )
        ]
        return Export(photos, list(dict.fromkeys(one.name for own in kept.values() for one in own)))
    photos = [photo for path in _tasks(files) for photo in _photos(files, path, report)]
    if not photos and not _tasks(files):
        raise DataError(f"{files.root}: there is no export of Label Studio in it. Export as COCO or as JSON.")
    return Export(photos)


def _coco(files: Files) -> list[str]:
    return [path for path in documents(files) if '"Label Studio"' in text_edges(files[path])]


def _tasks(files: Files) -> list[str]:
    return [path for path in files.ending(".json") if files.json_fields(path) >= TASK]


def _photos(files: Files, path: str, report: Report) -> list[Photo]:
    tasks = read_json(files[path])
    listed = {number: _names(task) for number, task in enumerate(tasks)}
    place = files.find(list(dict.fromkeys(itertools.chain.from_iterable(listed.values()))))
    photos = []
    for number, task in enumerate(tasks):
        item = f"task {brief(task.get('id'))}" if isinstance(task, dict) else f"entry {number + 1}"
        own = next((place[name] for name in listed[number] if name in place), None)
        if own is None:
            report(
                warning("picture is missing", path, item,
                        f"no file of the folder is called {brief(listed[number][0] if listed[number] else None)}",
                        "Put the pictures beside the JSON: the export has none")
            )  # fmt: skip
            continue
        results = _results(task, path, item, report)
        if results is not None:
            photos.append(Photo(files[own], None, _drawn(results, path, item), path))
    return photos


def _names(task: Any) -> list[str]:
    """Possible names of the picture: uploads get a prefix of eight characters and a dash."""
    if not isinstance(task, dict):
        return []
    data = task.get("data")
    given = [task.get("file_upload"), *(data.values() if isinstance(data, dict) else ())]
    names = [name.partition("?d=")[2] or name for name in given if isinstance(name, str) and name]
    own = [name.rpartition("/")[2] for name in names]
    return [*names, *(name[9:] for name in own if len(name) > 9 and name[8] == "-")]


def _results(task: Mapping[str, Any], path: str, item: str, report: Report) -> list[dict[str, Any]] | None:
    """The results of the newest annotation that was not cancelled; None if there is none. Omissions are reported."""
    given = task.get("annotations")
    given = given if _is_list(given) else [given]
    taken = [one for one in given if not (isinstance(one, dict) and one.get("was_cancelled"))]
    annotations = [one for one in taken if isinstance(one, dict) and _is_list(one.get("result"))]
    if len(annotations) < len(taken):
        message = "an annotation has no list of results and is left out"
        report(warning("broken annotation", path, item, message, "Export again"))
    if not annotations:
        message = "it was not annotated or was skipped, so the picture is left out"
        report(
            warning(
                "picture without annotations", path, item, message, "Annotate it; submit pictures without objects empty"
            )
        )
        return None
    if len(annotations) > 1:
        message = f"the newest of its {len(annotations)} annotations is used"
        report(warning("annotated more than once", path, item, message, "Keep one in the tool, if another is better"))
    newest = max(annotations, key=lambda one: str(one.get("created_at") or ""))
    results = [result for result in newest["result"] if isinstance(result, dict)]
    if len(results) < len(newest["result"]):
        message = "a result is not an object and is left out"
        report(warning("broken annotation", path, item, message, "Export again"))
    return results


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _drawn(results: Sequence[dict[str, Any]], path: str, task: str) -> Draw:
    def draw(size: tuple[int, int], report: Report) -> list[Drawn]:
        labels = {
            result.get("id"): result["value"]["labels"]
            for result in results
            if isinstance(result.get("value"), dict) and result["value"].get("labels")
        }
        found = []
        for number, result in enumerate(results):
            value, kind = result.get("value"), str(result.get("type", "")).removesuffix("labels")
            item = f"{task}, result {brief(result.get('id', number + 1))}"
            if kind == "" and isinstance(value, dict) and value.get("labels"):  # the label of another result
                continue
            if kind not in KINDS:
                message = f"{kind or 'it'} covers nothing"
                report(warning("shape without area", path, item, message, "Draw a polygon or a mask"))
                continue
            try:
                if not isinstance(value, dict):
                    raise ValueError("it has no value")
                label = (value.get(f"{kind}labels") or labels[result.get("id")])[0]
                found.append(_shape(kind, value, result, size, str(label), item))
            except MALFORMED as error:
                message = f"it cannot be read ({type(error).__name__}: {error})"
                report(warning("broken shape", path, item, message, "Give it a label and a shape in the tool"))
        return found

    return draw


def _shape(
    kind: str, value: Mapping[str, Any], result: Mapping[str, Any], size: tuple[int, int], label: str, item: str
) -> Drawn:
    height, width = size
    if kind == "brush":
        return Drawn(label, run_lengths(_brush(value, result, size)), item)
    if kind == "polygon":
        return Drawn(
            label, [[v / 100 * side for x, y in value["points"] for v, side in ((x, width), (y, height))]], item
        )
    x, y = value["x"] * width / 100, value["y"] * height / 100
    degrees = float(value.get("rotation") or 0)
    if kind == "ellipse":
        return Drawn(
            label, [ellipse(x, y, value["radiusX"] * width / 100, value["radiusY"] * height / 100, degrees)], item
        )
    corners = turned(
        rectangle(x, y, x + value["width"] * width / 100, y + value["height"] * height / 100), x, y, degrees
    )
    xs, ys = corners[::2], corners[1::2]
    return Drawn(label, None, item, (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)))


def _brush(value: Mapping[str, Any], result: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
    own = int(result["original_height"]), int(result["original_width"])
    if own != size:
        raise ValueError(f"it was drawn on {own[1]} x {own[0]} pixels, but the picture has {size[1]} x {size[0]}")
    rle = value["rle"]
    data = bytes(rle) if isinstance(rle, list) else msgspec.json.decode(msgspec.json.encode(rle), type=bytes)
    return unpacked_alpha(data, size[0] * size[1]).reshape(size) > 0


def unpacked_alpha(data: bytes, pixels: int) -> np.ndarray:
    """The alpha values, uint8 [pixels], of a packed run-length code.

    Header: 32 bits with the number of values, 5 bits with the width of a value minus one, and four fields of 4 bits
        with
    the widths of lengths minus one. Then groups: 1 bit, whether one value repeats; 2 bits, which width of length; the
    length minus one; and the value or values.

    Raises:
        ValueError: it is not such a code, or has another number of pixels.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    place = 0

    def take(count: int) -> int:
        nonlocal place
        if place + count > len(bits):
            raise ValueError("its code is truncated")
        number = int.from_bytes(np.packbits(bits[place : place + count]).tobytes(), "big") >> (-count % 8)
        place += count
        return number

    total, word = take(32), take(5) + 1
    lengths = [take(4) + 1 for _ in range(4)]
    if total != 4 * pixels:
        raise ValueError(f"its code has {total} values, four for each of {total // 4} pixels; the picture has {pixels}")
    values = np.zeros(total, np.uint8)
    done = 0
    while done < total:
        repeats = take(1)
        end = done + take(lengths[take(2)]) + 1
        if end > total:
            raise ValueError("its code is longer than the picture")
        if repeats:
            values[done:end] = take(word) & 255
        else:
            values[done:end] = [take(word) & 255 for _ in range(end - done)]
        done = end
    return values[3::4]


LABEL_STUDIO = Format("label-studio", _recognise, _read)
