"""Writes into each recipe of configs/coco what memory it needs on a GPU.

    python benchmark/recipes.py --root datasets/coco            # all of them, also benchmark/results/recipes.md
    python benchmark/recipes.py --root datasets/coco --recipe siglip2

Weights are counted: the foundations of their real configs and the interface, on the meta device. What a training step
takes above its weights is measured on the CPU as the growth of the process's resident memory, with one image and with
three of `--root` at the recipe's full size, in the recipe's precision, and continued as a line to the recipe's batch.
For that the vision encoder has its real width but few layers, since frozen layers keep nothing; a language model gives
way to one block of its width with CLIP's tokenizer.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from foundations import TRANSFORMERS, write_into
from interface import CLEAR, _resident
from language_encoders import kept
from transformers import ConvNextConfig, LlamaConfig, PreTrainedConfig, PreTrainedTokenizerFast

from find.foundations import load_vision
from find.foundations.open_clip_text import fast_tokenizer
from find.model.building import build_interface
from find.model.config import FINDConfig
from find.model.model import FIND
from find.tasks.points import RandomPoints
from find.training.criterion import Criterion
from find.training.datamodule import FindDataModule

HOME = Path(__file__).resolve().parents[1]
RECIPES = HOME / "configs" / "coco"
FEW, MANY = 1, 3
START, END = "<!-- recipes: written by benchmark/recipes.py -->", "<!-- end of recipes -->"
BEGIN = "# Memory:"
FINISH = "# (parameters of the real configs, activations measured on a CPU; benchmark/recipes.py writes these lines)"


@dataclass(frozen=True)
class Memory:
    """Of one GPU, in bytes. `image` is what each image of a batch adds to a step, `step` what there is without one."""

    vision: int
    language: int
    interface: int  # parameters
    step: int
    image: int
    batch: int
    token: int  # of the language cache

    @property
    def learning(self) -> int:
        """Weights and the two moments of AdamW, in float32; gradients are part of the step."""
        return 12 * self.interface

    @property
    def total(self) -> int:
        return 2 * (self.vision + self.language) + self.learning + self.step + self.batch * self.image


def settings_of(recipe: Path) -> dict[str, Any]:
    return yaml.safe_load(recipe.read_text(encoding="utf-8"))


def count(settings: dict[str, Any], folder: Path) -> tuple[int, int, int, int]:
    """Parameters of vision encoder, language encoder and interface, and the width of a token."""
    config = FINDConfig.from_dict(settings["model"]["config"], source="the recipe")
    library, _, name = config.vision.partition(":")
    if library == "transformers":
        TRANSFORMERS[name].save_pretrained(folder / name)
        spec = f"random:transformers:{folder / name}"
    else:
        spec = f"random:{library}:{name.partition('/')[0]}"
    language = kept(config.language)
    with torch.device("meta"):
        vision = load_vision(spec)
        interface = build_interface(
            config,
            channels=vision.channels,
            strides=vision.strides,
            text_width=language.width,
            pooled_width=vision.pooled_dim,
        )
    numbers = [sum(weight.numel() for weight in module.parameters()) for module in (vision, interface)]
    return numbers[0], language.parameters, numbers[1], language.width


def shallow(config: FINDConfig, folder: Path) -> FINDConfig:
    """The recipe's config with foundations of the same widths and few layers."""
    _, _, name = config.vision.partition(":")
    if name in TRANSFORMERS:
        vision = _few_layers(TRANSFORMERS[name])
    else:  # open_clip's ConvNeXt-L
        vision = ConvNextConfig(hidden_sizes=[192, 384, 768, 1536], depths=[1, 1, 1, 1])
    vision.save_pretrained(folder / "vision")
    width = kept(config.language).width
    heads = {"num_attention_heads": width // 64, "num_key_value_heads": width // 64}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=fast_tokenizer("ViT-B-32")[0], pad_token="<end_of_text>", model_max_length=77
    )
    tokenizer.save_pretrained(folder / "language")
    size = len(tokenizer)
    text = LlamaConfig(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=1, vocab_size=size, **heads)
    text.save_pretrained(folder / "language")
    return dataclasses.replace(
        config,
        vision=f"random:transformers:{folder / 'vision'}",
        language=f"random:transformers:{folder / 'language'}",
        long_texts="cut",
    )


def _few_layers(config: PreTrainedConfig) -> PreTrainedConfig:
    values = config.to_dict()
    if "depths" in values:
        values["depths"] = [1] * len(values["depths"])
    else:
        values["num_hidden_layers"] = 1
    values = {key: value for key, value in values.items() if key not in ("out_features", "out_indices", "stage_names")}
    return type(config).from_dict(values)


def measure(recipe: Path, root: Path, images: int) -> int:
    """Bytes that a step with so many images takes above what stood before it."""
    settings = settings_of(recipe)
    data_settings = settings["data"]
    sides = [step["init_args"]["size"] for step in data_settings["transforms"] if "size" in step.get("init_args", {})]
    with tempfile.TemporaryDirectory() as folder:
        given = FINDConfig.from_dict(settings["model"]["config"], source=str(recipe))
        model = FIND.build(shallow(given, Path(folder)))
    data = FindDataModule(
        root,
        train_split="val2017",
        batch_size=images,
        resizing=dataclasses.replace(model.resizing, shortest=sides[0], longest=sides[0]),
        divisor=model.vision.divisor,
        max_segments=model.config.interface.queries - 1,
    )
    data.setup()
    batch = _square(next(iter(data.train_dataloader())), sides[0])
    points = settings["model"]["mask_sampling"]["init_args"]["points"]
    criterion = Criterion(sampling=RandomPoints(points), deep_supervision=settings["model"]["deep_supervision"])
    names = [category.words for category in data.categories]
    model.interface.train()
    gc.collect()
    CLEAR.write_text("5")
    before = _resident("VmRSS")
    with torch.autocast("cpu", torch.bfloat16):
        losses = criterion(model, batch, names)
        total = torch.stack(list(losses.values())).sum()
    total.backward()
    return _resident("VmHWM") - before


def _square(batch: Any, side: int) -> Any:
    """The batch on a canvas of side x side pixels, which no batch of the recipe exceeds."""

    def widen(tensor: torch.Tensor, value: int) -> torch.Tensor:
        height, width = tensor.shape[-2:]
        return torch.nn.functional.pad(tensor, (0, side - width, 0, side - height), value=value)

    return dataclasses.replace(
        batch,
        images=widen(batch.images, 0),
        segments=widen(batch.segments, -1),
        strokes=widen(batch.strokes, False),
        regions=widen(batch.regions, False),
    )


def measured(recipe: Path, root: Path, images: int) -> int:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--root", str(root), "--recipe", recipe.stem, "--here", str(images)]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**22)}  # what is freed goes back to the system
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def memory(recipe: Path, root: Path) -> Memory:
    settings = settings_of(recipe)
    with tempfile.TemporaryDirectory() as folder:
        vision, language, interface, width = count(settings, Path(folder))
    few, many = measured(recipe, root, FEW), measured(recipe, root, MANY)
    image = (many - few) // (MANY - FEW)
    batch = settings["data"]["batch_size"]
    return Memory(vision, language, interface, max(few - FEW * image, 0), image, batch, 2 * width)


def lines(found: Memory) -> list[str]:
    """What a recipe's head says."""
    return [
        f"{BEGIN} about {found.total / 1e9:.0f} GB on each GPU with the batch below; computed, not seen on a GPU",
        f"#   {2 * found.vision / 1e9:.1f} GB vision encoder, {found.vision / 1e6:,.0f} M parameters in bfloat16",
        f"#   {2 * found.language / 1e9:.1f} GB language encoder, {found.language / 1e6:,.0f} M parameters in bfloat16",
        f"#   {found.learning / 1e9:.1f} GB interface, {found.interface / 1e6:.1f} M parameters and AdamW's moments in "
        "float32",
        f"#   {found.step / 1e9:.1f} GB gradients and what else a step takes, and {found.image / 1e9:.2f} GB for each "
        f"of {found.batch} images",
        f"#   on disk {found.token / 1000:.1f} kB for each token of the language cache (--model.text_cache_limit)",
        FINISH,
    ]


def write_head(recipe: Path, found: Memory) -> None:
    before, _, rest = recipe.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(FINISH + "\n")
    recipe.write_text(before + "\n".join(lines(found)) + "\n" + after, encoding="utf-8")


def shown(found: dict[str, Memory]) -> str:
    """The table of docs/train.md."""
    rows = []
    for name, one in found.items():
        model = settings_of(RECIPES / f"{name}.yaml")["model"]["config"]
        interface = f"{one.interface / 1e6:.0f} M"
        specs = " | ".join(f"`{model[kind]}`" for kind in ("vision", "language"))
        rows.append(f"| `coco/{name}` | {specs} | {interface} | {one.batch} | {one.total / 1e9:.0f} GB |")
    head = "| recipe | vision | language | interface | images a GPU | memory a GPU |"
    notes = (
        "Memory is computed: parameters of the real configs, activations measured on a CPU and continued to the batch\n"
        "(`python benchmark/recipes.py`, which writes this table and the recipes' heads; do not edit)."
    )
    return "\n".join([head, "| --- | --- | --- | ---: | ---: | ---: |", *rows, "", notes, ""])


def report(found: dict[str, Memory]) -> str:
    rows = [
        f"| {name} | {one.vision / 1e6:,.0f} | {one.language / 1e6:,.0f} | {one.interface / 1e6:.1f} | "
        f"{one.step / 1e9:.2f} | {one.image / 1e9:.2f} | {one.batch} | {one.total / 1e9:.1f} |"
        for name, one in found.items()
    ]
    return "\n".join(
        [
            "# Memory of the COCO recipes",
            "",
            *(__doc__ or "").splitlines()[5:],
            f"Generated by `python benchmark/recipes.py` (torch {torch.__version__.partition('+')[0]}); do not edit.",
            "",
            "| recipe | vision M | language M | interface M | GB a step | GB an image | batch | GB a GPU |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a folder in COCO's layout with real photographs")
    parser.add_argument("--recipe", action="append", help="name in configs/coco (default: all)")
    parser.add_argument("--here", type=int, metavar="IMAGES", help="measure in this process and print bytes")
    options = parser.parse_args()
    recipes = sorted(RECIPES.glob("*.yaml"))
    if options.recipe:
        recipes = [RECIPES / f"{name}.yaml" for name in options.recipe]
    if options.here:
        print(measure(recipes[0], options.root, options.here))
        return
    found = {}
    for recipe in recipes:
        found[recipe.stem] = memory(recipe, options.root)
        print(recipe.stem, found[recipe.stem], file=sys.stderr, flush=True)
        write_head(recipe, found[recipe.stem])
    if not options.recipe:
        (HOME / "benchmark" / "results" / "recipes.md").write_text(report(found), encoding="utf-8")
        write_into(HOME / "docs" / "train.md", shown(found), START, END)


if __name__ == "__main__":
    main()
