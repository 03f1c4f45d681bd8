"""What a training sample costs on its way from disk to a batch, beside the bare decoding of its JPEG and PNG.

    OMP_NUM_THREADS=1 python benchmark/data.py                     # writes benchmark/results/data.md, .json
    python benchmark/data.py --root datasets/coco --images 200 --size 1024

Measured is CPU time in one process with one thread, as in a loader's worker, and without the disk (the files are in
the system's cache). Stages take turns, round after round, so that a busy machine slows all of them alike; each figure
is the median over the rounds. Bare decoding is `numpy.asarray(PIL.Image.open(file).convert("RGB"))` of both files.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from find.data.coco import CocoFolder
from find.data.collate import Collate
from find.data.sampler import Draw
from find.data.transforms import HorizontalFlip, LargeScaleJitter
from find.tasks.core import load_tasks
from find.training.datamodule import BatchDataset
from find.world import generate_world

HOME = Path(__file__).resolve().parents[1]
SAMPLE = HOME.parent / "shared" / "coco-sample" / "coco"
TARGET = 2.0


@dataclass(frozen=True)
class Stages:
    """Milliseconds of CPU time a sample."""

    decode_jpeg: float
    decode_png: float
    read: float
    augment: float
    collate: float
    whole: float

    @property
    def ratio(self) -> float:
        """The whole pipeline against both bare decodings."""
        return self.whole / (self.decode_jpeg + self.decode_png)


@dataclass(frozen=True)
class Case:
    """A data set and the size that training images have."""

    name: str
    folder: CocoFolder
    size: int


def measure(case: Case, *, images: int, batch_size: int, rounds: int) -> Stages:
    folder = case.folder
    places = range(min(images, len(folder)))
    dataset = BatchDataset(
        folder, Collate(folder.categories, load_tasks()), (LargeScaleJitter(case.size), HorizontalFlip())
    )
    samples = [folder[place] for place in places]
    changed = [dataset.augment(sample, np.random.default_rng(place)) for place, sample in enumerate(samples)]
    batches = [places[start : start + batch_size] for start in range(0, len(places), batch_size)]

    def decode_jpeg() -> Iterator[object]:
        return (decoded(folder.images.read(folder.table.file_names[place])) for place in places)

    def decode_png() -> Iterator[object]:
        return (decoded(folder.maps.read(folder.table.map_names[place])) for place in places)

    def read() -> Iterator[object]:
        return (folder[place] for place in places)

    def augment() -> Iterator[object]:
        return (dataset.augment(samples[place], np.random.default_rng(place)) for place in places)

    def collate() -> Iterator[object]:
        return (
            dataset.collate([changed[place] for place in batch], [np.random.default_rng(place) for place in batch])
            for batch in batches
        )

    def whole() -> Iterator[object]:
        return (dataset[Draw(tuple(batch), tuple(batch))] for batch in batches)

    stages: tuple[Callable[[], Iterator[object]], ...] = (decode_jpeg, decode_png, read, augment, collate, whole)
    times: dict[str, list[float]] = {stage.__name__: [] for stage in stages}
    for _ in range(rounds):
        for stage in stages:
            begin = time.process_time()
            for _ in stage():
                pass
            times[stage.__name__].append(1000 * (time.process_time() - begin) / len(places))
    return Stages(**{name: statistics.median(found[1:]) for name, found in times.items()})


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def table(found: dict[str, Stages], *, batch_size: int) -> str:
    lines = [
        "| images | decode JPEG | decode PNG | read | augment | collate | whole | x bare decode |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, stages in found.items():
        figures = " | ".join(f"{value:.2f}" for value in asdict(stages).values())
        lines.append(f"| {name} | {figures} | {stages.ratio:.2f} |")
    text = __doc__.split("\n\n", 2)[2].strip()
    return (
        "# Data loading\n\n"
        f"CPU milliseconds a sample, batches of {batch_size}; target: the whole at most {TARGET:g} x bare decode. "
        "Made by `benchmark/data.py`.\n\n" + "\n".join(lines) + f"\n\n{text} `read` decodes and checks both files; "
        "`augment` is large-scale jitter (0.5 to 2.0) and a flip in every other image; `collate` draws captions, "
        "phrases, strokes and interleaved sentences and lays the batch out.\n\n"
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"Pillow {Image.__version__}.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=SAMPLE, help="a folder in COCO's layout")
    parser.add_argument("--split", default="val2017")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--size", type=int, nargs="+", default=[640, 1024], help="of training images")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=HOME / "benchmark" / "results" / "data")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        world = generate_world(Path(scratch) / "world", images=options.images, val_images=1, progress=False)
        cases = [Case("the world, 160", CocoFolder(world, "train2017"), 160)]
        if options.root.is_dir():
            folder = CocoFolder(options.root, options.split)
            cases = [*(Case(f"COCO, {size}", folder, size) for size in options.size), *cases]
        else:
            print(f"{options.root}: not there, so the world alone is measured; --root names a folder in COCO's layout")
        found = {
            case.name: measure(case, images=options.images, batch_size=options.batch_size, rounds=options.rounds)
            for case in cases
        }
    text = table(found, batch_size=options.batch_size)
    record = {
        "threads": 1,
        "cores": os.cpu_count(),
        "target": TARGET,
        "cases": {name: asdict(stages) | {"ratio": stages.ratio} for name, stages in found.items()},
    }
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")
    options.out.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
