"""Hits for other programs: copies of their files, a table, and a folder that FiftyOne imports."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from find.errors import FindError, InputError
from find.retrieval.hits import Hit

_CSV = ("rank", "score", "relevance", "path", "name", "seconds", "time", "width", "height", "entities", "duplicates")


def copy_hits(hits: Sequence[Hit], folder: str | os.PathLike[str]) -> list[Path]:
    """Copies the hits' files into a new folder as `001_name.jpg`, by rank; frames of videos become PNG files.

    Returns: the files that are gone, or have changed since they were indexed.

    Raises:
        InputError: the folder exists already.
    """
    target, missing = _new_folder(folder), []
    for _, hit, name in _named(hits):
        if not _copy(hit, target / name):
            missing.append(hit.path)
    return missing


def write_csv(hits: Sequence[Hit], file: str | os.PathLike[str]) -> list[Path]:
    """A row for each hit, under a line of column names; lists are separated by "; ". Returns none: no file is read.

    `entities` are the first query's with the terms of their scores.
    """
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(_CSV)
        for rank, hit in enumerate(hits, start=1):
            names = hit.parts[0].query.entity_names if hit.parts else ()
            terms = "; ".join(f"{name} {term:.3f}" for name, term in zip(names, hit.entity_terms, strict=False))
            relevance = "" if hit.relevance is None else f"{hit.relevance:.3f}"
            facts = [hit.seconds, hit.time and hit.time.isoformat(sep=" "), hit.width, hit.height]
            writer.writerow(
                [rank, f"{hit.score:.3f}", relevance, hit.path, hit.name, *facts, terms, "; ".join(hit.duplicates)]
            )
    return []


def write_fiftyone(hits: Sequence[Hit], folder: str | os.PathLike[str]) -> list[Path]:
    """A new folder in the layout of FiftyOne's `FiftyOneImageDetectionDataset`: `data/`, `labels.json`.

    Detections are what the entities of all queries found that must be there: the entity's text as label, its cosine as
    confidence, its box, and the probability that it is there (`present`). They are imported by
    `fiftyone.Dataset.from_dir(dataset_dir=FOLDER, dataset_type=fiftyone.types.FiftyOneImageDetectionDataset)`.

    Returns: the files that are gone, or have changed since they were indexed.

    Raises:
        InputError: the folder exists already.
    """
    target, missing = _new_folder(folder), []
    (target / "data").mkdir()
    labels: dict[str, list[dict[str, object]]] = {}
    for rank, hit, name in _named(hits):
        if not _copy(hit, target / "data" / name):
            missing.append(hit.path)
            continue
        found = []
        for number, part in enumerate(hit.parts):
            for entity, label in enumerate(() if part.is_excluded else part.query.entity_names):
                x0, y0, x1, y1 = hit.box(entity, part=number)
                box = [x0 / hit.width, y0 / hit.height, (x1 - x0) / hit.width, (y1 - y0) / hit.height]
                sure = round(float(part.entity_terms[entity]), 3)
                attributes = {"rank": rank, "score": round(hit.score, 3)}
                if part.present:
                    attributes["present"] = round(part.present[entity], 3)
                found.append({"label": label, "bounding_box": box, "confidence": sure, "attributes": attributes})
        labels[Path(name).stem] = found
    classes = sorted({str(one["label"]) for listed in labels.values() for one in listed})
    text = json.dumps({"classes": classes, "labels": labels}, indent=1)
    (target / "labels.json").write_text(text + "\n", encoding="utf-8")
    return missing


def _new_folder(folder: str | os.PathLike[str]) -> Path:
    path = Path(folder)
    try:
        path.mkdir(parents=True)
    except FileExistsError as error:
        raise InputError(f"{path}: this exists already; give the name of a new folder") from error
    return path


def _named(hits: Sequence[Hit]) -> Iterator[tuple[int, Hit, str]]:
    """Ranks from 1, and names that no two hits share."""
    digits = max(3, len(str(len(hits))))
    for rank, hit in enumerate(hits, start=1):
        name = hit.path.name if hit.seconds is None else f"{hit.path.stem}_{hit.seconds:.1f}s.png"
        yield rank, hit, f"{rank:0{digits}d}_{name}"


def _copy(hit: Hit, target: Path) -> bool:
    try:
        if hit.seconds is None:
            shutil.copy2(hit.path, target)
        else:
            Image.fromarray(hit.pixels()).save(target)
    except (FindError, FileNotFoundError):
        return False
    return True
