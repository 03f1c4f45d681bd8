"""What the words between a query's entities say, and where objects lie: the two sides that the pair term compares."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from find.foundations import LanguageEncoder
from find.interface import PairTerm
from find.query.query import RenderedQuery
from find.tasks.structured_interaction import Images, Weights
from find.tasks.text_inputs import read_texts


@dataclass(frozen=True, repr=False)
class Connections:
    """What the texts before, between and after the entities of queries say (`PairTerm.read`), and by which pair term;
    zeros where there is no text."""

    said: Float[Tensor, "q e+1 3 r"]
    pair_term: PairTerm

    @classmethod
    def read(
        cls,
        language: LanguageEncoder,
        pair_term: PairTerm,
        sentences: Sequence[RenderedQuery],
        width: int,
        device: torch.device,
    ) -> Connections:
        """Each distinct text is encoded once and by itself. `width`: of entities, with padding."""
        texts = [sentence.connections for sentence in sentences]
        distinct = list(dict.fromkeys(text for row in texts for text in row if text))
        features = read_texts(language, distinct or [""], device)
        read = pair_term.read(features.tokens, features.padding)
        read = torch.cat([torch.zeros_like(read[:1]), read])
        number = {text: k for k, text in enumerate(distinct, start=1)} | {"": 0}
        places = [[number[text] for text in row] + [0] * (width + 1 - len(row)) for row in texts]
        return cls(read[torch.tensor(places, device=device)], pair_term)

    @classmethod
    def join(cls, parts: Sequence[Connections | None]) -> Connections | None:
        """Rows of several, of equal width and one pair term; None where there is none."""
        if parts[0] is None:
            return None
        return replace(parts[0], said=torch.cat([part.said for part in parts]))

    def to(self, device: torch.device | str) -> Connections:
        """With a pair term there, a copy if it is elsewhere."""
        device = torch.device(device)
        is_there = self.pair_term.balance.device.type == device.type
        term = self.pair_term if is_there else copy.deepcopy(self.pair_term).to(device)
        return Connections(self.said.to(device), term)

    def widened(self, width: int) -> Connections:
        """For rows of so many entities."""
        missing = width + 1 - self.said.shape[1]
        return replace(self, said=torch.nn.functional.pad(self.said, (0, 0, 0, 0, 0, missing)))

    def __getitem__(self, rows: slice | Sequence[int]) -> Connections:
        return replace(self, said=self.said[rows])

    def images(
        self,
        image: Float[Tensor, "g i d"],
        objects: Float[Tensor, "g i n d"],
        boxes: Float[Tensor, "g i n 4"],
        there: Bool[Tensor, "g i n"],
    ) -> Images:
        """Images as `structured_interaction.terms` takes them."""
        term = self.pair_term
        return Images(image, objects, there, term.pairs(objects, boxes), term.places(objects, boxes))

    @property
    def weights(self) -> Weights:
        return Weights(**self.pair_term.weights())


def boxes_of_logits(logits: Float[Tensor, "*b n h w"], extent: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b n 4"]:
    """Boxes of masks: x0, y0, x1, y1 in 0..1 of the image, by where the logits cross zero between two places.

    So they are about as exact as if the masks were drawn at full size. Zeros for an empty mask.

    Args:
        extent: which share of the canvas's width and height the image has, at its left and top.
    """
    height, width = logits.shape[-2:]
    across = (torch.arange(width, device=logits.device) + 0.5) / width < extent[..., :1]
    down = (torch.arange(height, device=logits.device) + 0.5) / height < extent[..., 1:]
    lowest = torch.finfo(logits.dtype).min
    inside = logits.masked_fill(~(across[..., None, None, :] & down[..., None, :, None]), lowest)
    x0, x1 = _span(inside.amax(dim=-2).float(), across.sum(dim=-1)[..., None])
    y0, y1 = _span(inside.amax(dim=-1).float(), down.sum(dim=-1)[..., None])
    return torch.stack([x0, y0, x1, y1], dim=-1)


def _span(profile: Float[Tensor, "*b n s"], count: Float[Tensor, "*b 1"]) -> tuple[Tensor, Tensor]:
    """Where the largest logits of columns or rows are first and last above zero, in 0..1 of the first `count` ones."""
    positive = profile > 0
    number = torch.arange(profile.shape[-1], device=profile.device)
    first = positive.int().argmax(dim=-1)
    last = (positive * number).amax(dim=-1)
    before = _crossing(profile, first, (first - 1).clamp(min=0))
    after = _crossing(profile, last, torch.minimum(last + 1, count - 1))
    some = positive.any(dim=-1)
    start = torch.where(first > 0, first + 0.5 - before, 0.0)
    end = torch.where(last < count - 1, last + 0.5 + after, count.float())
    return some * start / count, some * end / count


def _crossing(profile: Float[Tensor, "*b n s"], inside: Tensor, outside: Tensor) -> Float[Tensor, "*b n"]:
    """How far from the place inside to its neighbour the logits fall to zero, 0..1."""
    one, other = (profile.gather(-1, place[..., None])[..., 0] for place in (inside, outside))
    return (one / (one - other).clamp(min=1e-6)).clamp(0, 1)
