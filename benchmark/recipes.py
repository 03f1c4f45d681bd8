"""Writes into each recipe of configs/coco what memory it needs on a GPU.

    python benchmark/recipes.py --root datasets/coco            # all of them, also benchmark/results/recipes.md
    python benchmark/recipes.py --root datasets/coco --recipe siglip2

The peak of a training step, of the recipe's batch on the largest canvas that it makes, in its precision, with
foundations and an interface of the real configs: measured without a GPU, by summing the living storages of PyTorch's
fake tensors (`benchmark/fake_step.py` tells what is counted). Images are those of `--root`, for the number of their
segments, phrases and strokes. A language model gives way to one block of its width with CLIP's tokenizer, and its
weights are counted: training reads texts from the language cache.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from fake_step import peak
from foundations import TRANSFORMERS, write_into
from language_encoders import kept
from transformers import LlamaConfig, PreTrainedTokenizerFast

from find.foundations import load_language, load_vision
from find.foundations.open_clip_text import fast_tokenizer
from find.model.building import build_interface
from find.model.config import FINDConfig
from find.model.model import FIND
from find.tasks.points import RandomPoints
from find.training.criterion import Criterion
from find.training.datamodule import FindDataModule
from find.utils.dtypes import compute_dtype

HOME = Path(__file__).resolve().parents[1]
RECIPES = HOME / "configs" / "coco"
START, END = "<!-- recipes: written by benchmark/recipes.py -->", "<!-- end of recipes -->"
BEGIN = "# Memory:"
FINISH = (
    "# (a step of PyTorch's fake tensors, without the allocator's fragments; benchmark/recipes.py writes these lines)"
)


@dataclass(frozen=True)
class Memory:
    """Of one GPU, in bytes."""

    vision: int
    language: int
    interface: int  # parameters
    peak: int  # of a step, all but the language encoder
    batch: int
    token: int  # of the language cache

    @property
    def learning(self) -> int:
        """Weights and the two moments of AdamW, in float32; gradients are part of the step."""
        return 12 * self.interface

    @property
    def step(self) -> int:
        return self.peak - 2 * self.vision - self.learning

    @property
    def total(self) -> int:
        return self.peak + 2 * self.language


def settings_of(recipe: Path) -> dict[str, Any]:
    return yaml.safe_load(recipe.read_text(encoding="utf-8"))


def build(config: FINDConfig, folder: Path) -> FIND:
    """The recipe's model, its vision encoder and interface on the meta device, with a small language encoder."""
    library, _, name = config.vision.partition(":")
    if library == "transformers":
        TRANSFORMERS[name].save_pretrained(folder / name)
        spec = f"random:transformers:{folder / name}"
    else:
        spec = f"random:{library}:{name.partition('/')[0]}"
    language = load_language(_stand_in(kept(config.language).width, folder / "language"), long_texts="cut")
    with torch.device("meta"):
        vision = load_vision(spec, dtype=compute_dtype(config.vision_dtype))
        interface = build_interface(
            config,
            channels=vision.channels,
            strides=vision.strides,
            text_width=language.width,
            pooled_width=vision.pooled_dim,
        )
    return FIND(config=config, vision=vision, language=language, interface=interface)


def _stand_in(width: int, folder: Path) -> str:
    """A language encoder of one block."""
    heads = {"num_attention_heads": width // 64, "num_key_value_heads": width // 64}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=fast_tokenizer("ViT-B-32")[0], pad_token="<end_of_text>", model_max_length=77
    )
    tokenizer.save_pretrained(folder)
    size = len(tokenizer)
    text = LlamaConfig(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=1, vocab_size=size, **heads)
    text.save_pretrained(folder)
    return f"random:transformers:{folder}"


def memory(recipe: Path, root: Path) -> Memory:
    settings = settings_of(recipe)
    data_settings, model_settings = settings["data"], settings["model"]
    side = max(step["init_args"]["size"] for step in data_settings["transforms"] if "size" in step.get("init_args", {}))
    config = FINDConfig.from_dict(model_settings["config"], source=str(recipe))
    with tempfile.TemporaryDirectory() as folder:
        model = build(config, Path(folder))
    count = data_settings["batch_size"]
    data = FindDataModule(
        root,
        train_split="val2017",
        batch_size=count,
        resizing=dataclasses.replace(model.resizing, shortest=side, longest=side),
        divisor=model.vision.divisor,
        max_segments=config.interface.queries - 1,
    )
    data.setup()
    criterion = Criterion(
        sampling=RandomPoints(model_settings["mask_sampling"]["init_args"]["points"]),
        deep_supervision=model_settings["deep_supervision"],
        nested_widths=model_settings["nested_widths"],
    )
    vision, interface = (sum(x.numel() for x in part.parameters()) for part in (model.vision, model.interface))
    canvas = -(-side // model.vision.divisor) * model.vision.divisor
    batch = _square(next(iter(data.train_dataloader())), canvas)
    names = [category.words for category in data.categories]
    found = peak(model, batch, names, criterion, clip=settings["trainer"]["gradient_clip_val"])
    language = kept(config.language)
    return Memory(vision, language.parameters, interface, found, count, 2 * language.width)


def _square(batch: Any, side: int) -> Any:
    """The batch on a canvas of side x side pixels, which no batch of the recipe exceeds."""

    def widen(tensor: torch.Tensor, value: int) -> torch.Tensor:
        height, width = tensor.shape[-2:]
        return torch.nn.functional.pad(tensor, (0, side - width, 0, side - height), value=value)

    strokes, regions = batch.drawn["interactive"].strokes, batch.drawn["interleaved_segmentation"].regions
    batch = batch.redrawn("interactive", strokes=widen(strokes, False))
    batch = batch.redrawn("interleaved_segmentation", regions=widen(regions, False))
    return dataclasses.replace(
        batch,
        canvases=[(side, side)] * len(batch),
        images=widen(batch.images, 0),
        segments=widen(batch.segments, -1),
    )


def lines(found: Memory) -> list[str]:
    """What a recipe's head says."""
    return [
        f"{BEGIN} about {found.total / 1e9:.0f} GB on each GPU with the batch below; measured without a GPU",
        f"#   {2 * found.vision / 1e9:.1f} GB vision encoder, {found.vision / 1e6:,.0f} M parameters in bfloat16",
        f"#   {2 * found.language / 1e9:.1f} GB language encoder, {found.language / 1e6:,.0f} M parameters in bfloat16",
        f"#   {found.learning / 1e9:.1f} GB interface, {found.interface / 1e6:.1f} M parameters and AdamW's moments in "
        "float32",
        f"#   {found.step / 1e9:.1f} GB gradients, activations and what else a step of {found.batch} images takes",
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
        "Memory is measured without a GPU: a step's peak at the batch, of PyTorch's fake tensors\n"
        "(`python benchmark/recipes.py`, which writes this table and the recipes' heads; do not edit)."
    )
    return "\n".join([head, "| --- | --- | --- | ---: | ---: | ---: |", *rows, "", notes, ""])


def report(found: dict[str, Memory]) -> str:
    rows = [
        f"| {name} | {one.vision / 1e6:,.0f} | {one.language / 1e6:,.0f} | {one.interface / 1e6:.1f} | "
        f"{one.step / 1e9:.2f} | {one.batch} | {one.total / 1e9:.1f} |"
        for name, one in found.items()
    ]
    return "\n".join(
        [
            "# Memory of the COCO recipes",
            "",
            *(__doc__ or "").splitlines()[5:],
            f"Generated by `python benchmark/recipes.py` (torch {torch.__version__.partition('+')[0]}); do not edit.",
            "",
            "| recipe | vision M | language M | interface M | GB a step | batch | GB a GPU |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a folder in COCO's layout with real photographs")
    parser.add_argument("--recipe", action="append", help="name in configs/coco (default: all)")
    options = parser.parse_args()
    recipes = sorted(RECIPES.glob("*.yaml"))
    if options.recipe:
        recipes = [RECIPES / f"{name}.yaml" for name in options.recipe]
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
