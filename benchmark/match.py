"""Measures match probabilities (presence, all instances, relevance) on scenes that nothing was trained on.

    python benchmark/match.py

Phrases that are true of an image, and the same with one attribute changed so that nothing in the image fits; all
instances of categories, of categories with an attribute, and of what one to eight examples have in common; searches
for things of which an album has images, or none. Figures go to benchmark/results/match.md.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from find.evaluation.described_world import (
    ATTRIBUTES,
    KINDS,
    MISSING,
    OPTIONS,
    SAME,
    SHARES,
    SILENT,
    DescribedWorld,
    all_descriptions,
    as_numbers,
    embed_phrases,
    fits,
    worded,
)
from find.interface import object_numbers
from find.model.model import FIND
from find.world.kinds import Thing

RESULTS = Path(__file__).resolve().parent / "results" / "match.md"
SHOTS = (1, 2, 4, 8)
BINS = 15
ALBUM = 16
"""Objects that an album keeps of an image."""


@dataclass(frozen=True)
class Bench:
    """A model's head and the vectors of a world."""

    model: FIND
    world: DescribedWorld
    phrases: dict[tuple[int, ...], int]
    vectors: Float[Tensor, "t d"]

    @classmethod
    def of(cls, model: FIND, world: DescribedWorld, chance: random.Random) -> Bench:
        descriptions = all_descriptions()
        vectors = embed_phrases(model, [worded(one, chance) for one in descriptions])
        return cls(model, world, {as_numbers(one): k for k, one in enumerate(descriptions)}, vectors)

    def logits(
        self, vectors: Float[Tensor, "p d"], images: Int64[Tensor, " p"], objects: int | None = None
    ) -> Float[Tensor, "p n"]:
        """Of an entity with the objects of an image, or with the surest of them."""
        parts = []
        for rows in torch.arange(len(images)).split(512):
            own = images[rows]
            found, boxes, scores = (x[own] for x in (self.world.objects, self.world.boxes, self.world.scores))
            with torch.inference_mode():
                logits = self.model.interface.match_head(vectors[rows][:, None], found, object_numbers(boxes, scores))
            logits = logits[:, 0]
            if objects is not None:
                kept = scores.topk(min(objects, scores.shape[1]), dim=1).indices
                logits = logits.gather(1, kept)
            parts.append(logits)
        return torch.cat(parts)

    def present(self, logits: Float[Tensor, "p n"]) -> Float[Tensor, " p"]:
        with torch.inference_mode():
            return self.model.interface.match_head.presence(logits.max(dim=1).values).sigmoid()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="find-tiny")
    parser.add_argument("--vectors", type=Path, help="a file that keeps the embedded scenes; read if it is there")
    parser.add_argument("--world-seed", type=int, default=33)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = FIND.from_pretrained(options.weights).eval()
    if model.interface.match_head is None:
        parser.error(f"{options.weights} has no match head; train one with scripts/train_match.py")
    scenes = {"seed": options.world_seed, "split": "val2017", "count": options.images}
    world = DescribedWorld.cached(options.vectors, model, **scenes)
    chance = random.Random(options.seed)
    bench = Bench.of(model, world, chance)
    sections = [presence(bench, chance), spoken(bench, chance), instances(bench, chance), nothing_found(bench, chance)]
    about = (
        f"{options.weights} on {len(world)} scenes of the world of seed {options.world_seed} (val2017, held-out pairs "
        "of category and colour among them), which nothing was trained on. Written by benchmark/match.py."
    )
    RESULTS.write_text("\n".join(["# Presence, every instance and relevance", "", about, "", *sections]))
    print(RESULTS.read_text())


# --- presence -------------------------------------------------------------------------------------------


def true_of(segment: tuple[int, ...], chance: random.Random) -> tuple[int, ...]:
    """Some of a segment's attributes, its category among them; nobody says "plain" of what has no patterns."""
    pairs = zip(segment, SHARES, strict=True)
    said = tuple(v if v != MISSING and chance.random() < share else SILENT for v, share in pairs)
    kind = KINDS[segment[0]]
    return said if isinstance(kind, Thing) and kind.patterned else (*said[:3], SILENT)


def changed(said: tuple[int, ...], place: int, bench: Bench, chance: random.Random) -> tuple[int, ...] | None:
    """With another value of an attribute that it says; None where it says none, or where nobody would say that."""
    if said[place] == SILENT:
        return None
    others = [value for value in range(len(OPTIONS[place])) if value != said[place]]
    found = tuple(chance.choice(others) if k == place else value for k, value in enumerate(said))
    return found if found in bench.phrases else None


def presence(bench: Bench, chance: random.Random) -> str:
    """Phrases that are there against each kind of foil."""
    asked: list[tuple[int, tuple[int, ...], str]] = []
    for image in range(len(bench.world)):
        own = bench.world.segments_of(image)
        for _ in range(6):
            asked.append((image, true_of(chance.choice(own), chance), "present"))
        for place, name in enumerate(ATTRIBUTES):
            said = next((s for s in (true_of(chance.choice(own), chance) for _ in range(20)) if s[place] >= 0), None)
            foil = None if said is None else changed(said, place, bench, chance)
            if foil is not None and not any(fits(torch.tensor(foil), torch.tensor(own))):
                asked.append((image, foil, name))
    images = torch.tensor([image for image, _, _ in asked])
    vectors = bench.vectors[[bench.phrases[said] for _, said, _ in asked]]
    sure = bench.present(bench.logits(vectors, images))
    cosines = torch.einsum("pd,pnd->pn", vectors, bench.world.objects[images]).max(dim=1).values
    kinds = np.array([kind for _, _, kind in asked])
    lines = ["## Present or absent", ""]
    lines += ["Phrases by themselves: true ones, and with one word changed so that nothing fits.", ""]
    lines += ["| absent by | phrases | AUROC by cosine | AUROC of `present` | mean `present` |"]
    lines += ["| --- | ---: | ---: | ---: | ---: |"]
    there = kinds == "present"
    for name in (*ATTRIBUTES, "all"):
        foils = ~there if name == "all" else kinds == name
        rows = torch.from_numpy(there | foils)
        truth = torch.from_numpy(there)[rows]
        figures = auroc(cosines[rows], truth), auroc(sure[rows], truth), sure[torch.from_numpy(foils)].mean().item()
        lines.append(f"| {name} | {foils.sum()} | {figures[0]:.4f} | {figures[1]:.4f} | {figures[2]:.3f} |")
    error = calibration_error(sure, torch.from_numpy(there))
    lines.append(f"| (present) | {there.sum()} | | | {sure[torch.from_numpy(there)].mean():.3f} |")
    return "\n".join([*lines, "", f"Expected calibration error ({BINS} bins): {100 * error:.2f} %.", ""])


def spoken(bench: Bench, chance: random.Random) -> str:
    """Phrases as their sentences say them, in their own images and in others."""
    world = bench.world
    rows = torch.arange(len(world.spoken)).repeat(2)
    images = world.spoken_image.repeat(2)
    count = len(world.spoken)
    images[count:] = torch.tensor([chance.randrange(len(world)) for _ in range(count)])
    truth = world.is_there(world.spoken_said[rows], images)
    sure = bench.present(bench.logits(world.spoken[rows], images))
    reported = (
        f"AUROC {auroc(sure, truth):.4f}, expected calibration error {100 * calibration_error(sure, truth):.2f} %"
    )
    return f"Phrases in sentences, asked of their own images and of others ({len(rows)}): {reported}.\n"


def auroc(scores: Float[Tensor, " n"], truth: Bool[Tensor, " n"]) -> float:
    """The share of pairs, one of each kind, that are ordered right."""
    absent = scores[~truth].sort().values
    below = torch.searchsorted(absent, scores[truth]) + torch.searchsorted(absent, scores[truth], right=True)
    return (below.double() / 2 / len(absent)).mean().item()


def calibration_error(sure: Float[Tensor, " n"], truth: Bool[Tensor, " n"]) -> float:
    """Mean distance of probability and frequency in equal bins, weighted by their sizes."""
    place = (sure * BINS).long().clamp(max=BINS - 1)
    error = 0.0
    for number in range(BINS):
        mine = place == number
        if mine.any():
            error += mine.float().mean().item() * abs(sure[mine].mean().item() - truth[mine].float().mean().item())
    return error


# --- all instances --------------------------------------------------------------------------------------------------


def instances(bench: Bench, chance: random.Random) -> str:
    """Average precision of all objects of the world that fit: masks of IoU SAME or more, each instance once."""
    about = f"Mean average precision at an IoU of {SAME} over all images, by what is sought."
    lines = ["## Every instance", "", about, ""]
    lines += ["| by | sought | cosine | match probability |", "| --- | ---: | ---: | ---: |"]
    for name, places in (("category", (0,)), ("category and colour", (0, 1)), ("category and pattern", (0, 3))):
        sought = asked_for(bench.world, places, least=4)
        vectors = bench.vectors[[bench.phrases[said] for said in sought]]
        lines.append(row(bench, f"phrase: {name}", sought, vectors, [()] * len(sought)))
    for name, places in (("category", (0,)), ("category and colour", (0, 1)), ("category and pattern", (0, 3))):
        for shots in SHOTS:
            found = list(examples(bench.world, asked_for(bench.world, places, least=4), shots, chance))
            if len(found) < 8:
                continue
            sought, rows = zip(*found, strict=True)
            vectors = torch.stack([bench.world.shown[list(own)].mean(dim=0) for own in rows])
            left_out = [tuple(bench.world.shown_image[list(own)].tolist()) for own in rows]
            lines.append(row(bench, f"{shots} example{'s' * (shots > 1)}: {name}", list(sought), vectors, left_out))
    lines += ["", "Examples are regions of other images than those that are looked into; one example alone also says "
              "its colour, which is why categories need several."]  # fmt: skip
    return "\n".join([*lines, ""])


def asked_for(world: DescribedWorld, places: tuple[int, ...], *, least: int) -> list[tuple[int, ...]]:
    """All that is said by these attributes and true of at least so many segments."""
    counts: dict[tuple[int, ...], int] = {}
    for image in range(len(world)):
        for segment in world.segments_of(image):
            if all(segment[place] != MISSING for place in places):
                said = tuple(v if k in places else SILENT for k, v in enumerate(segment))
                counts[said] = counts.get(said, 0) + 1
    worth_saying = {as_numbers(one) for one in all_descriptions()}
    return sorted(said for said, count in counts.items() if count >= least and said in worth_saying)


def examples(
    world: DescribedWorld, sought: list[tuple[int, ...]], shots: int, chance: random.Random
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    for said in sought:
        alike = fits(torch.tensor(said), world.shown_is).nonzero()[:, 0].tolist()
        if len(alike) >= shots:
            yield said, tuple(chance.sample(alike, shots))


def row(
    bench: Bench,
    name: str,
    sought: list[tuple[int, ...]],
    vectors: Float[Tensor, "t d"],
    left_out: list[tuple[int, ...]],
) -> str:
    by_cosine, by_match = [], []
    for said, vector, hidden in zip(sought, vectors, left_out, strict=True):
        images = torch.tensor([k for k in range(len(bench.world)) if k not in hidden])
        logits = bench.logits(vector.expand(len(images), -1), images)
        cosines = torch.einsum("d,ind->in", F.normalize(vector, dim=0), bench.world.objects[images])
        by_cosine.append(average_precision(bench.world, said, images, cosines))
        by_match.append(average_precision(bench.world, said, images, logits))
    return f"| {name} | {len(sought)} | {100 * np.mean(by_cosine):.1f} | {100 * np.mean(by_match):.1f} |"


def average_precision(
    world: DescribedWorld, said: tuple[int, ...], images: Int64[Tensor, " i"], scores: Float[Tensor, "i n"]
) -> float:
    """Of all objects by their scores; a second object of one segment is left out, as find_all does."""
    wanted = torch.tensor(said)
    instances = int(fits(wanted, world.segments[images]).sum())
    is_true = fits(wanted, world.object_is(images)) & (world.overlap[images] >= SAME)
    counts = first_of_each(world.best[images], world.overlap[images], scores)
    order = scores[counts].sort(descending=True).indices
    hits = is_true[counts][order].double()
    precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
    best_after = precision.flip(0).cummax(0).values.flip(0)
    return float((best_after * hits).sum() / max(instances, 1))


def first_of_each(
    best: Int64[Tensor, "i n"], overlap: Float[Tensor, "i n"], scores: Float[Tensor, "i n"]
) -> Bool[Tensor, "i n"]:
    """Objects that are the highest of those of their segment, and those of none."""
    same = (best[:, :, None] == best[:, None]) & (overlap >= SAME)[:, :, None] & (overlap >= SAME)[:, None]
    higher = scores[:, None] > scores[:, :, None]
    return ~(same & higher).any(dim=-1)


# --- relevance ----------------------------------------------------------------------------------------------


def nothing_found(bench: Bench, chance: random.Random) -> str:
    """Albums of 50 images, searched for things that they have and things that they do not."""
    lines = ["## Nothing found", ""]
    lines += [
        "Albums of 50 images, each searched for phrases of a thing with its colour: of the ten best images by cosine, "
        "those of relevance P or more are kept."
    ]
    lines += ["", "| P | precision of the answer “nothing found” | its recall | precision of hits | their recall |"]
    lines += ["| ---: | ---: | ---: | ---: | ---: |"]
    world, searches = bench.world, []
    coloured = [said for said in bench.phrases if said[1] >= 0 and said[2] == SILENT and said[3] == SILENT]
    for start in range(0, len(world) - 49, 50):
        images = torch.arange(start, start + 50)
        own = {
            tuple(v if k < 2 else SILENT for k, v in enumerate(s))
            for image in images.tolist()
            for s in world.segments_of(image)
            if s[1] != MISSING
        }
        there = chance.sample(sorted(own), min(40, len(own)))
        absent = chance.sample([said for said in coloured if said not in own], 40)
        searches += [(said, images) for said in there + absent]
    answers = [search(bench, said, images) for said, images in searches]
    for least in (0.25, 0.5, 0.75):
        empty = np.array([not (sure >= least).any() for sure, _, _ in answers])
        lacks = np.array([total == 0 for _, _, total in answers])
        kept = sum(int((sure >= least).sum()) for sure, _, _ in answers)
        right = sum(int((is_true & (sure >= least)).sum()) for sure, is_true, _ in answers)
        total = sum(min(total, 10) for _, _, total in answers)
        rightly_empty = (empty & lacks).sum()
        figures = [rightly_empty / max(empty.sum(), 1), rightly_empty / lacks.sum(), right / kept, right / total]
        lines.append(f"| {least:g} | " + " | ".join(f"{100 * figure:.1f}" for figure in figures) + " |")
    return "\n".join([*lines, "", f"{len(searches)} searches, half of them for what the album has not.", ""])


def search(
    bench: Bench, said: tuple[int, ...], images: Int64[Tensor, " i"]
) -> tuple[Float[Tensor, " k"], Bool[Tensor, " k"], int]:
    """Relevance and truth of the ten best images, and how many there are in the album."""
    vector = bench.vectors[bench.phrases[said]]
    scores = bench.world.scores[images].topk(ALBUM, dim=1).indices
    objects = bench.world.objects[images].gather(1, scores[..., None].expand(-1, -1, len(vector)))
    cosines = objects @ vector
    best = cosines.max(dim=1)
    ten = best.values.topk(10).indices
    logits = bench.logits(vector.expand(len(images), -1), images, ALBUM)
    with torch.inference_mode():
        sure = bench.model.interface.match_head.presence(logits[ten, best.indices[ten]]).sigmoid()
    truth = bench.world.is_there(torch.tensor(said).expand(len(images), 4), images)
    return sure, truth[ten], int(truth.sum())


if __name__ == "__main__":
    main()
