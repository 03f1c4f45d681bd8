"""The pair term: how well words between two entities fit two objects, and words beside one entity fit its position.

Words are the language encoder's tokens of the connection alone, so that nothing of the neighbouring entities leaks into
them; objects are their boxes and a few learned features of their vectors (occlusion needs more than boxes). Boxes are
x0, y0, x1, y1 in 0..1 of the image, as an album keeps them.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

BOX, PAIR = 7, 17
"""Numbers that `box_numbers` and `pair_numbers` give."""
SMALLEST = 0.02
"""Sides of boxes are taken for no shorter than this."""
PUBLISHED_TOTAL = 1.5
"""The published score weighs the sentence with 1 and the entities with 0.5; the learned weights share as much."""


class PairTerm(nn.Module):
    """Scores of connections with pairs of objects, and of words with positions; each is a scalar product of a text
    embedding and an embedding of the objects.

    Args:
        text_width: of the language encoder's tokens.
        semantic_width: of object vectors; shorter ones are their first values (Matryoshka).
        width: of the products.
        numbers: count of features read from each object's vector.
    """

    def __init__(self, *, text_width: int, semantic_width: int, width: int = 64, numbers: int = 32) -> None:
        super().__init__()
        self.words = nn.Sequential(nn.Linear(text_width, 2 * width), nn.ReLU(), nn.Linear(2 * width, 5 * width))
        self.look = nn.Linear(semantic_width, numbers)
        self.first = nn.Linear(numbers + BOX, width)
        self.second = nn.Linear(numbers + BOX, width, bias=False)
        self.between = nn.Linear(PAIR, width, bias=False)
        self.pair_layer = nn.Linear(width, width)
        self.place = nn.Sequential(nn.Linear(numbers + BOX, width), nn.ReLU(), nn.Linear(width, width))
        self.balance = nn.Parameter(torch.tensor(1.5))  # of entities against the sentence
        self.link_weight = nn.Parameter(torch.tensor(0.5))
        self.place_weight = nn.Parameter(torch.tensor(-2.0))

    def weights(self) -> dict[str, Float[Tensor, ""]]:
        """Weights of the score's terms: sentence, entity, link, place."""
        entity = self.balance.sigmoid()
        return {
            "sentence": PUBLISHED_TOTAL * (1 - entity),
            "entity": PUBLISHED_TOTAL * entity,
            "link": F.softplus(self.link_weight),
            "place": F.softplus(self.place_weight),
        }

    def read(self, tokens: Float[Tensor, "t l w"], padding: Bool[Tensor, "t l"]) -> Float[Tensor, "t 5 r"]:
        """Embeddings of each text for the pair beside it, the entity after it and the entity before it; and two vectors
        whose products decide whether the next text refers to the entity before this one."""
        kept = (~padding).to(tokens.dtype)[..., None]
        count = kept.sum(dim=1)
        mean = (tokens * kept).sum(dim=1) / count.clamp(min=1)
        mean = F.layer_norm(mean.to(self.look.weight.dtype), mean.shape[-1:])
        said = (self.words(mean) * (count > 0)).unflatten(-1, (5, -1))
        fits, reach = said.split([3, 2], dim=1)
        # Small initial values, because tanh has no gradient where it saturates.
        return torch.cat([fits / said.shape[-1] ** 0.5, reach], dim=1)

    def pairs(self, objects: Float[Tensor, "*b n d"], boxes: Float[Tensor, "*b n 4"]) -> Float[Tensor, "*b n n r"]:
        """Embeddings of ordered pairs of objects; the first index is the object before the connection."""
        seen = self._seen(objects, boxes)
        hidden = self.first(seen)[..., :, None, :] + self.second(seen)[..., None, :, :]
        # In place: of so many pairs, a search spends as long on fresh memory as on products.
        hidden = hidden.add_(self.between(pair_numbers(boxes))).relu_()
        return self.pair_layer(hidden).relu_()

    def places(self, objects: Float[Tensor, "*b n d"], boxes: Float[Tensor, "*b n 4"]) -> Float[Tensor, "*b n r"]:
        """Embeddings of each object's position and size."""
        return self.place(self._seen(objects, boxes))

    def _seen(self, objects: Float[Tensor, "*b n d"], boxes: Float[Tensor, "*b n 4"]) -> Float[Tensor, "*b n s"]:
        look = F.linear(objects, self.look.weight[:, : objects.shape[-1]], self.look.bias)
        return torch.cat([look, box_numbers(boxes)], dim=-1)


def box_numbers(boxes: Float[Tensor, "*b n 4"]) -> Float[Tensor, "*b n s"]:
    """Edges, sides and area of each box."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return torch.cat([boxes, sides, sides.prod(dim=-1, keepdim=True)], dim=-1)


def pair_numbers(boxes: Float[Tensor, "*b n 4"]) -> Float[Tensor, "*b n n s"]:
    """Signed geometry of each pair of boxes: offsets, distances of edges, shared columns and rows, ratios of sides."""
    a, b = boxes[..., :, None, :], boxes[..., None, :, :]
    a, b = torch.broadcast_tensors(a, b)
    sides_a, sides_b = ((x[..., 2:] - x[..., :2]).clamp(min=SMALLEST) for x in (a, b))
    offset = (a[..., 2:] + a[..., :2] - b[..., 2:] - b[..., :2]) / 2
    shared = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    common = shared.clamp(min=0).prod(dim=-1, keepdim=True)
    both = (sides_a.prod(dim=-1) + sides_b.prod(dim=-1))[..., None] - common
    return torch.cat(
        [
            4 * offset,
            4 * offset.abs(),
            offset / (sides_a + sides_b),
            4 * shared,
            shared / torch.minimum(sides_a, sides_b),
            (sides_a / sides_b).log(),
            a - b,
            common / both,
        ],
        dim=-1,
    )
