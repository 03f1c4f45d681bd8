"""The tagger: which words of a plain sentence name a thing to be found."""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

OUTSIDE, START, INSIDE = range(3)
"""Labels of a token: no entity's, an entity's first, a later one of the same entity."""
WINDOW = 5
"""Tokens that a label depends on, the token in their middle: an encoder that reads left to right has not seen what
comes next, and "in" belongs to an entity in "a person in red" and to none in "a bird in the sky"."""


class EntityTagger(nn.Module):
    """Labels tokens of the language encoder; two linear layers, the second one over neighbouring tokens.

    Args:
        text_width: of the language encoder's tokens.
        width: between the two layers.
    """

    def __init__(self, *, text_width: int, width: int) -> None:
        super().__init__()
        self.read = nn.Linear(text_width, width)
        self.label = nn.Conv1d(width, 3, WINDOW, padding=WINDOW // 2)

    def forward(self, tokens: Float[Tensor, "t l w"], padding: Bool[Tensor, "t l"]) -> Float[Tensor, "t l 3"]:
        """Logits of the labels; what stands in the padding changes no token's."""
        weight = self.read.weight
        hidden = self.read(F.layer_norm(tokens.to(weight.dtype), tokens.shape[-1:])).relu()
        hidden = hidden.masked_fill(padding[..., None], 0)
        return self.label(hidden.transpose(1, 2)).transpose(1, 2)
