"""Train the pair term of a model whose other weights stay as they are; an album that the model made stays good.

    findvl data world data/world --images 4000 --val-images 10 --seed 31
    python scripts/train_pair_term.py data/world OUT --weights find-tiny

Vectors of images, objects and queries are computed once and kept in memory. The loss is that of `findvl fit`
(`find.tasks.composition`), on the probes of the world's sentences and of its further forms, and on its hard
negatives: half of the batches by words, half by regions. With `--mined N`, each step contrasts as many other sentences
of the images, by words and mixed with regions, with the N images of the gallery that are hardest to tell from their
own by sentence and entities alone, by the very score of a search.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from find import FIND
from find.data.coco import CocoFolder
from find.data.false_sentences import form_probes, labelled_probes, read_hard_negatives
from find.data.sample import Sentence
from find.evaluation.gallery import EmbeddedQueries, ImageGallery, embed_gallery, embed_queries
from find.evaluation.protocols.probes import as_asked
from find.evaluation.queries import EntityMode, Interleaving
from find.foundations import TextFeatures
from find.interface import PairTerm
from find.query.query import RenderedQuery
from find.tasks.composition import Composed
from find.tasks.connections import Connections
from find.tasks.late_interaction import late_interaction
from find.tasks.structured_interaction import MOST_OBJECTS, QueryBatch, nearest_objects, terms
from find.tasks.text_inputs import read_texts
from find.utils.device import choose_device

GALLERY = 500
"""Hard images are sought among so many: among more, a sentence is too often true of another image as well."""
T = TypeVar("T")


@dataclass(frozen=True)
class Sentences:
    """Embedded queries, the gallery's row of the image that each is about, and the numbers of its connections."""

    queries: EmbeddedQueries
    row: Int64[Tensor, " q"]
    connections: Int64[Tensor, "q e+1"]

    def __len__(self) -> int:
        return len(self.row)

    def at(self, numbers: Sequence[int]) -> Sentences:
        """Some of them, in this order."""
        q = self.queries
        some = EmbeddedQueries(
            q.query[numbers],
            q.entities[numbers],
            q.padding[numbers],
            tuple(q.owners[k] for k in numbers),
            tuple(q.is_region[k] for k in numbers),
        )
        return Sentences(some, self.row[numbers], self.connections[numbers])


@dataclass(frozen=True)
class Mined:
    """True sentences, and of each one the gallery's rows of the images that are hardest to tell from its own."""

    own: Sentences
    others: Int64[Tensor, "q k"]


@dataclass(frozen=True)
class Material:
    """What is learned from: pairs of a true sentence and a false one, by words, and by regions; and true ones with
    other images, by words, and mixed with regions."""

    gallery: ImageGallery
    texts: TextFeatures  # of the distinct connections, the empty one first
    pairs: list[tuple[Sentences, Sentences]]
    mined: list[Mined]
    with_false: bool = True  # else pairs are contrasted with other images only


def collect(model: FIND, folder: CocoFolder, image_ids: list[int], *, shown: int, mined: int) -> Material:
    gallery = embed_gallery(model, folder, image_ids, progress=True)
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    known: dict[str, int] = {"": 0}

    def embed(sentences: list[Sentence], interleaving: Interleaving) -> Sentences:
        queries = embed_queries(model, folder, sentences, interleaving, batch_size=64, progress=True)
        width = queries.padding.shape[1]
        numbers = torch.zeros(len(sentences), width + 1, dtype=torch.int64)
        for number, sentence in enumerate(sentences):
            spans = tuple((phrase.start, phrase.end) for phrase in sentence.phrases)
            for k, text in enumerate(readings(sentence.text, spans)):
                numbers[number, k] = known.setdefault(text, len(known))
        return Sentences(queries, torch.tensor([row_of[s.image_id] for s in sentences]), numbers)

    def embed_pairs(said: list[tuple[Sentence, Sentence]], interleaving: Interleaving) -> tuple[Sentences, Sentences]:
        number = {sentence: k for k, sentence in enumerate(dict.fromkeys(chain(*said)))}
        embedded = embed(list(number), interleaving)
        return tuple(embedded.at([number[sentence] for sentence in side]) for side in zip(*said, strict=True))

    words, mixed, regions = (Interleaving(mode) for mode in (EntityMode.TEXT, EntityMode.MIXED, EntityMode.VISUAL))
    probes = [p for p in labelled_probes(folder) if p.truth.image_id in row_of]
    hard = [(h.truth, n) for h in read_hard_negatives(folder) if h.truth.image_id in row_of for n in h.negatives]
    forms = [p for p in form_probes(folder) if p.truth.image_id in row_of]
    said = [(p.truth, p.false) for p in probes] + hard + [(p.truth, p.false) for p in forms]
    few = set(image_ids[:shown])
    some = {(p.truth.image_id, bool(p.form)): p for p in [*probes, *forms] if p.truth.image_id in few}.values()
    asked = [as_asked(probe, mixed) for probe in some]
    pairs = [embed_pairs(said, words), embed_pairs(asked, regions)]
    every = [folder.sentences_of(image_id) for image_id in image_ids] if mined else []
    plain = [
        Mined(own, hardest_images(gallery, own, mined, model.interface.pair_term))
        for own in (
            embed(list(chain(*every)), words),
            embed([said[0] for said in every[:shown]], mixed),
        )
    ] if mined else []  # fmt: skip
    texts = read_texts(model.language, list(known), model.device)
    print(f"{len(gallery)} images, {len(said)} false sentences, {len(known)} connections", flush=True)
    return Material(gallery, texts, pairs, plain)


def hardest_images(gallery: ImageGallery, own: Sentences, count: int, term: PairTerm | None) -> Int64[Tensor, "q k"]:
    """Rows of the images that sentence and entities alone rank highest beside the own one, in its part of the gallery.

    Without a pair term by the published weights.
    """
    weights = {"sentence": 1.0, "entity": 0.5} if term is None else {k: w.item() for k, w in term.weights().items()}
    size = min(GALLERY, len(gallery))
    found = torch.empty(len(own), min(count, size - 1), dtype=torch.int64)
    for start in range(0, len(gallery), size):
        part = slice(min(start, len(gallery) - size), min(start + size, len(gallery)))
        asked = ((own.row >= part.start) & (own.row < part.stop)).nonzero()[:, 0]
        scores = late_interaction(
            gallery.image[part],
            gallery.objects[part],
            weights["sentence"] * own.queries.query[asked],
            own.queries.entities[asked],
            own.queries.padding[asked],
            entity_weight=weights["entity"],
        )
        scores[torch.arange(len(asked)), own.row[asked] - part.start] = -torch.inf
        found[asked] = part.start + scores.topk(found.shape[1]).indices
    return found


def moved(record: T, device: torch.device) -> T:
    """A record of tensors, or of such records, on another device."""
    if isinstance(record, Tensor):
        return record.to(device)
    if isinstance(record, (list, tuple)):
        return type(record)(moved(one, device) for one in record)
    if is_dataclass(record):
        return replace(record, **{one.name: moved(getattr(record, one.name), device) for one in fields(record)})
    return record


def readings(text: str, spans: tuple[tuple[int, int], ...]) -> list[str]:
    return RenderedQuery(text, spans, (False,) * len(spans)).readings


class Trainer:
    """Draws batches, each of some images with a pair of sentences, and computes their loss."""

    def __init__(self, material: Material, term: PairTerm, widths: list[int], batch: int, seed: int) -> None:
        self.material, self.term, self.widths, self.batch = material, term, widths, batch
        self.device = material.texts.tokens.device
        self.scale = nn.Parameter(torch.tensor(math.log(30.0), device=self.device))
        self.chance = random.Random(seed)
        self.of_image: list[dict[int, list[int]]] = [{}, {}]  # of each kind of pairs
        for found, (true, _) in zip(self.of_image, material.pairs, strict=True):
            for number, row in enumerate(true.row.tolist()):
                found.setdefault(row, []).append(number)

    def loss(self) -> Float[Tensor, ""]:
        dim = self.chance.choice(self.widths)
        read = self.term.read(self.material.texts.tokens, self.material.texts.padding)
        read = read * (torch.arange(len(read), device=self.device) > 0)[:, None, None]
        loss = self._against_false(dim, read)
        return loss + self._against_hardest(dim, read) if self.material.mined else loss

    def _against_false(self, dim: int, read: Float[Tensor, "t 5 r"]) -> Float[Tensor, ""]:
        kind = self.chance.randrange(2)
        images = self.chance.sample(sorted(self.of_image[kind]), self.batch)
        numbers = torch.tensor([self.chance.choice(self.of_image[kind][image]) for image in images], device=self.device)
        rows, gallery = torch.tensor(images, device=self.device), self.material.gallery
        true, false = (_asked(side, numbers, read) for side in self.material.pairs[kind])
        composed = Composed(
            gallery.image[rows],
            gallery.objects[rows],
            gallery.boxes[rows],
            true,
            false,
            torch.full((len(rows),), self.material.with_false, device=self.device),
            Connections(true.connections, self.term),
        )
        return composed.loss(dim, self.scale.exp().clamp(max=100))

    def _against_hardest(self, dim: int, read: Float[Tensor, "t 5 r"]) -> Float[Tensor, ""]:
        """Cross entropy of the own image among the hardest ones, by the score of a search (not its smooth form)."""
        mined, gallery = self.chance.choice(self.material.mined), self.material.gallery
        numbers = torch.tensor(self.chance.sample(range(len(mined.own)), self.batch), device=self.device)
        rows = torch.cat([mined.own.row[numbers, None], mined.others[numbers]], dim=1)
        many = rows.shape[1]
        asked = _asked(mined.own, numbers.repeat_interleave(many), read)
        sentence, entities = (F.normalize(x[..., :dim], dim=-1) for x in (asked.sentence, asked.entities))
        image, objects, boxes = (x[rows.flatten()] for x in (gallery.image, gallery.objects, gallery.boxes))
        image, objects = (F.normalize(x[..., :dim], dim=-1) for x in (image, objects))
        kept = nearest_objects(objects, entities, asked.padding, most=MOST_OBJECTS)[..., None]
        objects, boxes = (x.gather(1, kept.expand(-1, -1, x.shape[-1])) for x in (objects, boxes))
        said = Connections(asked.connections, self.term)
        there = torch.ones(objects.shape[:2], dtype=torch.bool, device=self.device)
        images = said.images(image, objects, boxes, there)
        asked = QueryBatch(sentence, entities, asked.padding, asked.connections)
        scores = terms(images.each(), asked.each(), said.weights).score()[0].view(-1, many)
        return F.cross_entropy(self.scale.exp().clamp(max=100) * scores, torch.zeros_like(numbers))


def _asked(side: Sentences, numbers: Int64[Tensor, " b"], read: Float[Tensor, "t 5 r"]) -> QueryBatch:
    queries = side.queries
    return QueryBatch(
        queries.query[numbers], queries.entities[numbers], queries.padding[numbers], read[side.connections[numbers]]
    )


def train(
    material: Material, term: PairTerm, *, steps: int, rate: float, widths: list[int], batch: int, seed: int
) -> None:
    trainer = Trainer(material, term, widths, batch, seed)
    optimizer = torch.optim.AdamW([*term.parameters(), trainer.scale], lr=rate, weight_decay=0.01)
    mean = 0.0
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * max(0.5 * (1 + math.cos(math.pi * step / steps)), 0.01)
        loss = trainer.loss()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(term.parameters(), 1.0)
        optimizer.step()
        mean += (loss.item() - mean) / min(step, 50)
        if step % 50 == 0:
            print(f"step {step}: loss {mean:.3f}", flush=True)
    weights = ", ".join(f"{name} {value.item():.2f}" for name, value in term.weights().items())
    print(f"{steps} steps; weights: {weights}; temperature of the losses {trainer.scale.exp().item():.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "world", help="a folder of `findvl data world`, or of any data set with probes and hard negatives"
    )
    parser.add_argument("out", help="folder of the model with its pair term")
    parser.add_argument("--weights", default="find-tiny")
    parser.add_argument("--split", default="train2017")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument(
        "--shown",
        type=int,
        default=4000,
        help="images of which some sentences are asked by regions, too: each region costs a run of the encoder",
    )
    parser.add_argument("--steps", type=int, default=800, help="of training, after the vectors are there")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--batch", type=int, default=64, help="sentences of a step")
    parser.add_argument(
        "--mined",
        type=int,
        default=0,
        help=f"images, the hardest among {GALLERY}, with which each step contrasts as many more sentences",
    )
    parser.add_argument(
        "--without-false",
        action="store_true",
        help="contrast with other images only: an ablation",
    )
    parser.add_argument("--anew", action="store_true", help="not from the model's own pair term, if it has one")
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="of the new weights in what is written; the rest is the model's own pair term (default: %(default)s)",
    )
    parser.add_argument("--pair-width", type=int, default=64)
    parser.add_argument("--nested-widths", type=int, nargs="*", default=[32, 64], help="embeddings may be cut to these")
    parser.add_argument("--device", default="auto", help="cpu, cuda or mps; auto: what is there")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    device = choose_device(args.device)
    model = FIND.from_pretrained(args.weights).to(device)
    folder = CocoFolder(Path(args.world), args.split)
    material = moved(
        collect(model, folder, folder.image_ids[: args.images], shown=args.shown, mined=args.mined), device
    )
    material = replace(material, with_false=not args.without_false)
    dim = model.config.interface.semantic_width
    term = model.interface.pair_term
    if term is None or model.config.interface.pair_width != args.pair_width or args.anew:
        if args.share < 1:
            parser.error("--share averages with the model's own pair term, and here is none: leave it out")
        term = PairTerm(text_width=model.language.width, semantic_width=dim, width=args.pair_width)
    before = {name: value.detach().clone() for name, value in term.state_dict().items()}
    term = term.to(device).train()
    widths = [*args.nested_widths, dim, dim]
    options = {"widths": widths, "batch": args.batch, "seed": args.seed}
    train(material, term, steps=args.steps, rate=args.learning_rate, **options)
    term.load_state_dict({k: before[k].to(x.device).lerp(x, args.share) for k, x in term.state_dict().items()})
    model.interface.pair_term = term.eval()
    model.config = replace(model.config, interface=replace(model.config.interface, pair_width=args.pair_width))
    model.save_pretrained(args.out)
    print(f"{args.out}: the model with its pair term of {sum(p.numel() for p in term.parameters())} parameters")


if __name__ == "__main__":
    main()
