"""The two projections of a group's output: into the semantic space and into the pixel space."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class MaskMLP(nn.Module):
    """Three linear layers with ReLU between them."""

    def __init__(self, *, width: int, mask_width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, mask_width)])

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n m"]:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class Heads(nn.Module):
    """Projects normalised outputs; embeddings are not of unit length."""

    def __init__(self, *, width: int, semantic_width: int, mask_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.semantic = nn.Linear(width, semantic_width, bias=False)
        self.pixel = MaskMLP(width=width, mask_width=mask_width)


class FoundationResidual(nn.Module):
    """Adds the foundations' own embeddings of whole images and whole sentences to the interface's.

    For foundations that were trained as a pair (CLIP, SigLIP): one projection serves both sides, so their alignment
    survives it. Both terms enter with unit length; the foundation's gain is learned.
    """

    def __init__(self, *, pooled_width: int, semantic_width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(pooled_width, semantic_width, bias=False)
        nn.init.orthogonal_(self.projection.weight)
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, embedding: Float[Tensor, "b n d"], pooled: Float[Tensor, "b v"]) -> Float[Tensor, "b n d"]:
        own = F.normalize(self.projection(pooled), dim=-1)[:, None]
        return F.normalize(embedding, dim=-1) + self.gain * own


def image_from_objects(image: Float[Tensor, "b 1 c"], objects: Float[Tensor, "b n c"]) -> Float[Tensor, "b 1 c"]:
    """The objects' sum, weighted by a softmax of their cosines with the image; no gradient through the weights.

    The published FIND reads the image's embeddings off this sum instead of the image query's own output.
    """
    with torch.no_grad():
        cosine = F.normalize(image, dim=-1) @ F.normalize(objects, dim=-1).mT
        weights = cosine.softmax(dim=-1)
    return weights @ objects
