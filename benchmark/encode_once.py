"""What it saves to encode an image once: interactive and panoptic evaluation, and one more click.

    python benchmark/encode_once.py [--images 20] [--threads 2]

A real-size model with random weights: a DINOv3-S at 640 pixels and the interface of configs/coco/dinov3s_minilm.yaml,
float32 on the CPU, asked about drawn scenes of 640 x 640 pixels. Each protocol runs twice in this process, with
`encode_images` and without (as every system did before there was one), and must find the same. Random weights never
please a user, so every segment takes all twenty clicks; the time of the simulated user is in both.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from transformers import DINOv3ViTConfig

from find import FIND, FINDConfig
from find.data.coco import CocoFolder
from find.evaluation.protocols.interactive import interactive
from find.evaluation.protocols.panoptic import panoptic
from find.evaluation.system import InteractiveSegmenter
from find.world import generate_world

HOME = Path(__file__).resolve().parents[1]
RESULTS = HOME / "benchmark" / "results" / "encode_once.md"
SIDE, BATCH, CLICKS = 640, 16, 20


class WithoutFeatures:
    """The model as a system that encodes an image anew for each question."""

    def __init__(self, model: FIND) -> None:
        self.interact, self.panoptic = model.interact, model.panoptic
        self.instances, self.semantic = model.instances, model.semantic


@dataclass(frozen=True)
class Run:
    """What a protocol found, and what it took."""

    found: str
    seconds: float
    processors: float


def build(folder: Path) -> FIND:
    """The recipe's model with random weights and the tiny language encoder, which clicks and classes hardly use."""
    DINOv3ViTConfig(num_register_tokens=4).save_pretrained(folder)
    settings = yaml.safe_load((HOME / "configs" / "coco" / "dinov3s_minilm.yaml").read_text())["model"]["config"]
    config = FINDConfig.from_dict(settings, source="dinov3s_minilm")
    torch.manual_seed(0)
    return FIND.build(
        replace(
            config,
            vision=f"random:transformers:{folder}",
            language="tiny",
            vision_dtype="float32",
            language_dtype="float32",
        )
    ).eval()


def timed(ask: Callable[[], Any]) -> Run:
    begin, begin_processors = time.perf_counter(), time.process_time()
    result = ask()
    seconds, processors = time.perf_counter() - begin, time.process_time() - begin_processors
    found = [result.to_json(), result.details(), result.intervals(), getattr(result, "tracks", None)]
    return Run(json.dumps(found, default=str), seconds, processors)


def one_more_click(model: InteractiveSegmenter, image: np.ndarray, clicks: int = 15) -> tuple[float, float]:
    """Median seconds and seconds of processors of a click on an image that is encoded already."""
    features = model.encode_images([image])
    stroke = np.zeros((1, *image.shape[:2]), bool)
    taken = []
    for number in range(clicks + 2):
        row = 40 + 30 * number
        stroke[0, row : row + 3, row : row + 3] = True
        begin, begin_processors = time.perf_counter(), time.process_time()
        model.interact(features, [stroke], [np.zeros_like(stroke)])
        taken.append((time.perf_counter() - begin, time.process_time() - begin_processors))
    seconds, processors = zip(*taken[2:], strict=True)
    return statistics.median(seconds), statistics.median(processors)


def row(name: str, once: Run, each: Run) -> str:
    same = "the same" if once.found == each.found else "NOT the same"
    return (
        f"| {name} | {each.seconds:.0f} ({each.processors:.0f}) | {once.seconds:.0f} ({once.processors:.0f}) "
        f"| {each.seconds / once.seconds:.1f} ({each.processors / once.processors:.1f}) | {same} |\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20, help="of each protocol (default: %(default)s)")
    parser.add_argument("--clicks", type=int, default=CLICKS, help="of a segment, at most (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="Markdown to write (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "world"
        generate_world(root, images=1, val_images=options.images, seed=11, size=SIDE)
        data = CocoFolder(root, "val2017")
        model = build(Path(folder) / "dinov3")
        click, click_processors = one_more_click(model, data.image(data.image_ids[0]))
        print(f"one more click: {1000 * click:.0f} ms, {1000 * click_processors:.0f} ms of processors", flush=True)
        asked: dict[str, Callable[[Any], Any]] = {
            "panoptic, instances and semantic": lambda system: panoptic(system, data, batch_size=BATCH),
            f"{options.clicks} clicks and 4 strokes": lambda system: interactive(
                system, data, max_clicks=options.clicks, batch_size=BATCH
            ),
        }
        rows = ""
        for name, ask in asked.items():
            once, each = timed(lambda: ask(model)), timed(lambda: ask(WithoutFeatures(model)))  # noqa: B023
            rows += row(name, once, each)
            print(row(name, once, each), end="", flush=True)
        features = model.encode_images([data.image(data.image_ids[0])])
        bare = features.nbytes / 1e6
        model.interact(features, [np.ones((1, SIDE, SIDE), bool)])
        segments = sum(len(data.segments(image_id)) for image_id in data.image_ids)
    text = f"""# An image is encoded once

A model of real size with random weights (DINOv3-S at {SIDE} pixels, the interface of configs/coco/dinov3s_minilm.yaml,
float32), {options.images} images of {SIDE} x {SIDE} pixels with {segments} segments; {platform.machine()} CPU,
{options.threads} threads, torch {torch.__version__}. Seconds, with seconds of processors in brackets: encoding for each
question, and once (`FIND.encode_images`). Generated by `python benchmark/encode_once.py`; do not edit.

| protocol | encoded for each question | encoded once | times as fast | figures |
| --- | ---: | ---: | ---: | --- |
{rows}
One more click on an image that is encoded: {1000 * click:.0f} ms ({1000 * click_processors:.0f} ms of processors;
median). Its features take {bare:.0f} MB, and {features.nbytes / 1e6:.0f} MB once it has been asked with words or
strokes.
"""
    options.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
