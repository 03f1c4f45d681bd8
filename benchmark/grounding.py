"""Measures what referring expressions gain by object proposals and chains, on scenes that were never trained on.

    python benchmark/grounding.py --images 200

Rows: the grounding branch, which reads the whole text; object proposals against the first entity alone; the same with
the chain of all entities. Entities are found by relation words, or told by the world (true spans). Figures go to
benchmark/results/grounding.md.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from find.model.features import ImageFeatures
from find.model.find_all import Sought
from find.model.grounding_by_chains import referred
from find.model.model import FIND
from find.query.entity import Phrase
from find.query.operators import JoinedQuery
from find.query.query import Query
from find.utils.progress import track
from find.world.grammar import WORDINGS
from find.world.scene import Expression, Scene, scene

RESULTS = Path(__file__).resolve().parent / "results" / "grounding.md"
RELATIONS = re.compile(
    r" (?:is )?(" + "|".join(sorted({w for words in WORDINGS.values() for w in words}, key=len, reverse=True)) + r") "
)
BATCH = 16


@dataclass
class Tally:
    """Intersections and unions of answers with the truth."""

    common: list[int] = field(default_factory=list)
    union: list[int] = field(default_factory=list)
    held_out: list[bool] = field(default_factory=list)
    relation: list[bool] = field(default_factory=list)

    def add(
        self, mask: Bool[np.ndarray, "h w"], truth: Bool[np.ndarray, "h w"], held_out: bool, relation: bool
    ) -> None:
        self.common.append(int((mask & truth).sum()))
        self.union.append(int((mask | truth).sum()))
        self.held_out.append(held_out)
        self.relation.append(relation)

    def row(self) -> str:
        common, union = np.array(self.common), np.array(self.union)
        parts = [np.ones(len(common), bool), np.array(self.relation), ~np.array(self.relation), np.array(self.held_out)]
        ious = common / union
        total = [f"{100 * common[p].sum() / max(union[p].sum(), 1):.1f}" for p in parts]
        return " | ".join([total[0], f"{100 * (ious >= 0.5).mean():.1f}", f"{100 * ious.mean():.1f}", *total[1:]])


def by_words(text: str) -> Query:
    """Head, connection, other thing: split at the first relation word."""
    found = RELATIONS.search(text)
    if found is None:
        return Query(Phrase(text))
    return Query(Phrase(text[: found.start()]), text[found.start() : found.end()], Phrase(text[found.end() :]))


def true_spans(expression: Expression) -> Query:
    text, at, parts = expression.sentence.text.text, 0, []
    for phrase in expression.sentence.text.phrases:
        parts += [text[at : phrase.start], Phrase(text[phrase.start : phrase.end])]
        at = phrase.end
    return Query(*[part for part in (*parts, text[at:]) if part])


def head_alone(query: Query) -> Query:
    return Query(query.entities[0])


def by_chains(
    model: FIND, features: ImageFeatures, queries: Sequence[Sequence[Query]]
) -> list[list[Bool[np.ndarray, "h w"]]]:
    answers: list[list] = [[] for _ in queries]
    for numbers, batch in features.batches(BATCH):
        frames = [features.frames[number] for number in numbers]
        logits, *_ = referred(model, batch, [queries[number] for number in numbers], frames)
        for row, number in enumerate(numbers):
            masks = frames[row].inside(logits[row, : len(queries[number])])
            answers[number] = list(masks.cpu().numpy())
    return answers


def texts_of(expressions: Sequence[Sequence[Expression]]) -> list[list[str]]:
    return [[one.sentence.text.text for one in row] for row in expressions]


def by_branch(model: FIND, features: ImageFeatures, expressions: Sequence[Sequence[Expression]]) -> list[list]:
    """As a model without a tagger answers."""
    tagger, model.interface.tagger = model.interface.tagger, None
    try:
        return model.ground(features, texts_of(expressions))
    finally:
        model.interface.tagger = tagger


def by_match(model: FIND, features: ImageFeatures, queries: Sequence[Sequence[Query]]) -> list[list]:
    """The object that likeliest is the first entity."""
    answers: list[list] = [[] for _ in queries]
    for numbers, batch in features.batches(BATCH):
        frames = [features.frames[number] for number in numbers]
        for row, number in enumerate(numbers):
            sought = Sought.embed(model, [JoinedQuery((head_alone(query),)) for query in queries[number]])
            one = batch.rows(row, row + 1)
            for k in range(len(queries[number])):
                best = sought.rows([k]).probabilities(model.interface, one, frames[row : row + 1]).argmax()
                answers[number].append(
                    frames[row].inside(one.masks(model.interface)[0, best : best + 1])[0].cpu().numpy()
                )
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="find-tiny")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--world-seed", type=int, default=32)
    options = parser.parse_args()
    model = FIND.from_pretrained(options.weights).eval()
    if model.interface.pair_term is None:
        parser.error(f"{options.weights} has no pair term; train one with scripts/train_pair_term.py")
    asked: dict[str, Callable] = {
        "grounding branch": lambda f, e: by_branch(model, f, e),
        "objects, first entity, by relation words": lambda f, e: by_chains(
            model, f, [[head_alone(by_words(one.sentence.text.text)) for one in row] for row in e]
        ),
        "objects, chain, by relation words": lambda f, e: by_chains(
            model, f, [[by_words(one.sentence.text.text) for one in row] for row in e]
        ),
        "objects, first entity, true spans": lambda f, e: by_chains(
            model, f, [[head_alone(true_spans(one)) for one in row] for row in e]
        ),
        "objects, chain, true spans": lambda f, e: by_chains(model, f, [[true_spans(one) for one in row] for row in e]),
    }
    if model.interface.tagger is not None:
        asked["objects, chain, by the tagger (`ground`)"] = lambda f, e: model.ground(f, texts_of(e))
    if model.interface.match_head is not None:
        asked["likeliest object (match head), first entity, true spans"] = lambda f, e: by_match(
            model, f, [[true_spans(one) for one in row] for row in e]
        )
    tallies = {name: Tally() for name in [*asked, "best possible object"]}
    starts = list(range(0, options.images, BATCH))
    for start in track(starts, "grounding", shown=True):
        scenes = [scene(options.world_seed, "val2017", k) for k in range(start, min(start + BATCH, options.images))]
        scenes = [one for one in scenes if one.expressions]
        features = model.encode_images([one.image for one in scenes])
        expressions = [one.expressions for one in scenes]
        for name, ask in asked.items():
            tally(tallies[name], scenes, ask(features, expressions))
        objects = model.embed_images(features)
        every = [objects.object_masks(row).cpu().numpy() for row in range(len(scenes))]
        tally(
            tallies["best possible object"],
            scenes,
            [best_of(one, masks) for one, masks in zip(scenes, every, strict=True)],
        )
    count = len(tallies["grounding branch"].common)
    lines = ["# Grounding of referring expressions", ""]
    lines += [
        f"{options.weights}, {count} expressions of {options.images} scenes of the world of seed {options.world_seed} "
        "(val2017), which nothing was trained on. Written by benchmark/grounding.py.",
        "",
    ]
    lines += ["| | cIoU | P@0.5 | mIoU | cIoU with a relation | without | cIoU, held-out pairs |"]
    lines += ["| --- |" + " ---: |" * 6]
    lines += [f"| {name} | {one.row()} |" for name, one in tallies.items()]
    RESULTS.write_text("\n".join(lines) + "\n")
    print(RESULTS.read_text())


def tally(into: Tally, scenes: Sequence[Scene], answers: Sequence[Sequence]) -> None:
    for one, row in zip(scenes, answers, strict=True):
        for expression, answer in zip(one.expressions, row, strict=True):
            truth = one.segment_map == one.segments[expression.segment].id
            mask = getattr(answer, "mask", answer)
            held_out = any(one.segments[k].is_held_out for k in expression.sentence.segments)
            into.add(mask, truth, held_out, len(expression.sentence.statement.claims) > 0)


def best_of(one: Scene, masks: Bool[np.ndarray, "n h w"]) -> list[Bool[np.ndarray, "h w"]]:
    found = []
    for expression in one.expressions:
        truth = one.segment_map == one.segments[expression.segment].id
        ious = (masks & truth).sum((1, 2)) / np.maximum((masks | truth).sum((1, 2)), 1)
        found.append(masks[ious.argmax()])
    return found


if __name__ == "__main__":
    main()
