"""The two projections of a group's output: into the semantic space and into the pixel space."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from find.interface.types import AlignedMap


class MaskMLP(nn.Module):
    """Three linear layers with ReLU between them."""

    def __init__(self, *, width: int, mask_width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, mask_width)])

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b m"]:
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
    """Adds the foundations' own embeddings to the interface's.

    For foundations that were trained as a pair (CLIP, SigLIP): one projection serves both sides, so their alignment
    survives it. It serves whole images and sentences, and also, where the vision encoder places its features in the
    space of texts (as in MaskCLIP and FC-CLIP), proposals, regions and phrases: what the pair can name, the interface
    need not learn, nor forget. Both terms enter with unit length; the foundation's gain is learned.
    """

    def __init__(self, *, pooled_width: int, semantic_width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(pooled_width, semantic_width, bias=False)
        nn.init.orthogonal_(self.projection.weight)
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, embedding: Float[Tensor, "b n d"], own: Float[Tensor, "b _ v"]) -> Float[Tensor, "b _ d"]:
        """`own`: the foundation's embeddings; zeros add nothing."""
        # In float32: the smallest length by which normalize divides is zero in float16, and its inverse, by which the
        # gradient of zeros is multiplied, infinite; zeros and their gradients became NaN.
        with torch.autocast(embedding.device.type, enabled=False):
            projected = self.projection(own.to(self.projection.weight.dtype))
            return F.normalize(embedding.float(), dim=-1) + self.gain * F.normalize(projected.float(), dim=-1)


def mean_inside(pixel: Float[Tensor, "b n m"], aligned: AlignedMap) -> Float[Tensor, "b n v"]:
    """The mean of the aligned features inside each proposal's mask, weighted by the mask's probability.

    An empty mask's mean is taken over the whole map. No gradient flows into the masks.
    """
    with torch.no_grad():
        logits = pixel @ aligned.mask_features
        inside = logits > 0
        weights = logits.sigmoid() * (inside | ~inside.any(dim=-1, keepdim=True))
        if aligned.visible is not None:
            weights = weights * aligned.visible[:, None]
        weights = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-6)
        return weights.to(aligned.values.dtype) @ aligned.values


def image_from_objects(image: Float[Tensor, "b 1 c"], objects: Float[Tensor, "b n c"]) -> Float[Tensor, "b 1 c"]:
    """The objects' sum, weighted by a softmax of their cosines with the image; no gradient through the weights.

    The published FIND reads the image's embeddings off this sum instead of the image query's own output.
    """
    with torch.no_grad():
        cosine = F.normalize(image, dim=-1) @ F.normalize(objects, dim=-1).mT
        weights = cosine.softmax(dim=-1)
    return weights @ objects
