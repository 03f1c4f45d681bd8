"""The loss of the match head: which objects match an entity, and whether the image shows it at all.

Labels come from the segments' categories. An entity is compared with the objects of its own image and of another image
of the batch. Objects that show the entity's segments match. Other segments of the same category may fit the entity's
words as well ("a dog", one of three), so they are ignored. Objects of other categories do not match. No gradient flows
into the embeddings. `scripts/train_match.py` also learns from scenes in which all attributes are known.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from find.interface import MatchHead
from find.tasks.losses import masked_mean

SAME = 0.5
"""Objects whose IoU with a segment is at least this show it."""
HALF = 0.4
"""Objects whose IoU with a fitting segment is between this and SAME are ignored."""
KNOWN = 0.5
"""Objects with a smaller share of their area on labelled segments are ignored: they may show a crowd, for example."""
OBJECTS = 3.0
"""Weight of the object term of the loss; the presence term has weight 1."""


@dataclass(frozen=True)
class Matches:
    """Labels for each pair of an entity and an object, in the entity's own image and in another one.

    Attributes:
        is_match: which objects of its own image match the entity.
        counts: for which objects of its own image this is known.
        counts_elsewhere: which objects of the other image are known not to match.
        is_elsewhere: whether the entity's category is in the other image, so that its presence there is unknown.
        means_one: whether the entity has a segment in its own image; all others are ignored.
    """

    is_match: Bool[Tensor, "b e n"]
    counts: Bool[Tensor, "b e n"]
    counts_elsewhere: Bool[Tensor, "b e n"]
    is_elsewhere: Bool[Tensor, "b e"]
    means_one: Bool[Tensor, "b e"]

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        masks: Float[Tensor, "b n p"],
        segments: Float[Tensor, "b s p"],
        labels: Int64[Tensor, "b s"],
        meant: Bool[Tensor, "b e s"],
    ) -> Matches:
        """
        Args:
            masks: logits of the objects' masks, at the same points as `segments`.
            segments: coverage of each point by each segment.
            labels: category of each segment; -1 for padding.
            meant: the segments of each entity.
        """
        overlap, known = _overlaps(masks, segments)
        there = labels >= 0
        same_category = (labels[:, :, None] == labels[:, None]) & there[:, None] & there[:, :, None]
        may_fit = _any(meant[..., None] & same_category[:, None])
        shown = overlap.mT[:, None]  # segments, then objects
        is_match = _any(meant[..., None] & (shown >= SAME))
        counts = is_match | (known[:, None] & ~_any(may_fit[..., None] & (shown >= HALF)))
        alike = (labels[:, :, None] == labels.roll(-1, 0)[:, None]) & there[..., None]
        is_elsewhere = _any(meant[..., None] & alike[:, None]).any(dim=-1)
        elsewhere = known.roll(-1, 0)[:, None] & ~is_elsewhere[..., None]
        return cls(is_match, counts, elsewhere, is_elsewhere, meant.any(dim=-1))

    def loss(
        self,
        head: MatchHead,
        entities: Float[Tensor, "b e d"],
        objects: Float[Tensor, "b n d"],
        numbers: Float[Tensor, "b n 5"],
    ) -> Float[Tensor, ""]:
        """The sum of the binary cross entropies of the objects and of presence.

        Args:
            entities, objects: unit vectors.
            numbers: result of `object_numbers` for the objects.
        """
        entities, objects, numbers = entities.detach(), objects.detach(), numbers.detach()
        here = head(entities, objects, numbers)
        elsewhere = head(entities, objects.roll(-1, 0), numbers.roll(-1, 0))
        asked = self.means_one[..., None]
        of_objects = masked_mean(
            torch.cat([_cross_entropy(here, self.is_match), _cross_entropy(elsewhere, False)]),
            torch.cat([asked & self.counts, asked & self.counts_elsewhere]),
        )
        present = [head.presence(logits.amax(dim=-1)) for logits in (here, elsewhere)]
        of_presence = masked_mean(
            torch.cat([_cross_entropy(present[0], True), _cross_entropy(present[1], False)]),
            torch.cat([self.means_one, self.means_one & ~self.is_elsewhere]),
        )
        return OBJECTS * of_objects + of_presence


def _any(x: Bool[Tensor, "b e s n"]) -> Bool[Tensor, "b e n"]:
    return x.any(dim=2)


def _overlaps(
    masks: Float[Tensor, "b n p"], segments: Float[Tensor, "b s p"]
) -> tuple[Float[Tensor, "b n s"], Bool[Tensor, "b n"]]:
    """IoU of each object with each segment, and which objects are mostly on labelled segments."""
    inside = (masks > 0).to(segments.dtype)
    area = inside.sum(dim=-1)
    common = inside @ segments.mT
    union = area[..., None] + segments.sum(dim=-1)[:, None] - common
    return common / union.clamp(min=1e-6), common.sum(dim=-1) >= KNOWN * area


def _cross_entropy(logits: Float[Tensor, "*b"], target: Bool[Tensor, "*b"] | bool) -> Float[Tensor, "*b"]:
    wanted = target.to(logits.dtype) if isinstance(target, Tensor) else torch.full_like(logits, float(target))
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
