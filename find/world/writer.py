"""Writes a synthetic world to disk in exactly the layout of COCO panoptic, captions, instances and FIND-Bench."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from find.errors import InputError
from find.utils.progress import progress_bar
from find.world.kinds import HELD_OUT, THINGS
from find.world.records import Json, ReferenceIndex, SceneRecord, SentenceRecord, categories, record, sentence_json
from find.world.scene import MOST_IMAGES, SIZES, TRAIN, VAL, Scene, scene

VERSION = 2
"""Grows whenever the same seed gives other files."""

_CHUNK = 32


def generate_world(
    out: str | os.PathLike[str],
    *,
    images: int,
    val_images: int | None = None,
    seed: int = 0,
    size: int = 160,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Writes a world and returns its folder; the same (images, val_images, seed, size) give the same bytes.

    Args:
        out: folder to make; must be empty or absent.
        images: train images.
        val_images: val images; by default as many as train images, at most 500.
        seed: number of the world; worlds of different seeds share no scene.
        size: side of the square images in pixels.
        workers: processes; by default one a core.
        progress: whether to show a progress bar.

    Raises:
        FindError: if a number is out of range or the folder holds files.
    """
    root = Path(out)
    val_images = min(images, 500) if val_images is None else val_images
    for name, count in (("images", images), ("val_images", val_images)):
        if not 1 <= count <= MOST_IMAGES:
            raise InputError(f"{name} must be between 1 and {MOST_IMAGES}, not {count}")
    if size not in SIZES:
        raise InputError(f"image size {size} is not between {SIZES.start} and {SIZES.stop - 1} pixels")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root} is not an empty folder: remove it, or choose another one for the world")
    workers = (os.cpu_count() or 1) if workers is None else max(1, workers)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress_bar(*columns, shown=progress, transient=True) as bar:
        for split, count in ((TRAIN, images), (VAL, val_images)):
            task = bar.add_task(f"drawing {split}", total=count)
            for folder in (root / split, root / f"panoptic_{split}", root / "annotations"):
                folder.mkdir(parents=True, exist_ok=True)
            found: list[SceneRecord] = []
            for chunk in _draw(root, seed, split, count, size, workers):
                found += chunk
                bar.advance(task, len(chunk))
            _write_annotations(root, split, found)
    _dump(
        root / "world.json",
        {"version": VERSION, "seed": seed, "size": size, "images": images, "val_images": val_images},
    )
    return root


def _draw(root: Path, seed: int, split: str, count: int, size: int, workers: int) -> Iterator[list[SceneRecord]]:
    jobs = [(root, seed, split, range(k, min(k + _CHUNK, count)), size) for k in range(0, count, _CHUNK)]
    if workers == 1 or len(jobs) == 1:
        yield from map(_draw_chunk, jobs)
        return
    # children draw with Pillow and numpy only, so forking is safe, and starts at once, where it is usual
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        yield from pool.map(_draw_chunk, jobs)


def _draw_chunk(job: tuple[Path, int, str, range, int]) -> list[SceneRecord]:
    root, seed, split, indices, size = job
    found = []
    for index in indices:
        made = scene(seed, split, index, size)
        save_pixels(made, root, split)
        found.append(record(made))
    return found


def save_pixels(made: Scene, root: Path, split: str) -> None:
    """Writes a scene's JPEG and its panoptic PNG."""
    Image.fromarray(made.image).save(root / split / made.file_name, quality=93, subsampling=0)
    ids = made.segment_map
    colours = np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1).astype(np.uint8)
    name = made.file_name.replace(".jpg", ".png")
    Image.fromarray(colours).save(root / f"panoptic_{split}" / name, compress_level=3)


def _dump(path: Path, content: Json) -> None:
    path.write_text(json.dumps(content, separators=(",", ":"), ensure_ascii=False), encoding="utf-8")


def _write_annotations(root: Path, split: str, scenes: list[SceneRecord]) -> None:
    folder = root / "annotations"
    images = [s.image for s in scenes]
    kinds = categories()
    about = {"description": "FIND synthetic world", "version": str(VERSION), "year": 2026}
    head: Json = {"info": about, "licenses": [], "images": images}
    panoptic = {**head, "annotations": [s.panoptic for s in scenes], "categories": kinds}
    _dump(folder / f"panoptic_{split}.json", panoptic)
    things = [{key: c[key] for key in ("supercategory", "id", "name")} for c in kinds if c["isthing"]]
    instances = {**head, "annotations": [i for s in scenes for i in s.instances], "categories": things}
    _dump(folder / f"instances_{split}.json", instances)
    captions = [
        {"image_id": s.image["id"], "id": 5 * k + j + 1, "caption": caption}
        for k, s in enumerate(scenes)
        for j, caption in enumerate(s.captions)
    ]
    _dump(folder / f"captions_{split}.json", {**head, "annotations": captions})

    references = ReferenceIndex(scenes)
    short = [said for s in scenes for said in s.sentences]
    _write_sentences(folder / f"entity_{split}.json", images, short, references, numbers_as_text=True)
    expressions = [(s.image["id"], *e) for s in scenes for e in s.expressions]
    referring = [
        {
            "id": k + 1,
            "image_id": image,
            "segment_id": segment,
            "sentence": text,
            **({"held_out": True} if held else {}),
        }
        for k, (image, text, segment, held) in enumerate(expressions)
    ]
    _dump(folder / f"referring_{split}.json", {"images": images, "annotations": referring})
    for name, negatives in (("hard_negatives", [s.negatives for s in scenes]), ("probes", [s.probes for s in scenes])):
        of_sentences = [
            own if number == 0 else ()
            for s, own in zip(scenes, negatives, strict=True)
            for number in range(len(s.sentences))
        ]
        _write_false(folder / f"{name}_{split}.json", images, of_sentences, references)
    formed = [one for s in scenes for one in s.forms]
    _write_sentences(
        folder / f"entity_{split}_forms.json", images, [true for true, _ in formed], references, numbers_as_text=True
    )
    _write_false(folder / f"probes_{split}_forms.json", images, [false for _, false in formed], references)
    if split != VAL:
        return

    long = [s.paragraph for s in scenes]
    _write_sentences(folder / f"entity_{split}_long.json", images, long, references, numbers_as_text=False)
    for name, said, as_text in ((f"interleave_{split}", short, True), (f"interleave_{split}_long", long, False)):
        path = folder / f"{name}.json"
        _write_sentences(path, images, said, references, numbers_as_text=as_text, stuff_references=True)
    held_out: Json = {
        "pairs": _pairs(),
        "segments": {
            split: {
                str(s.image["id"]): [g.id for g in s.segments if g.is_held_out]
                for s in scenes
                if any(g.is_held_out for g in s.segments)
            }
        },
        "sentences": {
            f"entity_{split}": [k + 1 for k, said in enumerate(short) if said.held_out],
            f"entity_{split}_long": [k + 1 for k, said in enumerate(long) if said.held_out],
        },
        "expressions": {f"referring_{split}": [k + 1 for k, e in enumerate(expressions) if e[3]]},
    }
    _dump(root / "held_out.json", held_out)


def _pairs() -> list[Json]:
    numbers = {thing.name: thing.id for thing in THINGS}
    return [{"category_id": numbers[name], "category": name, "color": colour} for name, colour in sorted(HELD_OUT)]


def _write_sentences(
    path: Path,
    images: list[Json],
    said: list[SentenceRecord],
    references: ReferenceIndex,
    *,
    numbers_as_text: bool,
    stuff_references: bool = False,
) -> None:
    annotations = [
        sentence_json(s, k + 1, references, numbers_as_text=numbers_as_text, stuff_references=stuff_references)
        for k, s in enumerate(said)
    ]
    _dump(path, {"images": images, "annotations": annotations})


def _write_false(
    path: Path, images: list[Json], false: Sequence[Sequence[SentenceRecord]], references: ReferenceIndex
) -> None:
    """False sentences of each true one; `sentence_id` is the true one's, which counts from 1 in its own file."""
    annotations: list[Json] = []
    for number, relatives in enumerate(false, start=1):
        for said in relatives:
            entry = sentence_json(said, len(annotations) + 1, references, numbers_as_text=True)
            annotations.append({**entry, "sentence_id": number})
    _dump(path, {"images": images, "annotations": annotations})
