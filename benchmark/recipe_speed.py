"""Trains each recipe of configs/coco for some steps on a GPU and writes its speed and peak memory.

    python benchmark/recipe_speed.py --root coco --steps 200 --out benchmark/results/recipes-gpu.json

The training is `findvl fit` with the recipe as it stands. Vision encoders have their real configs and random weights. A
language encoder has one block of its real width and random weights: its features come from the language cache after the
first epoch, so its depth hardly counts. Images a second are those of the steps after the first quarter; memory is the
most that PyTorch's allocator held.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from foundations import TRANSFORMERS
from language_encoders import kept
from transformers import LlamaConfig, PreTrainedTokenizerFast

from find.cli.training import main as train
from find.foundations.open_clip_text import fast_tokenizer
from find.model.config import FINDConfig

RECIPES = Path(__file__).resolve().parents[1] / "configs" / "coco"


class Speed(L.Callback):
    """Images a second, losses and peak memory of a run, printed as JSON now and then: a run that is cut has told."""

    EVERY = 25

    def __init__(self, warm_up: int) -> None:
        self.warm_up = warm_up
        self.images = 0
        self.begin = 0.0
        self.losses: list[float] = []

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, _: int
    ) -> None:
        step = trainer.global_step
        if step > self.warm_up:
            self.images += len(batch.images)
        if step in (1, self.warm_up) or (step - self.warm_up) % self.EVERY == 0 or step == trainer.max_steps:
            self.losses.append(round(float(outputs["loss"]), 2))
            _wait()
            if step <= self.warm_up:
                self.begin = time.perf_counter()
            else:
                self._tell(step)

    def _tell(self, step: int) -> None:
        found = {
            "steps": step,
            "images_per_second": round(self.images / (time.perf_counter() - self.begin), 1),
            "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if torch.cuda.is_available() else None,
            "losses": self.losses,
        }
        print(f"\nmeasured {json.dumps(found)}", flush=True)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def arguments_of(recipe: str, root: Path, folder: Path, *, steps: int, workers: int, more: list[str]) -> list[str]:
    """`findvl fit` with the recipe, random foundations in `folder`, and `Speed` beside the recipe's callbacks."""
    settings = yaml.safe_load((RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8"))
    config = FINDConfig.from_dict(settings["model"]["config"], source=recipe)
    library, _, name = config.vision.partition(":")
    if library == "transformers":
        TRANSFORMERS[name].save_pretrained(folder / "vision")
        vision = f"random:transformers:{folder / 'vision'}"
    else:
        vision = f"random:{library}:{name.partition('/')[0]}"
    width = kept(config.language).width
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=fast_tokenizer("ViT-B-32")[0], pad_token="<end_of_text>", model_max_length=77
    )
    tokenizer.save_pretrained(folder / "language")
    heads = {"num_attention_heads": width // 64, "num_key_value_heads": width // 64}
    text = LlamaConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=1, vocab_size=len(tokenizer), **heads
    )
    text.save_pretrained(folder / "language")
    return [
        "fit", "-c", f"coco/{recipe}", "--data.root", str(root), "--data.num_workers", str(workers),
        "--model.config.vision", vision, "--model.config.language", f"random:transformers:{folder / 'language'}",
        "--model.config.long_texts", "cut", "--model.text_cache", str(folder / "texts"),
        "--trainer.max_steps", str(steps), "--trainer.max_epochs", "-1", "--trainer.limit_val_batches", "0",
        "--trainer.default_root_dir", str(folder / "run"), "--trainer.devices", "1",
        "--trainer.callbacks+=recipe_speed.Speed", f"--trainer.callbacks.warm_up={max(steps // 4, 1)}", *more,
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a COCO folder with train2017 and val2017")
    parser.add_argument("--recipes", nargs="+", default=sorted(file.stem for file in RECIPES.glob("*.yaml")))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, help="end a recipe after so long, with what it has measured")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--here", action="store_true", help="the one recipe in this process")
    options, more = parser.parse_known_args()
    if options.here:
        sys.modules["recipe_speed"] = sys.modules["__main__"]
        with tempfile.TemporaryDirectory() as folder:
            train(
                arguments_of(options.recipes[0], options.root, Path(folder), steps=options.steps,
                             workers=options.workers, more=more)
            )  # fmt: skip
        return
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    found: dict[str, Any] = {"device": device, "torch": torch.__version__, "recipes": {}}
    for recipe in options.recipes:
        command = [sys.executable, __file__, "--root", str(options.root), "--recipes", recipe, "--here",
                   "--steps", str(options.steps), "--workers", str(options.workers), *more]  # fmt: skip
        output = _output(command, options.seconds)
        lines = [line for line in output.splitlines() if line.startswith("measured ")]
        result = json.loads(lines[-1].removeprefix("measured ")) if lines else {"error": output[-1500:]}
        found["recipes"][recipe] = result
        print(recipe, json.dumps(result), flush=True)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _output(command: list[str], seconds: float | None) -> str:
    """What a process prints until it ends or is ended."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            return running.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            running.kill()
            return running.communicate()[0]


if __name__ == "__main__":
    main()
