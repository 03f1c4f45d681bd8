"""Measures where chains fail on paragraphs: relations whose two things are not neighbours in the text.

    findvl data world data/unseen --images 10 --val-images 1000 --seed 7
    python benchmark/paragraphs.py --world data/unseen

In the paragraphs of a world (`entity_val2017_long.json`), both things of every relation are named. If the first thing
has several relations, a star is made of them, such as "a cow on the sand left of a sheep behind a cup", where all
relations are the cow's. The true text is compared with the same text with one relation reversed, for the same image.
Rows are by the distance of the relation's subject, in entities. The tree links each relation with the correct subject,
which a parser would have to find.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float

from find.data.coco import CocoFolder
from find.evaluation.gallery import ImageGallery, embed_gallery
from find.evaluation.ranking import TIE
from find.model.model import FIND
from find.query.query import Query
from find.tasks.structured_interaction import EXCLUDED, MOST_OBJECTS, QueryBatch, Terms, nearest_objects, terms

BATCH = 64
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above", "in front of": "behind"}
OPPOSITE |= {"behind": "in front of", "under": "on top of"}


@dataclass(frozen=True)
class Entity:
    """A phrase, the text before it, and the segment that it means."""

    before: str
    words: str
    segment: str

    @property
    def is_object_of_relation(self) -> bool:
        """Whether the text before it links it with the entity before it in the same sentence."""
        return bool(self.before) and "." not in self.before

    def reversed(self) -> Entity | None:
        for one, other in OPPOSITE.items():
            if re.search(rf"\b{one}\b", self.before):
                return Entity(re.sub(rf"\b{one}\b", other, self.before, count=1), self.words, self.segment)
        return None


@dataclass(frozen=True)
class Case:
    """A true and a false text about one image."""

    true: Query
    false: Query
    row: int
    kind: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True, help="a folder of `findvl data world`")
    parser.add_argument("--images", type=int, default=1000)
    options = parser.parse_args()
    model = FIND.from_pretrained().eval()
    folder = CocoFolder(options.world, "val2017")
    gallery = embed_gallery(model, folder, folder.image_ids[: options.images], progress=True)
    row_of = {image_id: row for row, image_id in enumerate(gallery.image_ids)}
    file = options.world / "annotations" / "entity_val2017_long.json"
    records = json.loads(file.read_text(encoding="utf-8"))["annotations"]
    paragraphs = [(row_of[one["image_id"]], entities_of(one)) for one in records if one["image_id"] in row_of]
    tell_structure([entities for _, entities in paragraphs])
    cases = [case for row, entities in paragraphs for case in cases_of(row, entities)]
    won: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for start in range(0, len(cases), BATCH):
        some = cases[start : start + BATCH]
        chain, tree = scores(model, gallery, some)
        for k, case in enumerate(some):
            won[case.kind].append(tuple(bool(x[2 * k] > x[2 * k + 1] + TIE) for x in (chain, tree)))
    print("| | texts | chain | tree |\n| --- | ---: | ---: | ---: |")
    for kind in sorted(won):
        by_chain, by_tree = (100 * sum(one) / len(one) for one in zip(*won[kind], strict=True))
        shown = f"{by_tree:.1f}" if kind.startswith("star") else ""
        print(f"| {kind} | {len(won[kind])} | {by_chain:.1f} | {shown} |")


def entities_of(record: dict) -> list[Entity]:
    text, end, found = record["sentence"], 0, []
    for phrase in sorted(record["phrase"], key=lambda phrase: phrase["start_idx"]):
        start, before = phrase["start_idx"], text[end : phrase["start_idx"]]
        end = phrase["end_idx"]
        found.append(Entity(before, text[start:end], str(phrase["annotation_id"])))
    return found


def tell_structure(paragraphs: list[list[Entity]]) -> None:
    relations = again = twins = 0
    for entities in paragraphs:
        segments = [entity.segment for entity in entities]
        twins += any(one == other for one, other in pairwise(segments))
        for k in range(1, len(entities)):
            if entities[k].is_object_of_relation:
                relations += 1
                again += segments.index(segments[k - 1]) < k - 1
    print(f"{len(paragraphs)} paragraphs, {relations} relations, of which {again} are of a thing named before")
    print(f"{twins} paragraphs have neighbouring entities that are one thing")


def cases_of(row: int, entities: list[Entity]) -> Iterator[Case]:
    for k in range(1, len(entities)):
        if entities[k].is_object_of_relation:
            yield from _reversed(row, entities, k, "as written")
    arms = [
        Entity(re.sub(r"^\s*(is|are)\s+", " ", one.before), one.words, one.segment)
        for before, one in pairwise(entities[2:])
        if one.is_object_of_relation and before.segment == entities[0].segment
    ]
    star = [*entities[:2], *arms]
    for k in range(2, len(star)):
        yield from _reversed(row, star, k, f"star, {k} back" if k < 3 else "star, 3 or more back")


def _reversed(row: int, entities: list[Entity], k: int, kind: str) -> Iterator[Case]:
    turned = entities[k].reversed()
    if turned is not None:
        yield Case(_query(entities), _query([*entities[:k], turned, *entities[k + 1 :]]), row, kind)


def _query(entities: list[Entity]) -> Query:
    return Query.parse("".join(f"{one.before}{{{one.words}}}" for one in entities) + ".")


@torch.inference_mode()
def scores(model: FIND, gallery: ImageGallery, cases: list[Case]) -> tuple[Float[torch.Tensor, " q"], ...]:
    """Of each true and false text with its own image: as a chain, and as a tree."""
    asked = model.embed_queries([query for case in cases for query in (case.true, case.false)])
    rows = torch.tensor([case.row for case in cases for _ in range(2)])
    each = torch.arange(len(rows))[:, None]
    entities, padding, connections = asked.entities.float(), asked.padding, asked.connections
    kept = nearest_objects(gallery.objects[rows], entities, padding, most=MOST_OBJECTS)
    objects, boxes = gallery.objects[rows][each, kept].float(), gallery.boxes[rows][each, kept].float()
    there = torch.ones(objects.shape[:2], dtype=torch.bool)
    images = connections.images(gallery.image[rows].float(), objects, boxes, there).each()
    queries = QueryBatch(asked.query.float(), entities, padding, connections.said).each()
    found = terms(images, queries, connections.weights)
    return found.score()[0][:, 0, 0], tree_score(found, padding, connections.weights.link)


def tree_score(found: Terms, padding: torch.Tensor, link: torch.Tensor) -> Float[torch.Tensor, " q"]:
    """All entities are linked with the first one."""
    fits, links = found.fits[:, 0, 0], link * found.link_fits[:, 0, 0]
    same = torch.eye(fits.shape[-1]) * EXCLUDED
    total = fits[:, 0]
    for k in range(1, fits.shape[1]):
        best = (fits[:, k, None] + links[:, k - 1] + same).amax(dim=-1)
        total = total + torch.where(padding[:, k, None], 0.0, best)
    return found.sentence[:, 0, 0] + total.amax(dim=-1) / (~padding).sum(dim=-1)


if __name__ == "__main__":
    main()
