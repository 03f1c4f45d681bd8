"""Measures how well entities of plain sentences are found, on a world and, as a test of the method, on real sentences.

    findvl data world data/unseen --images 10 --val-images 1000 --seed 32
    python benchmark/tagging.py --world data/unseen [--coco COCO --language transformers:MODEL]

The shipped tagger on a world's sentences, paragraphs, further forms and referring expressions; with --coco, a tagger
that is trained here on the sentences of its train split, over another language encoder, on those of its val split and
on expressions in the manner of RefCOCO, written by hand. Figures go to benchmark/results/tagging.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from find.data.coco import CocoFolder
from find.data.false_sentences import FORMS
from find.evaluation.tagging import TaggingScores
from find.foundations import load_language
from find.interface import EntityTagger
from find.model.model import FIND
from find.query.query import Query
from find.tasks.tagging import entity_spans
from find.training.tagging import Tagged, train_tagger
from find.world import scenes

RESULTS = Path(__file__).resolve().parent / "results" / "tagging.md"
WIDTH, STEPS = 64, 400
EXPRESSIONS = """\
{man} in front of {the blue car}
{the woman} with {a red umbrella}
{left guy}
{person} on {the right}
{girl} holding {a teddy bear}
{the second zebra} from the left
{the chair} closest to {the window}
{a small dog} under {the table}
{the horse} behind {the fence}
{bottom left sandwich}
{boy} next to {the man in white}
{the bus} that is partly hidden by {the truck}
{white plate} in the middle
{the cat} lying on {the black suitcase}
{kid} wearing {a green hat}
{the giraffe} whose head is above {the tree}
{bowl} of {soup} near {the spoon}
{the player} about to hit {the ball}
{laptop} to the right of {the keyboard}
{an elderly couple} sitting on {a bench}
{the surfboard} being carried by {the woman}
{the elephant} in the back
{a bike} leaning against {the wall}
{the pizza} with {mushrooms}
"""
"""In the manner of RefCOCO and RefCOCOg: the first in braces is the head."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True, help="a folder of `findvl data world`")
    parser.add_argument("--weights", default="find-tiny")
    parser.add_argument("--coco", type=Path, help="a data set with entity files of train2017 and val2017")
    parser.add_argument("--language", help="the language encoder of the tagger that is trained on it")
    options = parser.parse_args()
    model = FIND.from_pretrained(options.weights).eval()
    rows = [
        (name, len(said), scores_of(said, model.entity_spans([text for text, _ in said])))
        for name, said in world_sentences(options.world).items()
    ]
    lines = ["# Entities of plain sentences", "", "Per cent. Written by benchmark/tagging.py.", ""]
    lines += [
        f"{options.weights}, a world that it never saw (seed {seed_of(options.world)}, val2017):",
        "",
        *table(rows),
    ]
    if options.coco is not None:
        language = load_language(options.language)
        tagger, count = trained(language, options.coco)
        rows = []
        for name, said in real_sentences(options.coco).items():
            found = entity_spans(language, tagger, [text for text, _ in said], torch.device("cpu"))
            rows.append((name, len(said), scores_of(said, found)))
        name = Path(options.language).parent.name
        lines += ["", f"A tagger over {name}, trained on {count} sentences of the train split:", "", *table(rows)]
    RESULTS.write_text("\n".join(lines) + "\n")
    print(RESULTS.read_text())


def scores_of(said: Sequence[Tagged], found: Sequence[Sequence[tuple[int, int]]]) -> TaggingScores:
    return TaggingScores.of([spans for _, spans in said], found)


def seed_of(world: Path) -> int:
    return json.loads((world / "world.json").read_text())["seed"]


def world_sentences(world: Path) -> dict[str, list[Tagged]]:
    expressions = [
        (e.sentence.text.text, [(p.start, p.end) for p in e.sentence.text.phrases])
        for made in scenes(seed_of(world), "val2017", 300)
        for e in made.expressions
    ]
    return {
        "sentences": linked(world, "val2017"),
        "paragraphs": linked(world, "val2017", "_long"),
        "further forms": linked(world, "val2017", FORMS),
        "referring expressions": expressions,
        "of them with a relation": [one for one in expressions if len(one[1]) > 1],
    }


def real_sentences(coco: Path) -> dict[str, list[Tagged]]:
    by_hand = [Query.parse(line) for line in EXPRESSIONS.splitlines()]
    return {
        "sentences": linked(coco, "val2017"),
        "paragraphs": linked(coco, "val2017", "_long"),
        "expressions by hand": [(query.text, list(query.spans())) for query in by_hand],
    }


def linked(root: Path, split: str, suffix: str = "") -> list[Tagged]:
    folder = CocoFolder(root, split, entities=f"entity_{split}{suffix}")
    return [(s.text, [(p.start, p.end) for p in s.phrases]) for s in folder.sentences if s.phrases]


def trained(language, coco: Path) -> tuple[EntityTagger, int]:
    torch.manual_seed(0)
    tagger = EntityTagger(text_width=language.width, width=WIDTH)
    sentences = linked(coco, "train2017")
    train_tagger(language, tagger, sentences, steps=STEPS, rate=3e-3, batch_size=32)
    return tagger.eval(), len(sentences)


def table(rows: Sequence[tuple[str, int, TaggingScores]]) -> list[str]:
    lines = ["| | sentences | precision | recall | F1 | all right | head right |", "| --- |" + " ---: |" * 6]
    for name, count, scores in rows:
        figures = (scores.precision, scores.recall, scores.f1, scores.sentences, scores.first)
        lines.append(f"| {name} | {count} | " + " | ".join(f"{100 * x:.1f}" for x in figures) + " |")
    return lines


if __name__ == "__main__":
    main()
