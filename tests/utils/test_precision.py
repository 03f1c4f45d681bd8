"""What is computed in follows the processor: known answers of the rule, and the trainer and models that ask it."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from small_run import CONFIG

from find import FIND
from find.cli.training import FINDTrainer
from find.utils.precision import (
    WORTH_IT,
    bfloat16_gain,
    choose_precision,
    of_cpu,
    of_gpu,
    suited_dtype,
    suited_to_cpu,
)

OLD_PROCESSOR = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


@pytest.mark.parametrize(
    ("gain", "name", "why"),
    [
        (None, "32-true", "no bfloat16 arithmetic"),  # AVX2, macOS
        (0.03, "32-true", "gains nothing"),  # emulated, though the library reports support
        (0.9, "32-true", "gains nothing"),
        (WORTH_IT, "bf16-mixed", "1.3 times as fast"),
        (4.2, "bf16-mixed", "4.2 times as fast"),
    ],
)
def test_a_cpu_computes_in_bfloat16_only_where_that_is_faster(gain, name, why):
    chosen = of_cpu(gain)
    assert chosen.name == name and why in chosen.why


@pytest.mark.parametrize(
    ("capability", "name"),
    [
        ((6, 1), "32-true"),  # GTX 1080
        ((7, 0), "16-mixed"),  # V100
        ((7, 5), "16-mixed"),  # T4
        ((8, 0), "bf16-mixed"),  # A100
        ((8, 9), "bf16-mixed"),
        ((12, 0), "bf16-mixed"),
    ],
)
def test_a_gpu_computes_in_what_its_tensor_cores_multiply(capability, name):
    chosen = of_gpu(capability)
    assert chosen.name == name and f"{capability[0]}.{capability[1]}" in chosen.why


def test_amd_s_numbers_are_no_compute_capabilities_and_mps_stays_in_float32():
    assert of_gpu((6, 1), is_amd=True).name == "bf16-mixed"
    assert choose_precision("mps").name == "32-true"
    assert choose_precision("xla").name == "32-true"


def test_processes_on_cpus_agree_whatever_each_would_measure():
    assert choose_precision("cpu", processes=2).name == "32-true"


def test_frozen_weights_are_never_emulated():
    low, half, full = torch.bfloat16, torch.float16, torch.float32
    assert [suited_to_cpu(dtype, 2.0) for dtype in (low, half, full)] == [low, full, full]
    assert [suited_to_cpu(dtype, None) for dtype in (low, half, full)] == [full] * 3
    assert suited_dtype(low, "cuda") == low


def test_the_probe_is_asked_once_and_leaves_the_threads_alone():
    threads = torch.get_num_threads()
    assert bfloat16_gain() is None or bfloat16_gain() > 0
    assert bfloat16_gain() == bfloat16_gain() and torch.get_num_threads() == threads


def test_the_trainer_takes_what_is_chosen_and_what_is_asked_for_as_it_is(tmp_path):
    options = {"accelerator": "cpu", "logger": False, "default_root_dir": tmp_path, "enable_progress_bar": False}
    chosen = FINDTrainer(**options)
    assert chosen.precision == choose_precision("cpu").name
    assert choose_precision("cpu").why in chosen.precision_text
    for asked in ("32-true", "bf16-mixed"):
        trainer = FINDTrainer(precision=asked, **options)
        assert trainer.precision == asked and trainer.precision_text == f"precision {asked}"


PROGRAM = """
import json, sys, warnings
warnings.filterwarnings("ignore")
from find import FIND
from find.cli.training import FINDTrainer
model = FIND.from_pretrained(sys.argv[1])
asked = FIND.from_pretrained(sys.argv[1], dtype="bfloat16")
trainer = FINDTrainer(accelerator="cpu", logger=False, enable_progress_bar=False)
print(json.dumps([trainer.precision, str(model.vision.dtype), str(asked.vision.dtype), model.fingerprint]))
"""


def test_an_old_processor_trains_and_answers_in_float32(tmp_path):
    """A model whose foundations were trained with in bfloat16 is the same model there, by its fingerprint."""
    model = FIND.build(replace(CONFIG, vision_dtype="bfloat16"))
    model.save_pretrained(tmp_path / "model")
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "model")],
        env={**os.environ, **OLD_PROCESSOR},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(run.stdout.splitlines()[-1])
    assert found == ["32-true", "torch.float32", "torch.bfloat16", model.fingerprint]
