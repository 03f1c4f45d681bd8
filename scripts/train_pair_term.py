"""Train the pair term of a model whose other weights stay as they are; an album that the model made stays good.

    findvl data world data/world --images 4000 --val-images 10 --seed 31
    python scripts/train_pair_term.py data/world OUT --weights find-tiny

Vectors of images, objects and queries are computed once and kept in memory. The loss is that of `findvl fit`
(`find.tasks.composition`), on the probes of the world's sentences and of its further forms, and on its hard
negatives: half of the batches by words, half by regions.
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from find import FIND
from find.data.coco import CocoFolder
from find.data.false_sentences import form_probes, labelled_probes, read_hard_negatives
from find.evaluation.gallery import EmbeddedQueries, ImageGallery, embed_gallery, embed_queries
from find.evaluation.protocols.probes import as_asked
from find.evaluation.queries import EntityMode, Interleaving
from find.foundations import TextFeatures
from find.interface import PairTerm
from find.query.query import RenderedQuery
from find.tasks.composition import Composed
from find.tasks.connections import Connections
from find.tasks.structured_interaction import Asked
from find.tasks.text_inputs import read_texts
from find.utils.device import choose_device

BATCH = 64
T = TypeVar("T")


@dataclass(frozen=True)
class Sentences:
    """Embedded queries, the gallery's row of the image that each is about, and the numbers of its connections."""

    queries: EmbeddedQueries
    row: Int64[Tensor, " q"]
    connections: Int64[Tensor, "q e+1"]

    def __len__(self) -> int:
        return len(self.row)

    def sides(self) -> tuple[Sentences, Sentences]:
        """Every other one, from the first and from the second."""
        q = self.queries
        return tuple(
            Sentences(
                EmbeddedQueries(q.query[k::2], q.entities[k::2], q.padding[k::2], q.owners[k::2], q.is_region[k::2]),
                self.row[k::2],
                self.connections[k::2],
            )
            for k in range(2)
        )


@dataclass(frozen=True)
class Material:
    """What is learned from: pairs of a true sentence and a false one, by words, and mixed with regions."""

    gallery: ImageGallery
    texts: TextFeatures  # of the distinct connections, the empty one first
    pairs: list[tuple[Sentences, Sentences]]


def collect(model: FIND, folder: CocoFolder, image_ids: list[int]) -> Material:
    gallery = embed_gallery(model, folder, image_ids, progress=True)
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    known: dict[str, int] = {"": 0}

    def embed(sentences: list, interleaving: Interleaving) -> Sentences:
        queries = embed_queries(model, folder, sentences, interleaving, batch_size=64, progress=True)
        width = queries.padding.shape[1]
        numbers = torch.zeros(len(sentences), width + 1, dtype=torch.int64)
        for number, sentence in enumerate(sentences):
            spans = tuple((phrase.start, phrase.end) for phrase in sentence.phrases)
            for k, text in enumerate(readings(sentence.text, spans)):
                numbers[number, k] = known.setdefault(text, len(known))
        return Sentences(queries, torch.tensor([row_of[s.image_id] for s in sentences]), numbers)

    words, mixed, shown = (Interleaving(mode) for mode in (EntityMode.TEXT, EntityMode.MIXED, EntityMode.VISUAL))
    probes = [p for p in labelled_probes(folder) if p.truth.image_id in row_of]
    hard = [(h.truth, n) for h in read_hard_negatives(folder) if h.truth.image_id in row_of for n in h.negatives]
    forms = [p for p in form_probes(folder) if p.truth.image_id in row_of]
    said = [(p.truth, p.false) for p in probes] + hard + [(p.truth, p.false) for p in forms]
    some = {(p.truth.image_id, bool(p.form)): p for p in [*probes, *forms]}.values()  # a region costs an encoder's run
    asked = [as_asked(probe, mixed) for probe in some]
    pairs = [both.sides() for both in (embed(list(chain(*said)), words), embed(list(chain(*asked)), shown))]
    texts = read_texts(model.language, list(known), model.device)
    print(f"{len(gallery)} images, {len(said)} false sentences, {len(known)} connections", flush=True)
    return Material(gallery, texts, pairs)


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

    def __init__(self, material: Material, term: PairTerm, widths: list[int], seed: int) -> None:
        self.material, self.term, self.widths = material, term, widths
        self.device = material.texts.tokens.device
        self.scale = nn.Parameter(torch.tensor(math.log(30.0), device=self.device))
        self.chance = random.Random(seed)
        self.of_image: list[dict[int, list[int]]] = [{}, {}]  # of each kind of pairs
        for found, (true, _) in zip(self.of_image, material.pairs, strict=True):
            for number, row in enumerate(true.row.tolist()):
                found.setdefault(row, []).append(number)

    def loss(self) -> Float[Tensor, ""]:
        dim = self.chance.choice(self.widths)
        kind = self.chance.randrange(2)
        images = self.chance.sample(sorted(self.of_image[kind]), BATCH)
        numbers = torch.tensor([self.chance.choice(self.of_image[kind][image]) for image in images], device=self.device)
        rows, gallery = torch.tensor(images, device=self.device), self.material.gallery
        read = self.term.read(self.material.texts.tokens, self.material.texts.padding)
        read = read * (torch.arange(len(read), device=self.device) > 0)[:, None, None]
        true, false = (_asked(side, numbers, read) for side in self.material.pairs[kind])
        composed = Composed(
            gallery.image[rows],
            gallery.objects[rows],
            gallery.boxes[rows],
            true,
            false,
            torch.ones(BATCH, dtype=torch.bool, device=self.device),
            Connections(true.connections, self.term),
        )
        return composed.loss(dim, self.scale.exp().clamp(max=100))


def _asked(side: Sentences, numbers: Int64[Tensor, " b"], read: Float[Tensor, "t 5 r"]) -> Asked:
    queries = side.queries
    return Asked(
        queries.query[numbers], queries.entities[numbers], queries.padding[numbers], read[side.connections[numbers]]
    )


def train(material: Material, term: PairTerm, *, steps: int, rate: float, widths: list[int], seed: int) -> None:
    trainer = Trainer(material, term, widths, seed)
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
    parser.add_argument("--steps", type=int, default=800, help="of training, after the vectors are there")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
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
    material = moved(collect(model, folder, folder.image_ids[: args.images]), device)
    dim = model.config.interface.semantic_width
    term = model.interface.pair_term
    if term is None or model.config.interface.pair_width != args.pair_width or args.anew:
        if args.share < 1:
            parser.error("--share averages with the model's own pair term, and here is none: leave it out")
        term = PairTerm(text_width=model.language.width, semantic_width=dim, width=args.pair_width)
    before = {name: value.detach().clone() for name, value in term.state_dict().items()}
    term = term.to(device).train()
    widths = [*args.nested_widths, dim, dim]
    train(material, term, steps=args.steps, rate=args.learning_rate, widths=widths, seed=args.seed)
    term.load_state_dict({k: before[k].to(x.device).lerp(x, args.share) for k, x in term.state_dict().items()})
    model.interface.pair_term = term.eval()
    model.config = replace(model.config, interface=replace(model.config.interface, pair_width=args.pair_width))
    model.save_pretrained(args.out)
    print(f"{args.out}: the model with its pair term of {sum(p.numel() for p in term.parameters())} parameters")


if __name__ == "__main__":
    main()
