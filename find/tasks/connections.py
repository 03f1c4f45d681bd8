"""Embeddings of the words between a query's entities, for structured late interaction with images."""

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
from find.utils.transfer import upload


@dataclass(frozen=True, repr=False)
class Connections:
    """Embeddings by `PairTerm.read` of the texts before, between and after the entities of queries, and the pair term
    that made them; zeros for empty texts."""

    said: Float[Tensor, "q _ 5 r"]
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
        """Encodes each distinct text once, without context. `width`: number of entities, with padding."""
        texts = [sentence.readings for sentence in sentences]
        distinct = list(dict.fromkeys(text for row in texts for text in row if text))
        features = read_texts(language, distinct or [""], device)
        read = pair_term.read(features.tokens, features.padding).float()
        read = torch.cat([torch.zeros_like(read[:1]), read])
        number = {text: k for k, text in enumerate(distinct, start=1)} | {"": 0}
        places = [[number[text] for text in row] + [0] * (width + 1 - len(row)) for row in texts]
        return cls(read[upload(torch.tensor(places), device)], pair_term)

    @classmethod
    def join(cls, parts: Sequence[Connections | None]) -> Connections | None:
        """Concatenates rows of equal width and the same pair term; None if the parts are None (no pair term)."""
        given = [part for part in parts if part is not None]
        return replace(given[0], said=torch.cat([part.said for part in given])) if given else None

    def to(self, device: torch.device | str) -> Connections:
        """On another device, with a copy of the pair term if it is on a different one."""
        device = torch.device(device)
        is_there = self.pair_term.balance.device.type == device.type
        term = self.pair_term if is_there else copy.deepcopy(self.pair_term).to(device)
        return Connections(self.said.to(device), term)

    def widened(self, width: int) -> Connections:
        """Padded to this many entities."""
        missing = width + 1 - self.said.shape[1]
        return replace(self, said=torch.nn.functional.pad(self.said, (0, 0, 0, 0, 0, missing)))

    def __getitem__(self, rows: slice | Sequence[int]) -> Connections:
        return replace(self, said=self.said[rows])

    def images(
        self,
        image: Float[Tensor, "*g i d"],
        objects: Float[Tensor, "*g i n d"],
        boxes: Float[Tensor, "*g i n 4"],
        there: Bool[Tensor, "*g i n"],
    ) -> Images:
        """Images as `structured_interaction.terms` takes them."""
        term = self.pair_term
        seen = objects.to(term.look.weight.dtype), boxes.to(term.look.weight.dtype)
        return Images(image, objects, there, term.pairs(*seen).to(image.dtype), term.places(*seen).to(image.dtype))

    @property
    def weights(self) -> Weights:
        return Weights(**{name: weight.float() for name, weight in self.pair_term.weights().items()})
