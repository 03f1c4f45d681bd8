"""Trains the recipe coco/dinov3s_minilm on a folder of photographs, and tells how its losses fall.

    python benchmark/recipe_losses.py --root datasets/coco --steps 120

Encoders have the architecture of the recipe's, and random weights; the words are those of the folder's own captions. So
nothing is downloaded, and nothing good is learned: losses fall, or something is broken. Afterwards the trained model is
tested on the folder's val split, and asked with a region of another photograph and about a crowd. Figures go to
benchmark/results/recipe_losses.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import yaml
from foundations import TRANSFORMERS
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertTokenizerFast

from find.cli.training import main as findvl
from find.data.coco import CocoFolder
from find.model.model import FIND
from find.query.query import Phrase, Query, Region

RECIPE = "coco/dinov3s_minilm"
RESULTS = Path(__file__).resolve().parent / "results" / "recipe_losses.md"
MEANS = 10
"""Steps at the start and at the end whose losses are averaged."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--root", type=Path, required=True, help="a folder in COCO's layout with FIND-Bench's sentences"
    )
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--side", type=int, default=160, help="of the photographs, in pixels")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--folder", type=Path, help="where the run is kept (default: nowhere)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.folder or Path(folder)
        run.mkdir(parents=True, exist_ok=True)
        file = run / "small.yaml"
        file.write_text(yaml.safe_dump(smaller(options, run)), encoding="utf-8")
        findvl(["fit", "-c", RECIPE, "-c", str(file)])
        losses = read_losses(run / "run" / "metrics.csv")
        tested = ["test", "-c", RECIPE, "-c", str(file), "--weights", str(run / "run" / "model")]
        findvl([*tested, "--out", str(run / "metrics.json")])
        asked = ask(FIND.from_pretrained(run / "run" / "model").eval(), CocoFolder(options.root, "val2017"))
    RESULTS.write_text(report(losses, asked, options), encoding="utf-8")
    print(RESULTS.read_text(encoding="utf-8"))


def smaller(options: argparse.Namespace, run: Path) -> dict[str, object]:
    """What is changed of the recipe."""
    folder = CocoFolder(options.root, "train2017")
    sentences = [one.text for image_id in folder.image_ids for one in folder.sentences_of(image_id)]
    TRANSFORMERS["facebook/dinov3-vits16-pretrain-lvd1689m"].save_pretrained(run / "vision")
    write_language(run / "language", sentences)
    jitter = {"class_path": "find.data.transforms.LargeScaleJitter", "init_args": {"size": options.side}}
    config = {
        "vision": f"random:transformers:{run / 'vision'}",
        "language": f"random:transformers:{run / 'language'}",
        "vision_dtype": "float32",
        "language_dtype": "float32",
        "shortest_side": options.side,
        "longest_side": options.side,
        "long_texts": "cut",
    }
    return {
        "model": {
            "config": config,
            "learning_rate": options.learning_rate,
            "mask_sampling": {"class_path": "find.tasks.points.RandomPoints", "init_args": {"points": 1024}},
        },
        "data": {
            "root": str(options.root),
            "batch_size": options.batch,
            "num_workers": 0,
            "transforms": [jitter, {"class_path": "find.data.transforms.HorizontalFlip"}],
        },
        "trainer": {
            "accelerator": "cpu",
            "devices": 1,
            "max_steps": options.steps,
            "limit_val_batches": 0,
            "log_every_n_steps": 1,
            "default_root_dir": str(run / "run"),
        },
    }


def write_language(folder: Path, sentences: Iterable[str]) -> None:
    """MiniLM's architecture and kind of tokenizer."""
    words = BertWordPieceTokenizer()
    words.train_from_iterator(sentences, vocab_size=4000, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    words.save_model(str(folder))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536, "num_attention_heads": 12}
    BertConfig(**sizes, vocab_size=words.get_vocab_size()).save_pretrained(folder)


def read_losses(file: Path) -> dict[str, list[float]]:
    """Of each training step, by name."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row.get("train/loss")]
    names = [name for name in rows[0] if name.startswith("train/")]
    return {name.removeprefix("train/"): [float(row[name]) for row in rows] for name in names}


def ask(model: FIND, folder: CocoFolder) -> list[str]:
    """Real sentences, a region of another photograph, and a photograph with a crowd."""

    def photo(image_id: int) -> Path:
        return folder.root / "val2017" / folder.file_name(image_id)

    first, second = folder.image_ids[:2]
    query = Query("the ", Region(photo(second), points=(20, 20)), " beside ", Phrase("a person"))
    found = [f"region of another photograph: {_told(model, photo(first), query)}"]
    records = json.loads((folder.root / "annotations" / "panoptic_val2017.json").read_text(encoding="utf-8"))
    crowded = next(
        record for record in records["annotations"] if any(segment["iscrowd"] for segment in record["segments_info"])
    )
    query = Query.parse("{people} behind {a person}")
    found.append(f"a crowd: {_told(model, photo(crowded['image_id']), query)}")
    return found


def _told(model: FIND, photo: Path, query: Query) -> str:
    masks = model.segment([photo], [query])[0]
    assert all(np.isfinite([mask.score, mask.present]).all() for mask in masks)
    return ", ".join(f"{int(mask.mask.sum())} pixels (present {mask.present:.2f})" for mask in masks)


def report(losses: dict[str, list[float]], asked: list[str], options: argparse.Namespace) -> str:
    lines = [
        "# Losses of a COCO recipe",
        "",
        f"{RECIPE} with random encoders, {options.steps} steps of {options.batch} photographs of {options.side} "
        f"pixels, learning rate {options.learning_rate:g}: means of the first and the last {MEANS} steps, weighted as "
        "they are summed. Written by benchmark/recipe_losses.py.",
        "",
        "| loss | start | end |",
        "| --- | ---: | ---: |",
        *(
            f"| {name} | {np.mean(values[:MEANS]):.3f} | {np.mean(values[-MEANS:]):.3f} |"
            for name, values in losses.items()
        ),
        "",
        *(f"- {text}" for text in asked),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
