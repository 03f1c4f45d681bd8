"""Train the tagger of a model whose other weights stay as they are: it finds the entities of plain sentences.

findvl data world data/world --images 4000 --val-images 10 --seed 31
python scripts/train_tagger.py data/world OUT --weights find-tiny
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from find import FIND
from find.data.coco import CocoFolder
from find.data.false_sentences import FORMS
from find.interface import EntityTagger
from find.training.tagging import Tagged, train_tagger
from find.utils.device import choose_device


def linked_sentences(root: Path, split: str) -> list[Tagged]:
    """All sentences of a data set's entity files, with the characters of their phrases."""
    folder = CocoFolder(root, split)
    sentences = [*folder.sentences]
    forms = f"entity_{split}{FORMS}.json"
    if (folder.annotations / forms).exists():
        sentences += CocoFolder(root, split, entities=forms).sentences
    return [(s.text, [(phrase.start, phrase.end) for phrase in s.phrases]) for s in sentences]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder of `findvl data world`, or of any data set with entity files")
    parser.add_argument("out", help="folder of the model with its tagger")
    parser.add_argument("--weights", default="find-tiny")
    parser.add_argument("--split", default="train2017")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--device", default="auto", help="cpu, cuda or mps; auto: what is there")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    device = choose_device(args.device)
    model = FIND.from_pretrained(args.weights).to(device)
    sentences = linked_sentences(args.data, args.split)
    tagger = EntityTagger(text_width=model.language.width, width=args.width).to(device)
    train_tagger(
        model.language,
        tagger,
        sentences,
        steps=args.steps,
        rate=args.learning_rate,
        seed=args.seed,
        report=lambda step, loss: print(f"step {step}: loss {loss:.4f}", flush=True),
    )
    model.interface.tagger = tagger.eval()
    model.config = replace(model.config, interface=replace(model.config.interface, tagger_width=args.width))
    model.save_pretrained(args.out)
    count = sum(parameter.numel() for parameter in tagger.parameters())
    print(f"{args.out}: the model with its tagger of {count} parameters, of {len(sentences)} sentences")


if __name__ == "__main__":
    main()
