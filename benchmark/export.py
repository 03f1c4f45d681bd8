"""Measures an exported model beside the model itself: latency, memory, and what int8 loses.

    findvl data world data/unseen --images 64 --val-images 500 --seed 32
    python benchmark/export.py --world data/unseen

Each engine is a process of its own, on one and on two threads; latency is the median of single pictures, engines take
turns. IR@1 is interleaved retrieval by words among the first 500 images, cIoU interleaved segmentation of 200 images.
Static int8 is calibrated on training pictures of the world. Figures go to benchmark/results/export.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results" / "export.md"
ENGINES = {
    "PyTorch eager, float32": "torch",
    "ONNX Runtime, float32": "float32",
    "ONNX Runtime, int8 dynamic": "dynamic",
    "ONNX Runtime, int8 static": "static",
}
SEGMENTED = 200


def load(engine: str, folder: Path, threads: int) -> Any:
    import torch

    torch.set_num_threads(threads)
    if engine == "torch":
        from find import FIND

        return FIND.from_pretrained(device="cpu", dtype=torch.float32).eval()
    from find.integrations.export.running import OnnxModel

    return OnnxModel(folder / engine, threads=threads)


def peak_memory() -> float:
    """Most MiB that this process has held at once (a child's ru_maxrss begins with its parent's, VmHWM does not)."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def latency(model: Any, pictures: list[np.ndarray], calls: int) -> float:
    """Median milliseconds of a picture, one at a time."""
    taken = []
    for number in range(calls + 3):
        begin = time.perf_counter()
        model.embed_images([pictures[number % len(pictures)]])
        taken.append(time.perf_counter() - begin)
    return 1000 * statistics.median(taken[3:])


def measure(options: argparse.Namespace) -> dict[str, float]:
    """What one process tells of one engine."""
    from find.data.coco import CocoFolder
    from find.evaluation.protocols.interleaved_retrieval import interleaved_retrieval
    from find.evaluation.protocols.interleaved_segmentation import interleaved_segmentation
    from find.evaluation.queries import EntityMode, Interleaving

    before = peak_memory()
    data = CocoFolder(options.world, "val2017")
    model = load(options.here, options.folder, options.threads)
    pictures = [data.image(image_id) for image_id in data.image_ids[:20]]
    found = {"latency": latency(model, pictures, options.calls)}
    found["memory"] = peak_memory() - before
    if options.accuracy:
        words = Interleaving(EntityMode.TEXT)
        retrieved = interleaved_retrieval(model, data, interleaving=words, large_gallery=None)
        found["ir"] = retrieved.gallery.combined.all.at_1
        segmented = interleaved_segmentation(model, data, image_ids=data.image_ids[:SEGMENTED])
        found["ciou"] = segmented.overlaps.scores.ciou
    return found


def export(world: Path, folder: Path) -> None:
    """The model in float32 and in both kinds of int8."""
    import shutil

    from find import FIND
    from find.data.coco import CocoFolder
    from find.integrations.export.quantizing import quantize
    from find.integrations.export.writing import write_model

    model = FIND.from_pretrained(device="cpu").eval()
    for file in write_model(model, folder / "float32", name="find-tiny"):
        print(f"{file} ...", file=sys.stderr, flush=True)
    data = CocoFolder(world, "train2017")
    photos = [data.image(image_id) for image_id in data.image_ids[:64]]
    for name, shown in (("dynamic", None), ("static", photos)):
        shutil.copytree(folder / "float32", folder / name)
        quantize(folder / name, photos=shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True, help="made by findvl data world")
    parser.add_argument("--folder", type=Path, help="of exports, made if it is not there (default: a temporary one)")
    parser.add_argument("--calls", type=int, default=40, help="timed, of each engine (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--accuracy", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure(options)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "static").is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            export(options.world, folder)
        rows = {}
        for name, engine in ENGINES.items():
            for threads in (1, 2):
                command = [sys.executable, __file__, "--world", options.world, "--folder", folder, "--here", engine]
                command += ["--threads", str(threads), "--calls", str(options.calls)]
                command += ["--accuracy"] if threads == 2 else []
                done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
                rows[name, threads] = json.loads(done.stdout.splitlines()[-1])
                print(name, threads, rows[name, threads], file=sys.stderr, flush=True)
        sizes = {engine: (folder / engine / "image.onnx").stat().st_size for engine in list(ENGINES.values())[1:]}
    RESULTS.write_text(table(rows, sizes), encoding="utf-8")


def table(rows: dict[tuple[str, int], dict[str, float]], sizes: dict[str, int]) -> str:
    import onnxruntime
    import torch

    eager = {threads: rows["PyTorch eager, float32", threads] for threads in (1, 2)}
    capability = torch.backends.cpu.get_cpu_capability()
    text = f"""# Exported models

find-tiny, one picture of 160 x 160 pixels at a time; {platform.processor() or platform.machine()} ({capability}), torch
{torch.__version__}, ONNX Runtime {onnxruntime.__version__}. Generated by `python benchmark/export.py`; do not edit.

| image half | ms, 1 thread | ms, 2 threads | times as fast (1 / 2) | memory, MiB | file, MB | IR@1 | cIoU |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""
    for name, engine in ENGINES.items():
        one, two = rows[name, 1], rows[name, 2]
        faster = [eager[threads]["latency"] / rows[name, threads]["latency"] for threads in (1, 2)]
        size = f"{sizes[engine] / 1e6:.1f}" if engine in sizes else ""
        text += (
            f"| {name} | {one['latency']:.1f} | {two['latency']:.1f} | {faster[0]:.2f} / {faster[1]:.2f} | "
            f"{one['memory']:.0f} | {size} | {100 * two['ir']:.1f} | {100 * two['ciou']:.1f} |\n"
        )
    return text + "\nMemory: what the process took at most, above what Python itself holds.\n"


if __name__ == "__main__":
    main()
