"""Generic segmentation: object proposals matched with class queries give panoptic, instance and semantic masks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from find.interface import Group, Interface, Member, Prompt, Prototype, Start
from find.tasks.losses import SegmentationLosses, binary_cross_entropy, dice, masked_mean
from find.tasks.mask_resizing import IdentityResizer, MaskResizer
from find.tasks.prompted import gather_rows
from find.utils.transfer import to_host, to_host_together, upload

PROTOTYPE = Prototype(
    (
        Member(Group.OBJECT, Start.OBJECT_QUERIES, content=Group.PIXELS, masked=True, condition=(Group.OBJECT,)),
        Member(Group.IMAGE, Start.IMAGE_QUERY, content=Group.PIXELS, condition=(Group.IMAGE,)),
    )
)
BACKGROUND_WEIGHT = 0.1
"""Weight of unmatched proposals in the class loss (DETR)."""


def prompt() -> Prompt:
    """Object proposals and the image query; needs only the image."""
    return Prompt(PROTOTYPE)


def class_logits(
    interface: Interface, objects: Float[Tensor, "b n d"], classes: Float[Tensor, "k d"]
) -> Float[Tensor, "b n k1"]:
    """Similarity of each object with each class embedding; the last column is the background."""
    bank = torch.cat([classes, interface.background[None].to(classes.dtype)])
    return interface.similarity(objects, bank[None].expand(len(objects), -1, -1), limit=interface.class_scale_limit)


def class_cost(logits: Float[Tensor, "b n k1"], labels: Int[Tensor, "b s"]) -> Float[Tensor, "b n s"]:
    """Minus the probability of each target's class (labels of padding may be anything)."""
    wanted = labels.clamp(min=0)[:, None].expand(-1, logits.shape[1], -1)
    return -logits.softmax(dim=-1).gather(2, wanted)


def class_cross_entropy(
    logits: Float[Tensor, "b n k1"], labels: Int[Tensor, "b s"], assigned: Int[Tensor, "b s"]
) -> Float[Tensor, ""]:
    """Over all proposals: assigned ones have their target's class, the others are background, with a smaller weight."""
    background = logits.shape[-1] - 1
    valid = labels >= 0
    proposals = logits.shape[1]
    # Padding's labels go to an extra proposal: selecting the others would synchronise with the GPU.
    wanted = torch.full((len(labels), proposals + 1), background, device=logits.device)
    wanted = wanted.scatter(1, assigned.where(valid, proposals), labels)[:, :-1]
    weight = logits.new_ones(background + 1)
    weight[background] = BACKGROUND_WEIGHT
    return F.cross_entropy(logits.transpose(1, 2), wanted, weight=weight)


def class_weights(labels: Int[Tensor, "b s"], proposals: int) -> Float[Tensor, ""]:
    """The denominator of `class_cross_entropy`: the sum of all proposals' weights."""
    assigned = (labels >= 0).sum()
    return assigned + BACKGROUND_WEIGHT * (len(labels) * proposals - assigned)


def losses(
    logits: Float[Tensor, "b n k1"],
    pixel: Float[Tensor, "b n m"],
    features: Float[Tensor, "b m p"],
    targets: Float[Tensor, "b s p"],
    labels: Int[Tensor, "b s"],
    assigned: Int[Tensor, "b s"],
    blank: Int[Tensor, " b"] | None = None,
) -> SegmentationLosses:
    """Class loss over all proposals, mask losses over matched pairs (only their masks are computed); label -1 is
    padding.

    `blank` as in `MaskPoints`.
    """
    valid = labels >= 0
    blank = None if blank is None else blank[:, None]
    chosen = gather_rows(pixel, assigned) @ features
    return SegmentationLosses(
        ce=class_cross_entropy(logits, labels, assigned),
        bce=masked_mean(binary_cross_entropy(chosen, targets, blank), valid),
        dice=masked_mean(dice(chosen, targets, blank), valid),
    )


def mask_confidence(masks: Float[Tensor, "... h w"]) -> Float[Tensor, "..."]:
    """The confidence of each proposal's mask: its mean probability inside the mask."""
    inside = masks > 0
    weights = masks.sigmoid() * inside.to(masks.dtype)  # faster than by bools, as are counts in 32 bits
    return weights.sum((-2, -1)) / inside.sum((-2, -1), dtype=torch.int32).clamp(min=1)


@dataclass(frozen=True)
class PanopticSettings:
    """When a proposal becomes a segment (Mask2Former's inference).

    Args:
        score: least class probability.
        overlap: minimum share of its mask that remains after overlaps with other proposals.
    """

    score: float = 0.8
    overlap: float = 0.8


@dataclass(frozen=True)
class PanopticSegments:
    """A panoptic prediction: the segment of each pixel (0: none, k: segment k - 1), and each segment's label and
    score."""

    segment_map: Int[Tensor, "H W"]
    labels: list[int]
    scores: list[float]


def panoptic(
    logits: Float[Tensor, "n k1"],
    masks: Float[Tensor, "n h w"],
    is_thing: Bool[Tensor, " k"],
    settings: PanopticSettings,
    *,
    drawing: MaskResizer | None = None,
) -> PanopticSegments:
    """Merges one image's proposals into a panoptic map, on the host.

    Each pixel goes to the remaining proposal with the largest score x mask probability; a proposal that keeps too
    little of its mask is dropped; stuff of one class becomes one segment.

    Args:
        drawing: resizes masks to the picture's size; None if they have it.
    """
    drawing = drawing or IdentityResizer(*masks.shape[-2:])
    return next(panoptic_of_batch(logits[None], [masks], is_thing, settings, [drawing]))


def panoptic_of_batch(
    logits: Float[Tensor, "b n k1"],
    masks: Iterable[Float[Tensor, "n h w"]],
    is_thing: Bool[Tensor, " k"],
    settings: PanopticSettings,
    drawings: Iterable[MaskResizer],
) -> Iterator[PanopticSegments]:
    """`panoptic` of each image; two GPU synchronisations in all."""
    score, label = logits.softmax(dim=-1).max(dim=-1)
    scores, labels, things = to_host([score, label, is_thing])
    keep = [row.nonzero()[:, 0] for row in (labels < logits.shape[-1] - 1) & (scores > settings.score)]
    sure = zip(score, masks, map(partial(upload, device=logits.device), keep), drawings, strict=True)
    drawn = (_owners(own[kept], mask[kept], drawing) for own, mask, kept, drawing in sure)
    for row, kept, (owner, own, won) in zip(range(len(keep)), keep, to_host_together(drawn), strict=True):
        categories, values = labels[row, kept].tolist(), scores[row, kept].tolist()
        yield _segments(owner, own, won, categories, values, things, settings)


def _owners(score: Float[Tensor, " n"], masks: Float[Tensor, "n h w"], drawing: MaskResizer) -> list[Tensor]:
    """The proposal that each pixel goes to (n: none), and how many pixels each proposal's mask has and keeps."""
    nobody = len(score)
    owner = torch.full((drawing.height, drawing.width), nobody, dtype=torch.int32, device=masks.device)
    own_area, won_area = torch.zeros(2, nobody, dtype=torch.long, device=masks.device)
    if nobody == 0:
        return [owner, own_area, won_area]
    for columns, strip in drawing.strips(masks):
        probability = strip.sigmoid()
        own = probability >= 0.5
        winner = (score[:, None, None] * probability).max(dim=0).indices
        own_area += own.sum((1, 2))
        won_area.scatter_add_(0, winner.flatten(), won_area.new_ones(()).expand(winner.numel()))  # bincount would wait
        owner[:, columns] = winner.where(own.gather(0, winner[None])[0], nobody)
    return [owner, own_area, won_area]


def _segments(
    owner: Int[Tensor, "H W"],
    own_area: Int[Tensor, " n"],
    won_area: Int[Tensor, " n"],
    categories: Sequence[int],
    values: Sequence[float],
    is_thing: Bool[Tensor, " k"],
    settings: PanopticSettings,
) -> PanopticSegments:
    """Turns the result of `_owners` into segments, without proposals that keep too little; all on the host."""
    nobody = len(own_area)
    final_area = owner.flatten().bincount(minlength=nobody + 1)[:nobody]
    good = (own_area > 0) & (won_area / own_area.clamp(min=1) >= settings.overlap) & (final_area > 0)
    number = torch.zeros(nobody + 1, dtype=torch.int32)  # of each proposal's segment
    labels: list[int] = []
    scores: list[float] = []
    stuff: dict[int, int] = {}
    for k, (is_good, category, value) in enumerate(zip(good.tolist(), categories, values, strict=True)):
        if not is_good:
            continue
        if category in stuff:
            number[k] = stuff[category]
            continue
        labels.append(category)
        scores.append(value)
        number[k] = len(labels)
        if not is_thing[category]:
            stuff[category] = len(labels)
    return PanopticSegments(number[owner], labels, scores)


def semantic(logits: Float[Tensor, "n k1"], masks: Float[Tensor, "n H W"]) -> Float[Tensor, "k H W"]:
    """Each class's evidence at each pixel: sum over proposals of class probability x mask probability."""
    return torch.einsum("nk,nhw->khw", logits.softmax(dim=-1)[:, :-1], masks.sigmoid())


def best_classes(
    logits: Float[Tensor, "n k1"], masks: Float[Tensor, "n h w"], *, drawing: MaskResizer | None = None
) -> Int[Tensor, "H W"]:
    """The class with the most evidence (`semantic`) at each pixel; `drawing` as in `panoptic`."""
    drawing = drawing or IdentityResizer(*masks.shape[-2:])
    best = torch.empty(drawing.height, drawing.width, dtype=torch.long, device=masks.device)
    for columns, strip in drawing.strips(masks):
        best[:, columns] = semantic(logits, strip).max(dim=0).indices  # several times faster than argmax
    return best


MOST_INSTANCES = 100
"""Of an image, as COCO counts."""


def only_best_pairs(logits: Float[Tensor, "*b n k1"], *, limit: int = MOST_INSTANCES) -> Float[Tensor, "*b n k1"]:
    """Logits that keep the probabilities of an image's best (proposal, class) pairs, things and stuff; others get 0.

    The background gets the rest. With it, `instances` selects the best pairs among things and stuff, as the published
    FIND and Mask2Former do: an image with confident stuff then has fewer instances.
    """
    probability = logits.softmax(dim=-1)[..., :-1]
    flat = probability.flatten(-2)
    best = torch.zeros_like(flat, dtype=torch.bool).scatter(-1, flat.topk(min(limit, flat.shape[-1])).indices, True)
    kept = probability.where(best.view_as(probability), 0)
    background = (1 - kept.sum(dim=-1, keepdim=True)).clamp(min=0)
    return torch.cat([kept, background], dim=-1).log()


@dataclass(frozen=True)
class Instances:
    """Scored instance masks of one image, best first."""

    masks: Bool[Tensor, "i H W"]
    labels: Int[Tensor, " i"]
    scores: Float[Tensor, " i"]


def instances(
    logits: Float[Tensor, "n k1"],
    masks: Float[Tensor, "n h w"],
    is_thing: Bool[Tensor, " k"],
    *,
    limit: int = MOST_INSTANCES,
    drawing: MaskResizer | None = None,
) -> Instances:
    """The best (proposal, thing class) pairs; score = class probability x mean mask probability inside the mask.

    Only masks in these pairs are computed; `drawing` as in `panoptic`. The result is on the host.
    """
    drawing = drawing or IdentityResizer(*masks.shape[-2:])
    return next(instances_of_batch(logits[None], [masks], is_thing, [drawing], limit=limit))


def instances_of_batch(
    logits: Float[Tensor, "b n k1"],
    masks: Iterable[Float[Tensor, "n h w"]],
    is_thing: Bool[Tensor, " k"],
    drawings: Sequence[MaskResizer],
    *,
    limit: int = MOST_INSTANCES,
) -> Iterator[Instances]:
    """`instances` of each image; two GPU synchronisations in all (more where masks fill gigabytes)."""
    probability = logits.softmax(dim=-1)[..., :-1] * upload(is_thing, logits.device)
    classes = probability.shape[-1]
    best = probability.flatten(1).topk(min(limit, probability[0].numel()))
    pairs = []
    for scores, place in zip(*to_host(best), strict=True):
        kept = scores > 0
        proposals, proposal = (place[kept] // classes).unique(return_inverse=True)
        pairs.append((scores[kept], place[kept] % classes, proposals, proposal))
    drawn = (
        _insides(mask[upload(proposals, mask.device)], drawing)
        for mask, (_, _, proposals, _), drawing in zip(masks, pairs, drawings, strict=True)
    )
    for (scores, label, _, proposal), found, drawing in zip(pairs, to_host_together(drawn), drawings, strict=True):
        confidence = found.pop()
        scores = scores * confidence[proposal]
        order = scores.argsort(descending=True)
        order = order[scores[order] > 0]
        together = torch.empty(len(order), drawing.height, drawing.width, dtype=torch.bool)
        for k in range(len(found) - 1, -1, -1):
            together[proposal[order] == k] = found.pop()  # each goes as its copies come
        yield Instances(together, label[order], scores[order])


def _insides(masks: Float[Tensor, "n h w"], drawing: MaskResizer) -> list[Tensor]:
    """Where each mask is positive, and at the end the confidence of all of them."""
    inside: list[Tensor] = []
    confidence = []
    for part in drawing.parts(masks):
        inside.extend(part > 0)
        confidence.append(mask_confidence(part))
    return [*inside, torch.cat(confidence)]
