"""The match head: the probability that an object matches an entity, and that any object of the image does.

Cosines rank objects, but their scale differs from phrase to phrase, so no threshold on them decides presence. The match
head is a small perceptron on both vectors, their product, and the object's size and mask confidence.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

NUMBERS = 5
"""What `object_numbers` gives of an object."""


class MatchHead(nn.Module):
    """Logits of matches; `presence` turns an image's largest one into the logit that the thing is present.

    Args:
        semantic_width: of the vectors; shorter ones are their first values (Matryoshka).
        width: of the hidden layer.
    """

    def __init__(self, *, semantic_width: int, width: int = 64) -> None:
        super().__init__()
        self.entity = nn.Linear(semantic_width, width)
        self.object = nn.Linear(semantic_width, width, bias=False)
        self.product = nn.Linear(semantic_width, width, bias=False)
        self.numbers = nn.Linear(NUMBERS, width, bias=False)
        self.out = nn.Linear(width, 1)
        # Initialised to a logistic function of the cosine, which already ranks well.
        self.cosine = nn.Parameter(torch.tensor(20.0))
        nn.init.constant_(self.out.bias, -10.0)
        nn.init.zeros_(self.out.weight)
        self.presence_gain = nn.Parameter(torch.tensor(1.0))
        self.presence_bias = nn.Parameter(torch.tensor(0.0))

    def forward(
        self, entities: Float[Tensor, "*b e d"], objects: Float[Tensor, "*b n d"], numbers: Float[Tensor, "*b n 5"]
    ) -> Float[Tensor, "*b e n"]:
        """Of each entity with each object.

        Args:
            entities, objects: unit vectors; for several examples of one thing, an entity is their mean.
            numbers: of the objects, by `object_numbers`.
        """
        width = entities.shape[-1]
        size = width**0.5  # values of unit vectors are small
        entities, objects = entities * size, objects * size
        first, second, product = (layer.weight[:, :width] for layer in (self.entity, self.object, self.product))
        of_object = F.linear(objects, second) + self.numbers(numbers)
        both = F.linear(entities[..., :, None, :] * objects[..., None, :, :], product)
        hidden = F.linear(entities, first, self.entity.bias)[..., :, None, :] + of_object[..., None, :, :] + both
        cosines = torch.einsum("...ed,...nd->...en", entities, objects) / width
        return self.out(hidden.relu())[..., 0] + self.cosine * cosines

    def presence(self, logits: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Calibrates an image's largest logit: a maximum over many objects is more often large by chance than a single
        logit."""
        return self.presence_gain * logits + self.presence_bias


def object_numbers(boxes: Float[Tensor, "*b n 4"], scores: Float[Tensor, "*b n"]) -> Float[Tensor, "*b n 5"]:
    """Sides, area and its root of each box (x0, y0, x1, y1 in 0..1), and the confidence of the object's mask."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    area = sides.prod(dim=-1, keepdim=True)
    return torch.cat([sides, area, area.clamp(min=1e-6).sqrt(), scores[..., None]], dim=-1)
