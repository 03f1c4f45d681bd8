"""Times the interface and its losses, and measures their memory, beside transformers' Mask2Former in the same run.

    OMP_NUM_THREADS=1 python benchmark/interface.py                       # writes benchmark/results/interface.md, .json
    python benchmark/interface.py --device cuda --precision bf16 --compile --out interface-cuda

Each measurement is a process of its own, so that none inherits another's memory; the cases take turns, round after
round, so that a busy machine slows all of them alike. What a case includes is said in `benchmark/workloads.py`.

How close a case comes to the machine's limit: the operations of its matrix products and convolutions, over its time and
over the rate of large float32 products in the same process. The rest of the time goes to everything else.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import workloads
from operations import count_products, product_rate
from workloads import CASES, SIZES, Settings

HOME = Path(__file__).resolve().parents[1]
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Original:
    """What the published code takes for a case at its own sizes, on one thread of another machine."""

    cpu: float
    peak: float | None = None


ORIGINAL = {
    "backbone": Original(1.63),
    "pixel decoder": Original(2.90),
    "forward": Original(10.40),
    "forward, no prompt": Original(1.87),
    "train step": Original(38.2, 6.95),  # 7.9 to 8.0 GiB resident, 0.99 GiB of them after building
}
CALIBRATION = ("backbone", "pixel decoder")
COMPARED = {"forward and masks": "forward", "forward, no prompt": "forward, no prompt", "train step": "train step"}
"""Our cases, and the original's that does the same: its forward returns all masks."""


@dataclass(frozen=True)
class Measured:
    """Of one process: seconds of each call after the first, and GiB at most above what was there before; the
    operations of a call's matrix products, and how many a second large products reach (of CPU time on a CPU)."""

    cpu: list[float]
    wall: list[float]
    peak: float
    operations: float
    rate: float


def measure(case: str, size: str, settings: Settings, repeats: int) -> Measured:
    """Runs a case in this process: once to warm up, then `repeats` times."""
    torch.manual_seed(0)
    step = CASES[case](SIZES[size], settings)
    cuda = settings.device == "cuda"
    gc.collect()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        CLEAR.write_text("5")  # the highest resident size is counted anew
        before = _resident("VmRSS")
    cpu, wall = [], []
    for _ in range(repeats + 1):
        start_cpu, start = time.process_time(), time.perf_counter()
        step()
        if cuda:
            torch.cuda.synchronize()
        cpu.append(time.process_time() - start_cpu)
        wall.append(time.perf_counter() - start)
    peak = (torch.cuda.max_memory_allocated() if cuda else _resident("VmHWM")) - before
    return Measured(cpu[1:], wall[1:], peak / 2**30, count_products(step), product_rate(settings.device))


def _resident(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="bf16: under autocast")
    parser.add_argument("--compile", action="store_true", help="the interface by torch.compile")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1, help="timed calls of a process, after one to warm up")
    parser.add_argument("--out", default="interface", help="name of the two files in benchmark/results")
    parser.add_argument("--here", action="store_true", help="one case in this process; prints it as JSON")
    options = parser.parse_args()
    settings = Settings(options.device, options.precision, options.compile)
    torch.set_num_threads(options.threads)
    if options.here:
        print(json.dumps(asdict(measure(options.cases[0], options.sizes[0], settings, options.repeats))))
        return
    found: dict[str, dict[str, list[Measured]]] = {size: {case: [] for case in options.cases} for size in options.sizes}
    for number in range(options.rounds):
        for size in options.sizes:
            for case in options.cases:
                one = _in_process(case, size, options)
                found[size][case].append(one)
                print(f"round {number + 1}, {size}, {case}: {one}", file=sys.stderr, flush=True)
    record = {
        "machine": _machine(options),
        "settings": asdict(settings) | {"threads": options.threads, "rounds": options.rounds},
        "measured": {s: {c: [asdict(m) for m in ms] for c, ms in cases.items()} for s, cases in found.items()},
    }
    out = HOME / "benchmark" / "results" / options.out
    out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    out.with_suffix(".md").write_text(report(record))


def report(record: dict) -> str:
    """The figures as Markdown."""
    machine, settings, measured = record["machine"], record["settings"], record["measured"]
    lines = [
        "# Speed and memory of the interface",
        "",
        "Generated by `python benchmark/interface.py`; do not edit. Every figure is the median over processes that",
        f"took turns with the other cases ({settings['rounds']} rounds). {machine['device']}, "
        f"{machine['instructions']}, torch {machine['torch']}, {settings['device']}, "
        f"{settings['precision']}, {settings['threads']} thread(s)"
        f"{', compiled' if settings['compile'] else ''}. Peak: above what the process held before its first call, "
        "gradients of the weights included. Where wall time exceeds CPU time, other jobs had the machine. GFLOP: of",
        "the matrix products and convolutions of a call, attention's included. Of the limit: what they take at",
        "the rate of large float32 products, measured in the same process, over what the call takes.",
        "",
        *(line for line in (workloads.__doc__ or "").splitlines()[2:]),
    ]
    for size, cases in measured.items():
        side, batch = SIZES[size].side, SIZES[size].batch
        lines += ["", f"## {size} sizes, {side}x{side}, batch {batch}", ""]
        lines += ["| case | what | CPU s | wall s | peak GiB | GFLOP | of the limit |"]
        lines += ["| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
        for case, runs in cases.items():
            what = " ".join((CASES[case].__doc__ or "").split())
            lines.append(
                f"| {case} | {what} | {_median(runs, 'cpu'):.2f} | {_median(runs, 'wall'):.2f} | "
                f"{_median(runs, 'peak'):.2f} | {_median(runs, 'operations') / 1e9:.1f} | "
                f"{_share(runs, settings['device']):.0%} |"
            )
        lines += _against_mask2former(cases)
        if size == "published" and settings["device"] == "cpu":
            lines += _against_original(cases)
    return "\n".join([*lines, ""])


def _against_mask2former(cases: dict[str, list[dict]]) -> list[str]:
    lines = []
    for end in ("", ", with pixel decoder"):
        ours, theirs = cases.get(f"panoptic train step{end}"), cases.get(f"Mask2Former train step{end}")
        if ours and theirs:
            ratio, memory = (_median(theirs, key) / _median(ours, key) for key in ("cpu", "peak"))
            lines.append(
                f"- Panoptic train step{end}: {ratio:.2f} times as fast as Mask2Former, peak {memory:.2f} less"
            )
    return ["", *lines]


def _against_original(cases: dict[str, list[dict]]) -> list[str]:
    """Times as fast as the published code, as it stands and corrected by how much faster this machine is."""
    both = [case for case in CALIBRATION if case in cases]
    if not both:
        return []
    factor = statistics.geometric_mean(_median(cases[case], "cpu") / ORIGINAL[case].cpu for case in both)
    lines = [
        "",
        "Against the published code. Its figures were taken once, on an Intel Xeon with PyTorch 2.4.1, on one thread;",
        "this is another machine with a newer PyTorch. The backbone and the pixel decoder, which do here what they do",
        f"there, take {factor:.2f} of its time, so the last column multiplies the original's time by that.",
        "",
        "| case | original CPU s | here | ratio | ratio, machine corrected |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for case, name in COMPARED.items():
        if case in cases:
            ratio = ORIGINAL[name].cpu / _median(cases[case], "cpu")
            lines.append(
                f"| {case} | {ORIGINAL[name].cpu:.1f} | {_median(cases[case], 'cpu'):.2f} | {ratio:.2f} | "
                f"{ratio * factor:.2f} |"
            )
    if "train step" in cases:
        ratio = ORIGINAL["train step"].peak / _median(cases["train step"], "peak")
        lines += ["", f"Peak memory of the train step: {ratio:.2f} times less (original: 6.95 GiB above the model)."]
    return lines


def _median(runs: list[dict], key: str) -> float:
    values = [statistics.median(run[key]) if isinstance(run[key], list) else run[key] for run in runs]
    return statistics.median(values)


def _share(runs: list[dict], device: str) -> float:
    """Of the machine's limit, which each process has measured beside its own times."""
    clock = "cpu" if device == "cpu" else "wall"
    return statistics.median(run["operations"] / run["rate"] / statistics.median(run[clock]) for run in runs)


def _in_process(case: str, size: str, options: argparse.Namespace) -> Measured:
    command = [sys.executable, __file__, "--here", "--cases", case, "--sizes", size, "--device", options.device]
    command += ["--precision", options.precision, "--threads", str(options.threads), "--repeats", str(options.repeats)]
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
    done = subprocess.run(
        command + ["--compile"] * options.compile, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def _machine(options: argparse.Namespace) -> dict[str, str]:
    name = torch.cuda.get_device_name() if options.device == "cuda" else platform.processor() or platform.machine()
    if options.device == "cpu" and Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return {"device": name, "torch": torch.__version__, "instructions": torch.backends.cpu.get_cpu_capability()}


if __name__ == "__main__":
    main()
