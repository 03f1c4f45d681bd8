"""Measures what each part of structured late interaction brings, on a world's false sentences and as a search.

    findvl data world data/unseen --images 10 --val-images 1000 --seed 32
    python benchmark/composition.py --world data/unseen

All rows score the same vectors: the sentence alone; with each entity's best object (the published score); with objects
that neighbours do not share, and the pair term's weights of sentence and entities; with the pair term itself. Figures
go to benchmark/results/composition.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from composition_ceiling import TrueScenes, ceilings
from jaxtyping import Bool, Float

from find.data.coco import CocoFolder
from find.data.false_sentences import form_probes, labelled_probes, read_hard_negatives
from find.data.sample import Sentence
from find.evaluation.gallery import EmbeddedQueries, ImageGallery, embed_gallery, embed_queries
from find.evaluation.protocols.probes import as_asked
from find.evaluation.queries import EntityMode, Interleaving
from find.evaluation.ranking import TIE
from find.evaluation.scores import all_scores, own_scores
from find.model.model import FIND

RESULTS = Path(__file__).resolve().parent / "results" / "composition.md"
GALLERY = 500
WORDS, REGIONS, MIXED = (Interleaving(mode) for mode in (EntityMode.TEXT, EntityMode.VISUAL, EntityMode.MIXED))
Row: TypeAlias = Callable[[EmbeddedQueries], tuple[EmbeddedQueries, float]]
"""What is left of the queries' terms, and the published score's weight of entities."""


def sentence_only(queries: EmbeddedQueries) -> tuple[EmbeddedQueries, float]:
    return replace(queries, connections=None), 0.0


def published(queries: EmbeddedQueries) -> tuple[EmbeddedQueries, float]:
    return replace(queries, connections=None), 0.5


def distinct_objects(queries: EmbeddedQueries) -> tuple[EmbeddedQueries, float]:
    silent = replace(queries.connections, said=torch.zeros_like(queries.connections.said))
    return replace(queries, connections=silent), 0.5


def whole(queries: EmbeddedQueries) -> tuple[EmbeddedQueries, float]:
    return queries, 0.5


ROWS: dict[str, Row] = {
    "sentence": sentence_only,
    "+ entities (published)": published,
    "+ distinct objects, learned weights": distinct_objects,
    "+ pair term": whole,
}


@dataclass(frozen=True)
class Pairs:
    """True and false sentences, one after the other, by what makes them false."""

    queries: EmbeddedQueries
    rows: list[int]
    changes: list[str]
    truths: list[int]

    def won(self, gallery: ImageGallery, row: Row) -> Bool[np.ndarray, " p"]:
        queries, weight = row(self.queries)
        scores = own_scores(gallery, self.rows, queries, entity_weight=weight)
        return scores[::2] > scores[1::2] + TIE

    def shares(self, won: Bool[np.ndarray, " p"]) -> dict[str, float]:
        changes = np.array(self.changes)
        return {change: 100 * won[changes == change].mean() for change in sorted(set(self.changes))}

    def all_beaten(self, won: Bool[np.ndarray, " p"]) -> float:
        """Share of the true sentences that beat all of their false ones."""
        truths = np.array(self.truths)
        return 100 * float(np.mean([won[truths == truth].all() for truth in np.unique(truths)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True, help="a folder of `findvl data world`")
    parser.add_argument("--weights", default="find-tiny")
    parser.add_argument("--shown", type=int, default=250, help="images whose probes are asked by regions, too")
    options = parser.parse_args()
    model = FIND.from_pretrained(options.weights).eval()
    if model.interface.pair_term is None:
        parser.error(f"{options.weights} has no pair term; train one with scripts/train_pair_term.py")
    folder = CocoFolder(options.world, "val2017")
    gallery = embed_gallery(model, folder, folder.image_ids, progress=True)
    row_of = {image_id: row for row, image_id in enumerate(gallery.image_ids)}

    def pairs(said: Iterable[tuple[Sentence, Sentence, str]], interleaving: Interleaving) -> Pairs:
        said = list(said)
        sentences = list(chain(*((true, false) for true, false, _ in said)))
        queries = embed_queries(model, folder, sentences, interleaving, batch_size=64, progress=True)
        rows = [row_of[sentence.image_id] for sentence in sentences]
        return Pairs(queries, rows, [change for *_, change in said], [true.id for true, *_ in said])

    probes = labelled_probes(folder)
    few = set(folder.image_ids[: options.shown])
    shown = [probe for probe in probes if probe.truth.image_id in few]
    asked = {
        "words": pairs(((*as_asked(p, WORDS), p.change.value) for p in probes), WORDS),
        "regions": pairs(((*as_asked(p, REGIONS), p.change.value) for p in shown), REGIONS),
        "mixed": pairs(((*as_asked(p, MIXED), p.change.value) for p in shown), REGIONS),
    }
    forms = form_probes(folder)
    if forms:
        asked["words, by form"] = pairs(((*as_asked(p, WORDS), p.form) for p in forms), WORDS)
    cases = [(h.truth, n, c) for h in read_hard_negatives(folder) for n, c in zip(h.negatives, h.changes, strict=True)]
    hard = pairs(cases, WORDS)
    first = [folder.sentences_of(image_id)[0] for image_id in gallery.image_ids]
    searched = {
        mode.mode.value: embed_queries(model, folder, first[:GALLERY], mode, batch_size=64, progress=True)
        for mode in (WORDS, MIXED)
    }
    table = [(name, figures(gallery, asked, hard, searched, row)) for name, row in ROWS.items()]
    true = TrueScenes.of(options.world, len(gallery))
    table.append(("+ pair term, true boxes", figures(true.placed(gallery), asked, hard, searched, whole)))
    few = gallery.first(GALLERY)
    scores = {mode: all_scores(few, queries, range(len(queries.query)), entity_weight=0.5)
              for mode, queries in searched.items()}  # fmt: skip
    limits = ceilings(true, few, scores)
    RESULTS.write_text(report(table, len(gallery), options.weights, options.shown, limits))
    print(RESULTS.read_text())


def figures(
    gallery: ImageGallery, asked: dict[str, Pairs], hard: Pairs, searched: dict[str, EmbeddedQueries], row: Row
) -> dict[str, float]:
    """Per cent, by name."""
    found = {}
    for mode, these in asked.items():
        for change, share in these.shares(these.won(gallery, row)).items():
            found[f"{change}, {mode}"] = share
    won = hard.won(gallery, row)
    found["hard negatives, all beaten"] = hard.all_beaten(won)
    found |= {f"hard: {change}": share for change, share in hard.shares(won).items()}
    for mode, queries in searched.items():
        kept, weight = row(queries)
        found[f"IR@1 of {GALLERY}, {mode}"] = recall(all_scores(gallery.first(GALLERY), kept, range(len(kept.query)),
                                                                 entity_weight=weight))  # fmt: skip
    return found


def recall(scores: Float[np.ndarray, "q i"]) -> float:
    own = scores.diagonal()[:, None]
    return 100 * float(((scores >= own - TIE).sum(axis=1) == 1).mean())


def report(
    table: Sequence[tuple[str, dict[str, float]]], images: int, weights: str, shown: int, limits: Sequence[str]
) -> str:
    names = list(table[0][1])
    lines = [
        "# What structured late interaction brings",
        "",
        f"{weights}, {images} images of a world that it never saw; probes by regions of {shown} of them. Per cent won "
        "(probes and hard negatives: true against false sentence, same image). Written by benchmark/composition.py.",
        "",
        f"| | {' | '.join(name for name, _ in table)} |",
        f"| --- |{' ---: |' * len(table)}",
        *(f"| {name} | {' | '.join(f'{found[name]:.1f}' for _, found in table)} |" for name in names),
        "",
        *limits,
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
