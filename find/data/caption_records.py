"""Readers of published caption sets with true and false captions of pictures, in their original formats."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from find.data.records import read_json
from find.errors import DataError

COCO_NAME = "{:012d}.jpg"


@dataclass(frozen=True)
class CaptionChoice:
    """Captions of one picture: each true one should score more than each false one.

    Attributes:
        image: the picture's file name in the set, relative to the folder of pictures.
        kind: the kind of difference that the captions test.
        item: its name in messages and records.
    """

    image: str
    true: tuple[str, ...]
    false: tuple[str, ...]
    kind: str
    item: str


def read_sugarcrepe(path: Path, kind: str) -> list[CaptionChoice]:
    """An object of numbers -> {"filename", "caption", "negative_caption"}.

    Raises DataError for a file, record or field of another format.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise _wrong(path, "the file", 'an object of numbers -> {"filename", "caption", "negative_caption"}')
    return [
        CaptionChoice(
            _text(path, item, record, "filename"),
            (_text(path, item, record, "caption"),),
            (_text(path, item, record, "negative_caption"),),
            kind,
            item,
        )
        for item, record in data.items()
    ]


def read_sugarcrepe_pp(path: Path, kind: str) -> list[CaptionChoice]:
    """A list of {"id", "filename", "caption", "caption2", "negative_caption"}: two true ones and a false one.

    Raises DataError as `read_sugarcrepe` does.
    """
    return [
        CaptionChoice(
            _text(path, item, record, "filename"),
            (_text(path, item, record, "caption"), _text(path, item, record, "caption2")),
            (_text(path, item, record, "negative_caption"),),
            kind,
            item,
        )
        for item, record in _listed(path, '{"filename", "caption", "caption2", "negative_caption"}')
    ]


def read_vsr(path: Path, kind: str) -> list[CaptionChoice]:
    """JSON lines {"image", "caption", "label", "relation"} with label 1 for true and 0 for false.

    The original task judges single captions; scores need two to compare, so each choice is a true and a false caption
    of the same picture and the same two things. Captions without such a partner are omitted.

    Raises DataError as `read_sugarcrepe` does.
    """
    said: dict[tuple[str, str, str], tuple[dict[str, int], dict[str, int]]] = defaultdict(lambda: ({}, {}))
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); fetch it again") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        item = f"line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, {item}: no JSON ({error}); fetch the file again") from error
        image, caption, relation = (_text(path, item, record, name) for name in ("image", "caption", "relation"))
        if record.get("label") not in (0, 1):
            raise DataError(f"{path}, {item}: label is {record.get('label')!r}; it must be 1 (true) or 0 (false)")
        one, other = _things(caption, relation)
        if one and other:
            said[image, one, other][1 - record["label"]].setdefault(caption, number)
    return [
        CaptionChoice(image, (true,), (false,), kind, f"lines {first} and {second}")
        for (image, _, _), (trues, falses) in said.items()
        for (true, first), (false, second) in zip(trues.items(), falses.items(), strict=False)
    ]


def _things(caption: str, relation: str) -> tuple[str, str]:
    """The two things that "The dog is under the chair." relates, in alphabetical order; only the zero-shot split has
    them in separate fields, with typos."""
    before, found, after = caption.lower().partition(relation.lower())
    words = (re.sub(r"\b(the|a|an|is|are)\b|[^\w\s]", " ", side).split() for side in (before, after))
    one, other = sorted(" ".join(side) for side in words)
    return (one, other) if found else ("", "")


def read_whatsup(path: Path, kind: str) -> list[CaptionChoice]:
    """A list of {"image_path", "caption_options"} (controlled pictures), or of [image id, caption, caption] (COCO, by
    numbers, and GQA, by Visual Genome's); the first caption is the true one.

    Raises DataError as `read_sugarcrepe` does.
    """
    found = []
    for item, record in _listed(path, '{"image_path", "caption_options"} or [image id, caption, caption]'):
        if isinstance(record, list):
            image, *captions = record
            if isinstance(image, str) and not image.isdigit():
                name = f"{image}.jpg"
            elif isinstance(image, (int, str)) and not isinstance(image, bool):
                name = COCO_NAME.format(int(image)) if kind.startswith("COCO") else f"{int(image)}.jpg"
            else:
                raise _wrong(path, item, "an image id first")
        else:
            name, captions = _text(path, item, record, "image_path"), record.get("caption_options")
        if not isinstance(captions, list) or len(captions) < 2 or not all(isinstance(c, str) for c in captions):
            raise _wrong(path, item, "two captions or more, the first of them true")
        found.append(CaptionChoice(name, (captions[0],), tuple(captions[1:]), kind, item))
    return found


def find_picture(folder: Path, name: str) -> Path:
    """A picture of a set below a folder: by the path in the set, by the end of that path, or in train2017, val2017 or
    images. Raises DataError if it is missing.
    """
    parts = Path(name.replace("\\", "/")).parts
    tails = ["/".join(parts[start:]) for start in range(len(parts)) if ".." not in parts]
    places = [*tails, *(f"{inside}/{parts[-1]}" for inside in ("val2017", "train2017", "images", "vg_images"))]
    for place in places:
        if (folder / place).is_file():
            return folder / place
    raise DataError(f"no picture {name} below {folder}: unpack the set's pictures there, or name their folder")


def _listed(path: Path, form: str) -> Iterator[tuple[str, Any]]:
    data = read_json(path)
    if not isinstance(data, list):
        raise _wrong(path, "the file", f"a list of {form}")
    for number, record in enumerate(data):
        yield f"record {number}", record


def _text(path: Path, item: str, record: object, field: str) -> str:
    value = record.get(field) if isinstance(record, Mapping) else None
    if not isinstance(value, str) or not value.strip():
        raise _wrong(path, item, f"a text {field!r}")
    return value.strip()


def _wrong(path: Path, item: str, expected: str) -> DataError:
    return DataError(f"{path}, {item}: expected {expected}; fetch the file again, or take another set for it")
