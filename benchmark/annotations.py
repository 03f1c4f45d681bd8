"""Measures what it takes to read a panoptic JSON of the size of COCO's training split.

    python benchmark/annotations.py                                  # writes benchmark/results/annotations.md
    python benchmark/annotations.py --root datasets/coco --split val2017 --before ../other-checkout

The file is made of the images of a folder in COCO's layout, repeated with new ids until there are as many as COCO has.
Each reading is a process of its own: CPU time of `PanopticTable.read`, and the peak of the process's resident memory.
With --before, a checkout of another version reads the same file in turn with this one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
RESULT = HOME / "benchmark" / "results" / "annotations.md"
SAMPLE = HOME.parent / "shared" / "coco-sample" / "coco"
IMAGES = 118_287
TIME, MEMORY = 1.3, 1.3
"""What reading may take at most, as a multiple of --before."""

READ = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from find.data.panoptic import PanopticTable
begin = time.process_time()
table = PanopticTable.read(Path(sys.argv[1]), print)
print(time.process_time() - begin, len(table.image_ids), len(table.segment_ids))
"""


@dataclass(frozen=True)
class Reading:
    """`seconds` of CPU, `megabytes` at the peak, and what was read."""

    seconds: float
    megabytes: float
    images: int
    segments: int


def write_panoptic(source: Path, images: int, file: Path) -> None:
    """Piece by piece: the list of annotations alone would take gigabytes."""
    content = json.loads(source.read_bytes())
    annotation_of = {annotation["image_id"]: annotation for annotation in content["annotations"]}
    originals = [(image, annotation_of[image["id"]]) for image in content["images"]]
    numbered = list(zip(range(1, images + 1), itertools.cycle(originals), strict=False))
    with open(file, "w", encoding="utf-8") as out:
        out.write('{"images": [')
        for id, (image, _) in numbered:
            out.write(", " * (id > 1) + json.dumps({**image, "id": id, "file_name": f"{id:012d}.jpg"}))
        out.write('], "annotations": [')
        for id, (_, annotation) in numbered:
            out.write(", " * (id > 1) + json.dumps({**annotation, "image_id": id, "file_name": f"{id:012d}.png"}))
        out.write(f'], "categories": {json.dumps(content["categories"])}}}\n')


def read(code: Path, file: Path) -> Reading:
    """By the package in `code`, in a process of its own."""
    command = [sys.executable, "-c", READ, str(file), str(code.resolve())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the package in {code} could not read the file")
    seconds, images, segments = printed.splitlines()[-1].split()
    return Reading(float(seconds), usage.ru_maxrss * 1024 / 1e6, int(images), int(segments))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=SAMPLE, help="a folder in COCO's layout (default: the sample)")
    parser.add_argument("--split", default="val2017", help="(default: %(default)s)")
    parser.add_argument(
        "--images", type=int, default=IMAGES, help="how many images the file has (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--before", type=Path, help="a checkout of another version to compare with")
    options = parser.parse_args()
    versions = {"this version": HOME} | ({f"before ({options.before.name})": options.before} if options.before else {})
    readings: dict[str, list[Reading]] = {name: [] for name in versions}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "panoptic.json"
        write_panoptic(options.root / "annotations" / f"panoptic_{options.split}.json", options.images, file)
        size = file.stat().st_size / 1e6
        for _ in range(options.rounds):
            for name, code in versions.items():
                readings[name].append(read(code, file))
    first = readings["this version"][0]
    lines = [
        "# Reading a panoptic JSON of COCO's size",
        "",
        "Written by `python benchmark/annotations.py"
        + (" --before CHECKOUT`." if options.before else "`.")
        + f" Median of {options.rounds} readings in turn, each in a process of its own, on {platform.machine()}, "
        f"Python {platform.python_version()}. The file has {first.images:,} images, {first.segments:,} segments and "
        f"{size:.0f} MB.",
        "",
        "| version | CPU time, s | peak memory, MB |",
        "| --- | --- | --- |",
    ]
    medians = {
        name: (statistics.median(one.seconds for one in found), statistics.median(one.megabytes for one in found))
        for name, found in readings.items()
    }
    lines += [f"| {name} | {seconds:.2f} | {megabytes:.0f} |" for name, (seconds, megabytes) in medians.items()]
    if options.before:
        (seconds, megabytes), (old_seconds, old_megabytes) = medians.values()
        time, memory = seconds / old_seconds, megabytes / old_megabytes
        kept = "reached" if time <= TIME and memory <= MEMORY else "NOT reached"
        lines += ["", f"{time:.2f} times the CPU time and {memory:.2f} times the memory of before; the aim, at most "
                  f"{TIME} times both, is {kept}."]  # fmt: skip
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
