"""Measures how entities by themselves, `A & B` and `A - B` rank the images of a world whose contents are known.

    python benchmark/algebra.py --world data/world

Every category is asked for as an entity; images of the val split that show it are right. Both ways to score an entity
stand beside each other: as a thing (its term alone, as an album does) and as a sentence (with the sentence's term), and
several weights of what is excluded. Figures go to benchmark/results/algebra.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics.functional.retrieval import retrieval_average_precision

from find.model.model import FIND
from find.query.entity import Phrase
from find.query.query import Query
from find.retrieval.album import Album
from find.retrieval.hits import EXCLUDED_WEIGHT
from find.retrieval.vectors import QueryVectors, Vectors

RESULTS = Path(__file__).resolve().parent / "results" / "algebra.md"
WEIGHTS = (0.0, 0.25, EXCLUDED_WEIGHT, 0.75, 1.0)
RIGHT = 8
"""Images that a pair of categories has to have to be asked for."""
DROPPED, KEPT = 40, 20
"""Images with and without the second category that a difference has to have."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True, help="a folder of `findvl data world`")
    parser.add_argument("--weights", default="find-tiny")
    options = parser.parse_args()
    model = FIND.from_pretrained(options.weights).eval()
    panoptic = json.loads((options.world / "annotations/panoptic_val2017.json").read_text())
    categories = panoptic["categories"]
    is_thing = torch.tensor([bool(one["isthing"]) for one in categories])
    queries = [Query(Phrase(f"{'a' if one['isthing'] else 'the'} {one['name']}")) for one in categories]
    with tempfile.TemporaryDirectory() as folder:
        album = Album.build(model, options.world / "val2017", Path(folder) / "world.album")
        vectors = Vectors.read(album.table, album.stamp.objects)
        shown = shown_categories(panoptic, [path.stem for path in album.paths])
        dim = album.stamp.dim
    things = vectors.scores(QueryVectors.embed(model, queries, dim))
    sentences = vectors.scores(QueryVectors.of(model.embed_queries(queries), dim))
    ways = {"as a thing": things, "as a sentence": sentences}

    numbers = range(len(categories))
    single = is_thing.nonzero()[:, 0].tolist()
    both = [
        (a, b)
        for a in numbers
        for b in numbers
        if a < b and (is_thing[a] or is_thing[b]) and (shown[a] & shown[b]).sum() >= RIGHT
    ]
    less = [
        (a, b)
        for a in single
        for b in numbers
        if a != b and (shown[a] & shown[b]).sum() >= DROPPED and (shown[a] & ~shown[b]).sum() >= KEPT
    ]
    rows = [f"one of {len(single)} things"], [f"A & B, {len(both)} pairs"]
    rows += tuple([f"A - B, {len(less)} pairs, weight {weight:g}"] for weight in WEIGHTS)
    for scores in ways.values():
        found = [
            mean_precision((scores[a], shown[a]) for a in single),
            mean_precision(((scores[a] + scores[b]) / 2, shown[a] & shown[b]) for a, b in both),
        ]
        for weight in WEIGHTS:
            found.append(mean_precision((scores[a] - weight * scores[b], shown[a] & ~shown[b]) for a, b in less))
        for row, precision in zip(rows, found, strict=True):
            row.append(f"{precision:.3f}")
    text = (
        f"# Entities by themselves, joined and subtracted\n\nMean average precision over {shown.shape[1]} images of a "
        f"world with seed {json.loads((options.world / 'world.json').read_text())['seed']}, {options.weights}. Written "
        f"by `python benchmark/algebra.py`; do not edit.\n\n| asked | {' | '.join(ways)} |\n| --- | ---: | ---: |\n"
    )
    RESULTS.write_text(text + "".join(f"| {' | '.join(row)} |\n" for row in rows))
    print(RESULTS.read_text())


def shown_categories(panoptic: dict, images: list[str]) -> Bool[Tensor, "c i"]:
    """Which image shows which category."""
    of_image = {
        Path(image["file_name"]).stem: {segment["category_id"] for segment in image["segments_info"]}
        for image in panoptic["annotations"]
    }
    return torch.tensor([[one["id"] in of_image[image] for image in images] for one in panoptic["categories"]])


def mean_precision(asked: Iterable[tuple[Float[Tensor, " i"], Bool[Tensor, " i"]]]) -> float:
    """Of scores and which images are right: the mean of the average precisions."""
    return fmean(float(retrieval_average_precision(scores, is_right)) for scores, is_right in asked)


if __name__ == "__main__":
    main()
