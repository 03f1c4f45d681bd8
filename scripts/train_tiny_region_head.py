"""Train the head that reads the tiny pair's text space off its image tower's maps; the pair itself stays frozen.

    python scripts/train_tiny_region_head.py --images 12000 --minutes 6

A region is the mean of the head's output inside its mask; it is contrasted with the phrases that name it (RegionCLIP).
The weights lie beside the pair's, where `find.foundations.tiny` finds them. To be run after `train_tiny_pair.py`.
"""

from __future__ import annotations

import argparse
import math
import random
import time

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import save_file
from tiny_pair_world import NOUNS, PLAIN_WORDS, STRIDE, World, draw_world, jitter
from torch import Tensor, nn
from train_tiny_pair import contrast, same_text, true_of

from find.foundations import EncoderSpec, tiny
from find.foundations.open_clip import load_open_clip_vision
from find.world.kinds import STUFF, THINGS

LIMIT = 2 * STRIDE**2  # a region has more pixels: at least two whole cells


class Trainee(nn.Module):
    """The frozen pair and its head."""

    def __init__(self) -> None:
        super().__init__()
        self.vision = load_open_clip_vision(
            EncoderSpec.parse(f"open_clip:local-dir:{tiny.FOLDER}"), dtype=torch.bfloat16
        )
        self.language = tiny.tiny_language()
        self.head = tiny.RegionHead(channels=self.vision.channels, width=self.language.pooled_dim)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def see(self, images: Float[Tensor, "b 3 h w"], masks: Float[Tensor, "b s g g"]) -> Float[Tensor, "b s d"]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            aligned = self.head(self.vision(images).maps).float()
        weights = F.adaptive_avg_pool2d(masks, aligned.shape[-2:]).flatten(2)
        return F.normalize(weights @ aligned.flatten(2).transpose(1, 2), dim=-1)

    def read(self, texts: list[str]) -> Float[Tensor, "t d"]:
        return F.normalize(self.language(self.language.tokenize(texts)).pooled, dim=-1)


def loss_of(trainee: Trainee, world: World, rows: list[int], chance: random.Random) -> Float[Tensor, ""]:
    images, masks = jitter(world.images[rows], world.masks[rows], chance)
    places = (masks.sum((2, 3)) > LIMIT).nonzero()
    slots = [(rows[b], s) for b, s in places.tolist()]
    phrases = [chance.choice(world.phrases[row][slot]) for row, slot in slots]
    known = [world.known[row][slot] for row, slot in slots]
    regions = trainee.see(images, masks)[places[:, 0], places[:, 1]]
    distinct = {text: number for number, text in enumerate(dict.fromkeys(phrases))}
    texts = trainee.read(list(distinct))[[distinct[phrase] for phrase in phrases]]
    vocabulary = {word: number for number, word in enumerate(sorted(PLAIN_WORDS))}
    also_true = true_of(phrases, known, vocabulary) | same_text(phrases)
    return contrast(trainee.scale.exp().clamp(max=100) * regions @ texts.T, torch.arange(len(phrases)), also_true)


@torch.no_grad()
def category_accuracy(trainee: Trainee, world: World) -> dict[str, float]:
    """How often a region's own noun is its best one, in percent."""
    regions = torch.cat([
        trainee.see(world.images[rows].float(), world.masks[rows].float())
        for rows in torch.arange(len(world)).split(128)
    ])  # fmt: skip
    report = {}
    for name, kinds in (("things", THINGS), ("stuff", STUFF)):
        ids = torch.tensor([kind.id for kind in kinds])
        texts = trainee.read([f"a {NOUNS[kind.id][0]}" for kind in kinds])
        chosen = torch.isin(world.categories, ids) & (world.masks.sum((2, 3), dtype=torch.long) > LIMIT)
        right = ids[(regions[chosen] @ texts.T).argmax(1)] == world.categories[chosen]
        report[name] = round(100 * right.float().mean().item(), 1)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12000, help="scenes to train on")
    parser.add_argument("--minutes", type=float, default=6, help="of training, without drawing the scenes")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    chance = random.Random(options.seed)
    world = draw_world(seed=f"head {options.seed}", numbers=range(options.images))
    check = draw_world(seed="check", numbers=range(500))
    trainee = Trainee()
    learned = [*trainee.head.parameters(), trainee.scale]
    optimizer = torch.optim.AdamW(learned, weight_decay=0.01)
    started, step, done = time.monotonic(), 0, 0.0
    while done < 1:
        rate = options.rate * min(1.0, (step + 1) / 50) * (1 + math.cos(math.pi * done)) / 2
        optimizer.param_groups[0]["lr"] = rate
        loss = loss_of(trainee, world, chance.sample(range(len(world)), options.batch), chance)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        done = (time.monotonic() - started) / (60 * options.minutes)
        if step % 50 == 0:
            print(f"step {step}, {100 * done:.0f} %: loss {loss.item():.3f}", flush=True)
        if step % 400 == 0:
            print(category_accuracy(trainee, check), flush=True)
    print(step, "steps", category_accuracy(trainee, check), flush=True)
    file = tiny.FOLDER / tiny.HEAD_WEIGHTS
    state = {name: value.detach().half().contiguous() for name, value in trainee.head.state_dict().items()}
    save_file(state, file, metadata={"format": "pt"})
    file.chmod(0o644)


if __name__ == "__main__":
    main()
