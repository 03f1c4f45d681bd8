"""Chooses the precision by what the processor multiplies fast; one rule for training and frozen weights.

A CPU must have bfloat16 instructions, and a timing must show that they are faster: where bfloat16 is emulated, a
product takes up to forty times as long as in float32, and some processors that emulate it report that they support it.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass

import torch

AUTO = "auto"
FLOAT32, BFLOAT16, FLOAT16 = "32-true", "bf16-mixed", "16-mixed"
"""Precisions by the names that Lightning's trainer takes."""

WORTH_IT = 1.3
"""How many times as fast as in float32 a product in bfloat16 has to be; less is lost again by casting."""
PROBE_SIDE, PROBES = 256, 5


@dataclass(frozen=True)
class Precision:
    """A precision by the trainer's name for it, and the reason for the choice (text to follow a colon)."""

    name: str
    why: str


def choose_precision(device: torch.device | str, *, processes: int = 1) -> Precision:
    """The precision to train in on a device.

    Args:
        device: that computes; of several GPUs without an index the weakest counts.
        processes: that train together. They must all choose alike, so CPUs are not timed where there are several.
    """
    device = torch.device(device)
    if device.type == "cuda":
        numbers = range(torch.cuda.device_count()) if device.index is None else [device.index]
        return of_gpu(
            min(torch.cuda.get_device_capability(number) for number in numbers), is_amd=bool(torch.version.hip)
        )
    if device.type == "cpu" and processes > 1:
        return Precision(FLOAT32, f"{processes} processes on CPUs must agree, so none is timed")
    if device.type == "cpu":
        return of_cpu(bfloat16_gain())
    if device.type == "mps":
        return Precision(FLOAT32, "few operations of MPS run under autocast, and the M1 has no bfloat16 arithmetic")
    return Precision(FLOAT32, f"nothing is known of {device.type}")


def of_gpu(capability: tuple[int, int], *, is_amd: bool = False) -> Precision:
    """By the compute capability: tensor cores multiply float16 from 7.0 on, bfloat16 from 8.0 on."""
    if is_amd:
        return Precision(BFLOAT16, "GPUs that ROCm supports multiply bfloat16")
    name = f"a GPU of compute capability {capability[0]}.{capability[1]}"
    if capability >= (8, 0):
        return Precision(BFLOAT16, f"{name} multiplies bfloat16")
    if capability >= (7, 0):
        return Precision(FLOAT16, f"{name} multiplies float16, but not bfloat16")
    return Precision(FLOAT32, f"{name} has no tensor cores")


def of_cpu(gain: float | None) -> Precision:
    """By what `bfloat16_gain` gives."""
    if gain is None:
        return Precision(FLOAT32, "this CPU has no bfloat16 arithmetic")
    speed = f"bfloat16 products are {gain:.1f} times as fast as float32 ones on this CPU"
    return Precision(BFLOAT16, speed) if gain >= WORTH_IT else Precision(FLOAT32, f"{speed}, which gains nothing")


@functools.cache
def bfloat16_gain() -> float | None:
    """How many times as fast as in float32 this CPU multiplies in bfloat16; None if it lacks the instructions.

    Measured once a process, in a few milliseconds, on one thread: the ratio is a core's, and more threads would be
    slowed down by other processes.
    """
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    if not torch.backends.mkldnn.is_available() or (supported is not None and not supported()):
        return None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        best = dict.fromkeys((torch.float32, torch.bfloat16), float("inf"))
        for _ in range(PROBES):
            for dtype in best:
                matrix = torch.full((PROBE_SIDE, PROBE_SIDE), 0.5, dtype=dtype)
                begin = time.perf_counter()
                matrix @ matrix
                best[dtype] = min(best[dtype], time.perf_counter() - begin)
    finally:
        torch.set_num_threads(threads)
    return best[torch.float32] / best[torch.bfloat16]


def suited_dtype(stored: torch.dtype, device: torch.device | str) -> torch.dtype:
    """The default type to compute in on a device, for frozen weights stored as `stored`."""
    if torch.device(device).type != "cpu" or stored == torch.float32:
        return stored
    return suited_to_cpu(stored, bfloat16_gain())


def suited_to_cpu(stored: torch.dtype, gain: float | None) -> torch.dtype:
    """float32 instead of a type that the CPU would emulate; results differ by rounding only. `gain` as for `of_cpu`."""
    is_fast = stored == torch.bfloat16 and of_cpu(gain).name == BFLOAT16
    return stored if is_fast else torch.float32
