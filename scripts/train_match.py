"""Train the match head of a model whose other weights stay as they are: copied, to the last bit.

    python scripts/train_match.py OUT --weights find-tiny

Scenes of a synthetic world are drawn and embedded once (`--vectors FILE` keeps them). Entities are phrases by
themselves, phrases in their sentences, and means of one to eight regions that have something in common; each is
compared with all objects of images in which it is there, or in which it is not because a category, a colour, a size or
a pattern is another one. The last images are left for calibration: of objects, and of "is it there at all".
Run it again whenever the other weights have changed; where only pair term or tagger have, `--head` copies a head.
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from find import FIND
from find.evaluation.described_world import (
    ATTRIBUTES,
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
    is_held_out,
    worded,
)
from find.interface import MatchHead, object_numbers
from find.utils.device import choose_device

HALF = 0.4
"""Objects that overlap what fits by more than this, but less than SAME, are neither matches nor mistakes."""
TERSE = 0.3
"""Share of phrases that say the category only."""
SHOTS = (1, 1, 2, 4, 8)
SCALES = 10
"""Single numbers, such as the cosine's weight, learn so many times faster than the layers."""


class Asking:
    """Draws entities, each with an image: vector, what it says, number of the image."""

    def __init__(self, world: DescribedWorld, model: FIND, images: range, seed: int) -> None:
        self.world, self.images, self.chance = world, images, random.Random(seed)
        descriptions = [one for one in all_descriptions() if not is_held_out(one)]
        numbers = [as_numbers(one) for one in descriptions]
        self.number_of = {number: k for k, number in enumerate(numbers)}
        self.phrases = [
            embed_phrases(model, [worded(one, self.chance) for one in descriptions]) for _ in range(2)
        ]  # two wordings of each
        self.segments = [world.segments_of(k) for k in images]
        here = (world.spoken_image >= images.start) & (world.spoken_image < images.stop)
        self.spoken = here.nonzero()[:, 0].tolist()
        here = (world.shown_image >= images.start) & (world.shown_image < images.stop)
        self.shown = here.nonzero()[:, 0]

    def batch(self, count: int) -> tuple[Float[Tensor, "p d"], Int64[Tensor, "p 4"], Int64[Tensor, " p"]]:
        drawn = [self._phrase() for _ in range(count // 2)]
        drawn += [self._spoken() for _ in range(count // 8)]
        while len(drawn) < count:
            drawn += self._regions()
        vectors, said, images = zip(*drawn, strict=True)
        return torch.stack(vectors), torch.tensor(said), torch.tensor(images)

    def _phrase(self) -> tuple[Tensor, tuple[int, ...], int]:
        """True of a segment of the image, or with one attribute changed."""
        while True:
            image = self.chance.randrange(len(self.segments))
            said = self._part(self.chance.choice(self.segments[image]))
            if self.chance.random() < 0.6:
                place = self.chance.randrange(len(ATTRIBUTES))
                changed = list(said)
                changed[place] = self.chance.randrange(len(OPTIONS[place]))
                said = tuple(changed)
            if said in self.number_of:
                vector = self.chance.choice(self.phrases)[self.number_of[said]]
                return vector, said, self.images.start + image

    def _part(self, is_so: tuple[int, ...]) -> tuple[int, ...]:
        """Some of a segment's attributes, often only what it is."""
        if self.chance.random() < TERSE:
            return (is_so[0], SILENT, SILENT, SILENT)
        return tuple(
            v if v != MISSING and self.chance.random() < share else SILENT
            for v, share in zip(is_so, SHARES, strict=True)
        )

    def _spoken(self) -> tuple[Tensor, tuple[int, ...], int]:
        """In its sentence, with its own image or another one."""
        number = self.chance.choice(self.spoken)
        image = int(self.world.spoken_image[number])
        if self.chance.random() < 0.5:
            image = self.chance.choice(self.images)
        return self.world.spoken[number], tuple(self.world.spoken_said[number].tolist()), image

    def _regions(self) -> list[tuple[Tensor, tuple[int, ...], int]]:
        """The mean of some regions with what they have in common, with images that show it and others."""
        world, shots = self.world, self.chance.choice(SHOTS)
        first = world.shown_is[self.chance.choice(self.shown)].tolist()
        kept = {"category"} | ({"colour"} if shots == 1 else set(self.chance.choice(((), ("colour",), ("pattern",)))))
        said = tuple(v if name in kept and v != MISSING else SILENT for name, v in zip(ATTRIBUTES, first, strict=True))
        alike = self.shown[fits(torch.tensor(said), world.shown_is[self.shown])].tolist()
        examples = self.chance.sample(alike, min(shots, len(alike)))
        if len(examples) < shots:
            return []
        own = set(world.shown_image[examples].tolist())
        is_there = fits(torch.tensor(said), world.segments[self.images.start : self.images.stop]).any(dim=1)
        with_it = (is_there.nonzero()[:, 0] + self.images.start).tolist()
        images = [self.chance.choice(with_it), self.chance.choice(with_it), self.chance.choice(self.images)]
        vector = world.shown[examples].mean(dim=0)
        return [(vector, said, image) for image in images if image not in own]


def compared(
    world: DescribedWorld, head: MatchHead, asked: tuple[Tensor, Tensor, Tensor], dim: int
) -> tuple[Float[Tensor, "p n"], Bool[Tensor, "p n"], Bool[Tensor, "p n"], Bool[Tensor, " p"]]:
    """Logits, which objects match, which count, and where the thing is there at all."""
    vectors, said, images = asked
    entities, objects = vectors[:, :dim], F.normalize(world.objects[images][..., :dim], dim=-1)
    # of a mean of examples, how short it is tells how far they differ
    length = F.normalize(vectors, dim=-1)[:, :dim].norm(dim=-1, keepdim=True)
    numbers = object_numbers(world.boxes[images], world.scores[images])
    logits = head((entities / length)[:, None], objects, numbers)[:, 0]
    same = fits(said[:, None], world.object_is(images))
    overlap = world.overlap[images]
    is_match = same & (overlap >= SAME)
    return logits, is_match, ~same | (overlap >= SAME) | (overlap < HALF), world.is_there(said, images)


def losses(
    head: MatchHead, found: tuple[Tensor, Tensor, Tensor, Tensor]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Binary cross entropies: of objects, and of presence."""
    logits, is_match, counts, is_there = found
    of_objects = F.binary_cross_entropy_with_logits(logits, is_match.float(), reduction="none")
    presence = head.presence(logits.max(dim=1).values)
    return of_objects[counts].mean(), F.binary_cross_entropy_with_logits(presence, is_there.float())


def train(
    world: DescribedWorld, head: MatchHead, asking: Asking, *, steps: int, rate: float, batch: int, widths: list[int]
) -> None:
    scales = [head.cosine, head.out.bias, head.presence_gain, head.presence_bias]
    layers = [p for p in head.parameters() if all(p is not scale for scale in scales)]
    groups = [{"params": layers, "weight_decay": 0.05}, {"params": scales, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate)
    mean = 0.0
    for step in range(1, steps + 1):
        for group, faster in zip(optimizer.param_groups, (1, SCALES), strict=True):
            group["lr"] = faster * rate * max(0.5 * (1 + math.cos(math.pi * step / steps)), 0.01) * min(1, step / 50)
        of_objects, presence = losses(head, compared(world, head, asking.batch(batch), asking.chance.choice(widths)))
        loss = 3 * of_objects + presence
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean += (loss.item() - mean) / min(step, 50)
        if step % 100 == 0:
            print(f"step {step}: loss {mean:.4f}", flush=True)


def calibrate(world: DescribedWorld, head: MatchHead, asking: Asking, *, count: int, dim: int) -> None:
    """Gain and bias of objects' and of images' logits, on images that nothing else was learned from."""
    with torch.no_grad():
        logits, is_match, counts, is_there = compared(world, head, asking.batch(count), dim)
    gain, bias = _fitted(logits[counts], is_match[counts])
    with torch.no_grad():
        head.out.weight.mul_(gain)
        head.out.bias.mul_(gain).add_(bias)
        head.cosine.mul_(gain)
        best = (gain * logits + bias).max(dim=1).values
        presence = _fitted(best, is_there)
        head.presence_gain.fill_(presence[0])
        head.presence_bias.fill_(presence[1])
    print(
        f"calibrated on {len(asking.images)} images: objects x{gain:.2f} {bias:+.2f}, presence x%.2f %+.2f" % presence
    )


def _fitted(logits: Float[Tensor, " n"], truth: Bool[Tensor, " n"]) -> tuple[float, float]:
    """Platt scaling."""
    numbers = nn.Parameter(torch.tensor([1.0, 0.0]))
    optimizer = torch.optim.LBFGS([numbers], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(numbers[0] * logits + numbers[1], truth.float())
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return tuple(numbers.tolist())


def trained(model: FIND, args: argparse.Namespace) -> MatchHead:
    world = DescribedWorld.cached(args.vectors, model, seed=args.world_seed, split="train2017", count=args.images)
    dim = model.config.interface.semantic_width
    head = MatchHead(semantic_width=dim, width=args.match_width)
    kept = len(world) * 4 // 5
    asking = Asking(world, model, range(kept), args.seed)
    widths = [*args.nested_widths, dim, dim]
    train(world, head, asking, steps=args.steps, rate=args.learning_rate, batch=args.batch, widths=widths)
    calibrate(world, head, Asking(world, model, range(kept, len(world)), args.seed + 1), count=4000, dim=dim)
    return head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="folder of the model with its match head")
    parser.add_argument("--weights", default="find-tiny")
    parser.add_argument("--head", help="a model whose head is taken as it is, where its other vectors are the same")
    parser.add_argument("--vectors", type=Path, help="a file that keeps the embedded scenes; read if it is there")
    parser.add_argument("--world-seed", type=int, default=31)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=2600)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--match-width", type=int, default=96)
    parser.add_argument("--nested-widths", type=int, nargs="*", default=[32, 64], help="embeddings may be cut to these")
    parser.add_argument("--device", default="auto", help="of the embedding; the head is trained on the CPU")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model = FIND.from_pretrained(args.weights).to(choose_device(args.device))
    if args.head:
        head = FIND.from_pretrained(args.head).interface.match_head
        if head is None:
            parser.error(f"{args.head} has no match head")
    else:
        head = trained(model, args)
    model.interface.match_head = head.eval().requires_grad_(False)
    model.config = replace(model.config, interface=replace(model.config.interface, match_width=head.out.in_features))
    model.save_pretrained(args.out)
    print(f"{args.out}: the model with its match head of {sum(p.numel() for p in head.parameters())} parameters")


if __name__ == "__main__":
    main()
