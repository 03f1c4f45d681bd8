"""How long exact scoring takes: interleaved retrieval beside a plain loop over entities, and panoptic segmentation.

    python benchmark/evaluation.py [--loop-queries 500]

Random vectors and random maps: what is measured is scoring, not a model. Each part runs in a process of its own, so
that its peak memory is its own, whose threads sleep while they wait, so that seconds of processors are of work. The
plain loop does a tenth of the queries, or fewer.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from find.data.coco import CocoFolder
from find.data.decode import decode_segment_map
from find.data.sample import Sentence
from find.evaluation.gallery import EmbeddedQueries, ImageGallery
from find.evaluation.held_out import HeldOut
from find.evaluation.protocols.interleaved_retrieval import ENTITY_WEIGHT, search_gallery
from find.evaluation.protocols.panoptic import GenericAnswer, score_panoptic
from find.evaluation.ranking import TIE, pessimistic_ranks

RESULTS = Path(__file__).parent / "results" / "evaluation.md"
IMAGES, OBJECTS, ENTITIES, WIDTH = 5000, 100, 5, 512
PANOPTIC_IMAGES, DISTINCT_IMAGES, HEIGHT, WIDTH_PX, SEGMENTS, CLASSES = 5000, 100, 480, 640, 12, 133
THREADS = os.cpu_count() or 1


def retrieval_data() -> tuple[ImageGallery, EmbeddedQueries, list[Sentence]]:
    """A query is near its image and its entities near objects of it, so that ranks are neither all 1 nor random."""
    generator = torch.Generator().manual_seed(0)

    def unit(*shape: int) -> torch.Tensor:
        return F.normalize(torch.randn(*shape, generator=generator), dim=-1)

    image = unit(IMAGES, WIDTH)
    objects = torch.empty(IMAGES, OBJECTS, WIDTH)
    for start in range(0, IMAGES, 100):
        objects[start : start + 100] = unit(100, OBJECTS, WIDTH)
    query = F.normalize(image + 9 * unit(IMAGES, WIDTH), dim=-1)
    entities = F.normalize(objects[:, :ENTITIES] + 12 * unit(IMAGES, ENTITIES, WIDTH), dim=-1)
    owners = tuple(frozenset({(number + 1) % IMAGES}) for number in range(IMAGES))
    shown = ((True,) + (False,) * (ENTITIES - 1),) * IMAGES
    queries = EmbeddedQueries(query, entities, torch.zeros(IMAGES, ENTITIES, dtype=torch.bool), owners, shown)
    sentences = [Sentence(number, number, "", ()) for number in range(IMAGES)]
    return ImageGallery(tuple(range(IMAGES)), image, objects), queries, sentences


def measured(work: Callable[[], Any]) -> dict[str, Any]:
    """Seconds on the clock and of processors, what the work gave, and the process's peak memory."""
    wall, processor = time.perf_counter(), time.process_time()
    given = work()
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - processor,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "given": given,
    }


def retrieval() -> dict[str, Any]:
    """The protocol: all four rankings, with the entity term and without, strict and with owners kept."""
    gallery, queries, sentences = retrieval_data()

    def work() -> list[int]:
        return search_gallery(gallery, sentences, queries, HeldOut()).kept.combined.ranks.tolist()

    return measured(work)


def loop(count: int) -> dict[str, Any]:
    """The published formula as one writes it down: entity by entity, one ranking, for the first `count` queries."""
    gallery, queries, _ = retrieval_data()

    def work() -> list[int]:
        found = []
        for number in range(count):
            score = gallery.image @ queries.query[number]
            for entity in queries.entities[number]:
                score = score + ENTITY_WEIGHT / ENTITIES * (gallery.objects @ entity).amax(dim=1)
            relevant = (np.arange(IMAGES) == number)[None]
            found += pessimistic_ranks(score.numpy()[None], relevant, tie=TIE).tolist()
        return found

    return measured(work)


def panoptic() -> dict[str, Any]:
    """PQ, mIoU and their intervals; each image's true and predicted PNG are read from disk, as in a real run."""
    with tempfile.TemporaryDirectory() as folder:
        predictions = write_panoptic_folder(Path(folder))
        data = CocoFolder(folder, "val2017")
        image_ids = [1 + number % DISTINCT_IMAGES for number in range(PANOPTIC_IMAGES)]
        class_of = np.zeros(SEGMENTS + 1, np.int64)

        def answers(chunk: list[int]) -> list[GenericAnswer]:
            found = []
            for image_id in chunk:
                segment_map = decode_segment_map(predictions[image_id].read_bytes(), str(image_id))
                categories = {s: 1 + (s * image_id) % CLASSES for s in range(1, SEGMENTS + 1)}
                class_of[1:] = [category - 1 for category in categories.values()]
                class_of[0] = -1
                found.append(GenericAnswer(segment_map, categories, class_of[segment_map]))
            return found

        def work() -> dict[str, float]:
            result = score_panoptic(answers, data, image_ids=image_ids)
            return {**result.to_json(), **{f"{k} interval": v for k, v in result.intervals().items()}}

        return measured(work)


def write_panoptic_folder(root: Path) -> dict[int, Path]:
    """True maps of random cells, and predictions that are the same maps moved a little; gives the latter's files."""
    generator = np.random.default_rng(0)
    for name in ("annotations", "val2017", "panoptic_val2017", "predicted"):
        (root / name).mkdir()
    y, x = np.mgrid[:HEIGHT, :WIDTH_PX]
    images, annotations, predicted = [], [], {}
    for image_id in range(1, DISTINCT_IMAGES + 1):
        centres = generator.random((SEGMENTS + 1, 2)) * (HEIGHT, WIDTH_PX)
        wave = 12 * np.sin(x / 9) + 12 * np.sin(y / 7)  # rims as ragged as those of photographs
        cells = np.argmin([(y - cy) ** 2 + (x - cx + wave) ** 2 for cy, cx in centres], axis=0)
        name = f"{image_id}.png"
        save_ids(cells, root / "panoptic_val2017" / name)
        predicted[image_id] = root / "predicted" / name
        save_ids(np.roll(cells, (int(generator.integers(20)), 9), axis=(0, 1)), predicted[image_id])
        images.append({"id": image_id, "file_name": name, "height": HEIGHT, "width": WIDTH_PX})
        there, areas = np.unique(cells, return_counts=True)
        segments = [
            {"id": int(s), "category_id": 1 + (int(s) * image_id) % CLASSES, "area": int(area), "bbox": [0, 0, 1, 1],
             "iscrowd": 0}
            for s, area in zip(there, areas, strict=True) if s
        ]  # fmt: skip
        annotations.append({"image_id": image_id, "file_name": name, "segments_info": segments})
    categories = [{"id": k, "name": f"class {k}", "isthing": k % 2, "color": [0, 0, 0]} for k in range(1, CLASSES + 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / "panoptic_val2017.json").write_text(json.dumps(content))
    return predicted


def save_ids(segment_map: np.ndarray, path: Path) -> None:
    pixels = np.stack([segment_map % 256, segment_map // 256, np.zeros_like(segment_map)], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


PARTS = ("retrieval", "loop", "panoptic")


def in_own_process(part: str, loop_queries: int) -> dict[str, Any]:
    print(f"{part} ...", flush=True)
    command = [sys.executable, __file__, "--part", part, "--loop-queries", str(loop_queries)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment)
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"  {found['wall']:.0f} s, {found['cpu']:.0f} s of processors, {found['gigabytes']:.1f} GB", flush=True)
    return found


def report(found: dict[str, dict[str, Any]]) -> str:
    ours, plain, maps = (found[part] for part in PARTS)
    count = len(plain["given"])
    share = IMAGES / count
    same = ours["given"][:count] == plain["given"]
    operations = 2 * IMAGES * ENTITIES * IMAGES * OBJECTS * WIDTH
    figures = maps["given"]
    low, high = figures["PQ interval"]
    return f"""# Speed of exact scoring

{platform.machine()} CPU, {THREADS} threads, torch {torch.__version__}, float32. Generated by
`python benchmark/evaluation.py`; do not edit. Where other work runs beside it, seconds of processors tell more than
seconds on the clock.

## Interleaved retrieval

{IMAGES:,} images of {OBJECTS} object vectors of {WIDTH} dimensions (1.0 GB), {IMAGES:,} queries of {ENTITIES} entities:
{operations / 1e12:.1f} TFLOP.

| | queries | seconds | seconds of processors | peak memory, GB | GFLOP/s a processor |
| --- | ---: | ---: | ---: | ---: | ---: |
| the protocol (four rankings) | {IMAGES:,} | {ours["wall"]:.0f} | {ours["cpu"]:.0f} | {ours["gigabytes"]:.1f} \
| {operations / ours["cpu"] / 1e9:.0f} |
| plain loop over entities (one ranking) | {count:,} | {plain["wall"]:.0f} | {plain["cpu"]:.0f} \
| {plain["gigabytes"]:.1f} | {operations / share / plain["cpu"] / 1e9:.0f} |

For the same number of queries the plain loop takes {share * plain["cpu"] / ours["cpu"]:.0f} times the processors' time.
The ranks of the {count:,} queries that both did are {"the same" if same else "NOT the same"}.

## Panoptic segmentation

{PANOPTIC_IMAGES:,} images of {WIDTH_PX} x {HEIGHT} pixels, about {SEGMENTS} segments each, {CLASSES} classes; true and
predicted PNG read from disk; PQ and mIoU with intervals of 1,000 resamples: {maps["wall"]:.0f} s,
{maps["cpu"]:.0f} s of processors, {maps["gigabytes"]:.1f} GB. (PQ {figures["PQ"]:.1f} [{low:.1f}, {high:.1f}].)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loop-queries", type=int, default=IMAGES // 10, help="queries of the plain loop")
    parser.add_argument("--part", choices=PARTS, help="this part alone, its figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    if options.part:
        parts = {"retrieval": retrieval, "loop": lambda: loop(options.loop_queries), "panoptic": panoptic}
        print(json.dumps(parts[options.part]()))
        return
    text = report({part: in_own_process(part, options.loop_queries) for part in PARTS})
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
