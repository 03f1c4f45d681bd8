"""Train the tiny pair on a synthetic world: images with their sentences (CLIP), and regions with their phrases.

    python scripts/train_tiny_pair.py --images 32000 --minutes 28

The scenes are drawn into memory (100 KB each), other ones than any `findvl data world` writes. The schedule
follows the clock, so the script ends when it says. Weights are written every few minutes and at the end, where
`find.foundations.tiny` finds them. What it trains is described in the model card beside the weights.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from safetensors.torch import save_file
from tiny_pair_world import (
    ATTRIBUTES,
    NOUNS,
    PLAIN_WORDS,
    STRIDE,
    Line,
    World,
    draw_world,
    jitter,
    with_regions,
    words_of,
)
from torch import Tensor, nn

from find.foundations import tiny
from find.foundations.open_clip import OpenClipVision, load_open_clip
from find.foundations.open_clip_text import OpenClipLanguage
from find.world.kinds import STUFF, THINGS

STAGES = [1, 2, 3, 4]  # of a ModifiedResNet: its layers, without the stem
REGION_PROBABILITY = 0.15  # of a phrase in a sentence to be replaced by [region]
SPAN_WEIGHT = 0.5


class Trainee(nn.Module):
    """The open_clip model with what only training needs: the head that reads a region off the maps."""

    def __init__(self, model: nn.Module, language: OpenClipLanguage, channels: int):
        super().__init__()
        self.model = model
        self.language = language
        self.region_head = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, language.pooled_dim))
        self.region_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        mean, std = (torch.tensor(model.visual.preprocess_cfg[k]) for k in ("mean", "std"))
        self.register_buffer("mean", 255 * mean.view(3, 1, 1))
        self.register_buffer("std", 255 * std.view(3, 1, 1))

    def see(
        self, images: Float[Tensor, "b 3 h w"], masks: Float[Tensor, "b s g g"]
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b s d"]]:
        """Unit vectors of the images and of their regions."""
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        output = self.model.visual.forward_intermediates(x, indices=STAGES)
        averages = []
        for features in output["image_intermediates"]:
            weights = F.adaptive_avg_pool2d(masks, features.shape[-2:]).flatten(2)
            weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-6)
            averages.append(weights.to(features.dtype) @ features.flatten(2).transpose(1, 2))
        regions = self.region_head(torch.cat(averages, dim=-1))
        return F.normalize(output["image_features"].float(), dim=-1), F.normalize(regions.float(), dim=-1)

    def read(self, texts: Sequence[str]) -> Float[Tensor, "t d"]:
        _, pooled = self.language.encode(self.language.tokenize(texts).ids)
        return F.normalize(pooled.float(), dim=-1)

    def read_lines(self, lines: Sequence[Line]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "p d"]]:
        """Unit vectors of the lines and, in order, of their spans: the mean of a span's tokens, projected alike."""
        tokenized = self.language.tokenize([line.text for line in lines])
        states, pooled = self.language.encode(tokenized.ids)
        tokens = self.language.ln_final(states[-1]) @ self.language.text_projection
        rows = torch.tensor([r for r, line in enumerate(lines) for _ in line.spans], dtype=torch.long)
        starts = torch.tensor([s.start for line in lines for s in line.spans], dtype=torch.long)[:, None]
        ends = torch.tensor([s.end for line in lines for s in line.spans], dtype=torch.long)[:, None]
        offsets = tokenized.offsets[rows]
        inside = (offsets[..., 0] < ends) & (offsets[..., 1] > starts) & (offsets[..., 1] > offsets[..., 0])
        spans = (tokens[rows] * inside[..., None]).sum(1)
        return F.normalize(pooled.float(), dim=-1), F.normalize(spans.float(), dim=-1)


def true_of(phrases: Sequence[str], known: Sequence[set[str]], vocabulary: dict[str, int]) -> Bool[Tensor, "r p"]:
    """Which phrases say nothing but what is known to be true of a region, so that they are no negatives."""
    said = torch.zeros(len(phrases), len(vocabulary) + 1)
    for p, phrase in enumerate(phrases):
        for word in words_of(phrase):
            said[p, vocabulary.get(word, len(vocabulary))] = 1
    unknown = torch.ones(len(known), len(vocabulary) + 1)
    for r, words in enumerate(known):
        unknown[r, [vocabulary[w] for w in words]] = 0
    return unknown @ said.T == 0


def contrast(
    logits: Float[Tensor, "r p"], owner: Int64[Tensor, " p"], also_true: Bool[Tensor, "r p"]
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE of phrases and the regions that own them; pairs that are true as well are left out."""
    columns = torch.arange(len(owner))
    own = torch.zeros_like(also_true)
    own[owner, columns] = True
    others_true = (also_true | own)[owner] & ~torch.eye(len(owner), dtype=torch.bool)
    of_regions = logits[owner].masked_fill(others_true, -torch.inf).log_softmax(1)[columns, columns]
    of_phrases = logits.masked_fill(also_true & ~own, -torch.inf).log_softmax(0)[owner, columns]
    return -(of_regions + of_phrases).sum() / (2 * max(1, len(owner)))


@dataclass(frozen=True)
class Losses:
    image_text: Tensor
    region_phrase: Tensor
    span: Tensor

    @property
    def total(self) -> Tensor:
        return self.image_text + self.region_phrase + SPAN_WEIGHT * self.span


def losses_of(
    trainee: Trainee, world: World, rows: Sequence[int], chance: random.Random, vocabulary: dict[str, int]
) -> Losses:
    images, masks = jitter(world.images[rows], world.masks[rows], chance)
    visible = masks.sum((2, 3)) > 2 * STRIDE**2  # at least two whole cells
    places = visible.nonzero()
    number = {place: r for r, place in enumerate(map(tuple, places.tolist()))}
    phrases = [chance.choice(world.phrases[rows[b]][s]) for b, s in number]
    known = [world.known[rows[b]][s] for b, s in number]
    lines = []
    for b, row in enumerate(rows):
        line = with_regions(chance.choice(world.lines[row]), chance, REGION_PROBABILITY)
        lines.append(Line(line.text, tuple(s for s in line.spans if (b, s.slot) in number)))
    span_owner = torch.tensor([number[b, s.slot] for b, line in enumerate(lines) for s in line.spans]).long()
    span_phrases = [line.text[s.start : s.end] for line in lines for s in line.spans]
    distinct = {text: p for p, text in enumerate(dict.fromkeys(phrases))}

    with torch.autocast("cpu", dtype=torch.bfloat16):
        image_vectors, region_vectors = trainee.see(images, masks)
        line_vectors, span_vectors = trainee.read_lines(lines)
        phrase_vectors = trainee.read(list(distinct))[[distinct[p] for p in phrases]]
    region_vectors = region_vectors[places[:, 0], places[:, 1]]
    scale, region_scale = (s.exp().clamp(max=100) for s in (trainee.model.logit_scale, trainee.region_scale))
    return Losses(
        image_text=contrast(
            scale * image_vectors @ line_vectors.T,
            torch.arange(len(rows)),
            same_text([line.text for line in lines]),
        ),
        region_phrase=contrast(
            region_scale * region_vectors @ phrase_vectors.T,
            torch.arange(len(phrases)),
            true_of(phrases, known, vocabulary) | same_text(phrases),
        ),
        span=contrast(
            region_scale * region_vectors @ span_vectors.T, span_owner, true_of(span_phrases, known, vocabulary)
        ),
    )


def same_text(texts: Sequence[str]) -> Bool[Tensor, "t t"]:
    numbers = torch.tensor(np.unique(np.array(texts), return_inverse=True)[1])
    return numbers[:, None] == numbers


@torch.no_grad()
def validate(trainee: Trainee, world: World) -> dict[str, float]:
    """Percentages: retrieval over the whole split, and how often a region's right word is its best word."""
    trainee.eval()
    images, regions = [], []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for rows in torch.arange(len(world)).split(128):
            i, r = trainee.see(world.images[rows].float(), world.masks[rows].float())
            images.append(i)
            regions.append(r)
        texts = trainee.read([lines[0].text for lines in world.lines])
        nouns = {c: trainee.read([f"a {NOUNS[c][0]}"])[0] for c in NOUNS}
    image_vectors, region_vectors = torch.cat(images), torch.cat(regions)
    rank = lambda logits: (logits > logits.diagonal()[:, None]).sum(1)  # noqa: E731
    to_text, to_image = rank(image_vectors @ texts.T), rank(texts @ image_vectors.T)
    report = {
        "TR@1": (to_text < 1).float().mean(), "TR@5": (to_text < 5).float().mean(),
        "IR@1": (to_image < 1).float().mean(), "IR@5": (to_image < 5).float().mean(),
    }  # fmt: skip
    for kinds, name in ((THINGS, "thing"), (STUFF, "stuff")):
        ids = torch.tensor([k.id for k in kinds])
        chosen = torch.isin(world.categories, ids) & (world.masks.sum((2, 3), dtype=torch.long) > 32)
        best = ids[(region_vectors[chosen] @ torch.stack([nouns[k.id] for k in kinds]).T).argmax(1)]
        report[f"{name} category"] = (best == world.categories[chosen]).float().mean()
    for name, values in ATTRIBUTES.items():
        report[name] = attribute_accuracy(trainee, world, region_vectors, values)
    trainee.train()
    return {key: round(100 * float(value), 1) for key, value in report.items()}


def attribute_accuracy(
    trainee: Trainee, world: World, region_vectors: Float[Tensor, "n s d"], values: Sequence[str]
) -> Tensor:
    """How often a region prefers a phrase that is true of it to the same phrase with another colour (say)."""
    texts: list[str] = []
    places, right = [], []
    for i, per_slot in enumerate(world.phrases[:300]):
        for s, phrases in enumerate(per_slot):
            for phrase in phrases:
                said = [v for v in values if v in words_of(phrase)]
                if len(said) == 1 and words_of(phrase) <= PLAIN_WORDS:
                    texts += [re.sub(rf"\b{said[0]}\b", v, phrase) for v in values]
                    places.append((i, s))
                    right.append(values.index(said[0]))
                    break
    if not places:
        return torch.tensor(float("nan"))
    distinct = {text: p for p, text in enumerate(dict.fromkeys(texts))}
    vectors = trainee.read(list(distinct))[[distinct[t] for t in texts]].view(len(places), len(values), -1)
    i, s = torch.tensor(places).T
    best = (region_vectors[i, s][:, None] * vectors).sum(-1).argmax(1)
    return (best == torch.tensor(right)).float().mean()


def save(model: nn.Module, file: Path) -> None:
    """Matrices in half precision, vectors and statistics in full: half the bytes, the same answers."""
    state = {k: v.half() if v.ndim > 1 else v for k, v in model.state_dict().items()}
    state = {k: v.detach().contiguous().clone() for k, v in state.items()}
    partial = file.with_suffix(".partial")
    save_file(state, partial, metadata={"format": "pt"})
    partial.chmod(0o644)
    partial.replace(file)


def build(folder: Path, texts: set[str]) -> Trainee:
    """A new pair whose vocabulary is the texts'; writes its tokenizer and the vocabulary's size."""
    tokenizer = tiny.word_tokenizer(t for text in texts for t in re.findall(r"\w+|[^\w\s]", text))
    tiny.write_tokenizer(tokenizer, folder)
    file = folder / "open_clip_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["model_cfg"]["text_cfg"]["vocab_size"] = tokenizer.get_vocab_size()
    file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    log(f"{tokenizer.get_vocab_size()} words")
    model = load_open_clip(f"local-dir:{folder}", untrained=True).to(memory_format=torch.channels_last)
    channels = sum(OpenClipVision(model.visual, spec="tiny").channels)
    language = OpenClipLanguage(model, tokenizer=tokenizer, spec="tiny")
    model.requires_grad_(True)  # the adapters freeze what they adapt
    return Trainee(model, language, channels).train()


@dataclass(frozen=True)
class Options:
    out: Path
    images: int
    minutes: float
    batch: int
    rate: float
    seed: int
    processes: int


def average(trainee: Trainee, *more: Tensor) -> list[Tensor]:
    """Average the gradients, and a few more values, over the processes."""
    gradients = [p.grad for p in trainee.parameters() if p.grad is not None]
    flat = torch.cat([t.flatten() for t in (*gradients, *more)])
    dist.all_reduce(flat)
    parts = (flat / dist.get_world_size()).split([t.numel() for t in (*gradients, *more)])
    for gradient, part in zip(gradients, parts, strict=False):
        gradient.copy_(part.view_as(gradient))
    return list(parts[len(gradients) :])


def train(trainee: Trainee, world: World, check: World, options: Options) -> None:
    vocabulary = {w: i for i, w in enumerate(sorted(PLAIN_WORDS))}
    matrices = [p for p in trainee.parameters() if p.ndim > 1]
    vectors = [p for p in trainee.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    first = dist.get_rank() == 0
    chance = random.Random(options.seed + dist.get_rank())
    rows_a_step = options.batch // options.processes
    started = last_check = time.monotonic()
    order: list[int] = []
    step, minutes, running = 0, 0.0, torch.zeros(3)
    while minutes < options.minutes:
        if len(order) < rows_a_step:
            order = chance.sample(range(len(world)), len(world))
        rows, order = order[:rows_a_step], order[rows_a_step:]
        cosine = (1 + math.cos(math.pi * minutes / options.minutes)) / 2
        for group in optimizer.param_groups:
            group["lr"] = options.rate * min(1.0, (step + 1) / 100) * (0.01 + 0.99 * cosine)
        losses = losses_of(trainee, world, rows, chance, vocabulary)
        losses.total.backward()
        parts = torch.stack([losses.image_text, losses.region_phrase, losses.span]).detach()
        # The clocks are averaged too, so that all processes follow one schedule and stop at the same step.
        parts, clock = average(trainee, parts, torch.tensor([(time.monotonic() - started) / 60]))
        minutes = float(clock)
        if not parts.isfinite().all():
            raise FloatingPointError(f"the loss is not finite at step {step}: {parts.tolist()}")
        nn.utils.clip_grad_norm_(trainee.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        running += (parts - running) / min(step, 50)
        if first and step % 50 == 0:
            speed = step * options.batch / (60 * minutes)
            names = ", ".join(f"{n} {v:.3f}" for n, v in zip(Losses.__annotations__, running, strict=True))
            log(f"step {step}, {minutes:.1f} min, {speed:.0f} images/s: {names}")
        if first and time.monotonic() - last_check > 240:
            log(json.dumps(validate(trainee, check)))
            save(trainee.model, options.out / tiny.WEIGHTS)
            last_check = time.monotonic()
    if first:
        save(trainee.model, options.out / tiny.WEIGHTS)
        log(f"{step} steps, {step * options.batch} images")
        log(json.dumps(validate(trainee, check)))


def log(text: str) -> None:
    if dist.get_rank() == 0:
        print(time.strftime("%H:%M:%S", time.gmtime()), text, flush=True)


def work(rank: int, options: Options, meeting: str) -> None:
    """One process: draws its share of the scenes, trains on it, and averages its gradients with the others'."""
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // options.processes))
    torch.manual_seed(options.seed)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=options.processes)
    world = draw_world(seed=f"train {options.seed}", numbers=range(rank, options.images, options.processes))
    check = draw_world(seed="check", numbers=range(500))
    log(f"{options.images} scenes to train on, {len(check)} to check with")
    texts = {line.text for lines in world.lines for line in lines}
    texts |= {phrase for slots in world.phrases for phrases in slots for phrase in phrases}
    gathered: list[set[str]] = [set()] * options.processes
    dist.all_gather_object(gathered, texts)
    trainee = build(options.out, set().union(*gathered))
    train(trainee, world, check, options)
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=tiny.FOLDER, help="folder that holds open_clip_config.json")
    parser.add_argument("--images", type=int, default=32000, help="scenes to train on")
    parser.add_argument("--minutes", type=float, default=28, help="of training, without drawing the scenes")
    parser.add_argument("--batch", type=int, default=128, help="over all processes")
    parser.add_argument("--rate", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2, help="they share the cores: 2 of 1 beat 1 of 2")
    options = Options(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(work, (options, f"{folder}/meeting"), nprocs=options.processes)


if __name__ == "__main__":
    main()
