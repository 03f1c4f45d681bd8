"""Results of the protocols: a record of every answer, the figures computed from them, and their names in JSON.

Figures in JSON are in percent or clicks (`find.evaluation.protocol.Result`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Generic, TypeVar

from find.data.strokes import StrokeKind
from find.errors import DataError
from find.evaluation.clicks import GOOD, VERY_GOOD, click_intervals, clicks_needed, iou_after
from find.evaluation.confidence import Intervals
from find.evaluation.curves import Chart, Curve, iou_curve, recall_curve
from find.evaluation.mask_ap import InstanceScores
from find.evaluation.metrics import MaskScores, Overlaps
from find.evaluation.panoptic_quality import PanopticScores, Quality, SegmentMatches, quality_intervals
from find.evaluation.protocol import Figures, Metric, Result
from find.evaluation.ranking import Ranks, RecallScores
from find.evaluation.semantic import SemanticCounts, miou_interval

T = TypeVar("T")
MASK_METRICS = (Metric("cIoU"), Metric("mIoU"), Metric("P@0.5"))
IMAGE_METRICS = (Metric("IR@1"), Metric("IR@5"), Metric("IR@10"))


class MissingAnnotations(DataError):
    """The folder lacks annotations that a protocol needs, so the task cannot be evaluated on it."""


@dataclass(frozen=True)
class Divided(Generic[T]):
    """A figure over all answers, and over seen and held-out combinations if the data set distinguishes them."""

    all: T
    seen: T | None = None
    held_out: T | None = None


def divide_masks(overlaps: Overlaps) -> Divided[MaskScores]:
    """Scores of masks (at least one), with separate figures if some are held out."""
    apart = overlaps.where(lambda record: record.held_out)
    seen = overlaps.where(lambda record: not record.held_out).scores if len(apart) else None
    return Divided(all=overlaps.scores, seen=seen, held_out=apart.scores)


def divide_ranks(ranks: Ranks) -> Divided[RecallScores]:
    """Recall of queries (at least one), with separate figures if some are held out."""
    if not ranks.held_out.any():
        return Divided(all=ranks.scores)
    return Divided(
        all=ranks.scores, seen=ranks.where(~ranks.held_out).scores, held_out=ranks.where(ranks.held_out).scores
    )


@dataclass(frozen=True)
class GenericImage:
    """The tallies of one image for generic segmentation; a part is None if the system does not support it."""

    image_id: int
    matches: SegmentMatches | None
    pixels: SemanticCounts | None


@dataclass(frozen=True)
class PanopticResult(Result):
    """Generic segmentation. `segment_quality` is the mean over true segments of the IoU with the matched prediction
    (0 if missed), which unlike PQ is defined for a subset of the segments. Fractions (0 to 1); None: not supported."""

    title: ClassVar[str] = "Panoptic segmentation"
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("PQ"), Metric("mIoU"), Metric("AP"))

    quality: PanopticScores | None
    miou: float | None
    instances: InstanceScores | None
    segment_quality: Divided[float | None]
    class_names: Mapping[int, str]  # by category id
    is_thing: Mapping[int, bool]  # by category id, in the order of the tallies
    images: int
    per_image: Sequence[GenericImage] = field(default=(), repr=False)

    def to_json(self) -> Figures:
        return {
            "PQ": percent(self.quality and self.quality.all and self.quality.all.pq),
            "mIoU": percent(self.miou),
            "AP": percent(self.instances and self.instances.ap),
        }

    def intervals(self) -> Intervals:
        """For PQ and mIoU. AP has none: it ranks the instances of all images jointly, so it is not a sum over
        images."""
        matches = [image.matches for image in self.per_image if image.matches is not None]
        pixels = [image.pixels for image in self.per_image if image.pixels is not None]
        found = {"PQ": quality_intervals(matches, self.is_thing).get("all"), "mIoU": miou_interval(pixels)}
        return {name: interval.scaled(100) for name, interval in found.items() if interval is not None}

    def details(self) -> Figures:
        quality = self.quality
        return {
            "images": self.images,
            "all": quality and _quality(quality.all),
            "things": quality and _quality(quality.things),
            "stuff": quality and _quality(quality.stuff),
            "AP50": percent(self.instances and self.instances.ap50),
            "AP75": percent(self.instances and self.instances.ap75),
            "segment_quality": percent(self.segment_quality.all),
            "PQ_of_class": {
                self.class_names[category]: percent(found.pq)
                for category, found in (quality.per_class if quality else {}).items()
            },
            "AP_of_class": {
                self.class_names[category]: percent(ap)
                for category, ap in (self.instances.ap_of_class if self.instances else {}).items()
            },
        }

    def held_out(self) -> Figures | None:
        if self.segment_quality.held_out is None:
            return None
        return {
            "seen": {"segment_quality": percent(self.segment_quality.seen)},
            "held_out": {"segment_quality": percent(self.segment_quality.held_out)},
        }


@dataclass(frozen=True)
class GroundingResult(Result):
    """Grounded segmentation of `source`: "expressions" (referring expressions) or "phrases" (of sentences)."""

    title: ClassVar[str] = "Grounding of phrases"
    metrics: ClassVar[tuple[Metric, ...]] = MASK_METRICS
    chart: ClassVar[Chart | None] = Chart("Grounding: masks of at least this IoU", "IoU")

    overlaps: Overlaps = field(repr=False)
    source: str
    images: int

    def curves(self) -> dict[str, Curve]:
        return {"all": iou_curve(self.overlaps)}

    @cached_property
    def masks(self) -> Divided[MaskScores]:
        return divide_masks(self.overlaps)

    def to_json(self) -> Figures:
        return self.masks.all.to_json()

    def intervals(self) -> Intervals:
        return self.overlaps.intervals()

    def details(self) -> Figures:
        return {"images": self.images, "texts": self.masks.all.count, "source": self.source}

    def held_out(self) -> Figures | None:
        return held_out_masks(self.masks)


@dataclass(frozen=True)
class ClickTrack:
    """IoU of one segment's mask after each click, until the final IoU or the limit of clicks."""

    image_id: int
    segment_id: int
    ious: tuple[float, ...]


@dataclass(frozen=True)
class InteractiveResult(Result):
    """Interactive segmentation: masks after one click, after one stroke of each kind, and after further clicks.

    `tracks` (for NoC and the IoU after k clicks) and `strokes` cover the first images only.
    """

    title: ClassVar[str] = "Interactive segmentation"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mIoU@1"),
        Metric("NoC@85", unit="clicks", higher_is_better=False, digits=2),
        Metric("NoC@90", unit="clicks", higher_is_better=False, digits=2),
    )
    chart: ClassVar[Chart | None] = Chart("Interactive, one click: masks of at least this IoU", "IoU")

    first_click: Overlaps = field(repr=False)
    strokes: Mapping[StrokeKind, Overlaps] = field(repr=False)
    tracks: Sequence[ClickTrack] = field(repr=False)
    max_clicks: int
    images: int

    @cached_property
    def masks(self) -> Divided[MaskScores]:
        return divide_masks(self.first_click)

    def to_json(self) -> Figures:
        return {
            "mIoU@1": percent(self.masks.all.miou),
            "NoC@85": self.clicks_to(GOOD),
            "NoC@90": self.clicks_to(VERY_GOOD),
        }

    def curves(self) -> dict[str, Curve]:
        return {"one click": iou_curve(self.first_click)}

    def clicks_to(self, iou: float) -> float:
        """NoC: mean number of clicks to an IoU."""
        return clicks_needed([track.ious for track in self.tracks], iou, self.max_clicks)

    def intervals(self) -> Intervals:
        image_ids = [track.image_id for track in self.tracks]
        found = {"mIoU@1": self.first_click.intervals()["mIoU"]}
        ious = [track.ious for track in self.tracks]
        return found | click_intervals(image_ids, ious, {"NoC@85": GOOD, "NoC@90": VERY_GOOD}, self.max_clicks)

    def details(self) -> Figures:
        ious = [track.ious for track in self.tracks]
        return {
            "images": self.images,
            "objects": self.masks.all.count,
            "NoC_objects": len(self.tracks),
            "max_clicks": self.max_clicks,
            "mIoU_after_clicks": {
                str(k): percent(iou_after(ious, k)) for k in (1, 2, 3, 5, 10, 15, 20) if k <= self.max_clicks
            },
            "strokes": {kind.value: counted_masks(overlaps.scores) for kind, overlaps in self.strokes.items()},
            "stroke_intervals": {kind.value: overlaps.intervals() for kind, overlaps in self.strokes.items()},
        }

    def held_out(self) -> Figures | None:
        if self.masks.held_out is None:
            return None
        return {
            "seen": {"mIoU@1": percent(self.masks.seen and self.masks.seen.miou)},
            "held_out": {"mIoU@1": percent(self.masks.held_out.miou)},
        }


@dataclass(frozen=True)
class RetrievalResult(Result):
    """Image-text retrieval: images by text, and texts by image. `texts` is the kind of texts."""

    title: ClassVar[str] = "Image-text retrieval"
    metrics: ClassVar[tuple[Metric, ...]] = (*IMAGE_METRICS, Metric("TR@1"), Metric("TR@5"), Metric("TR@10"))
    chart: ClassVar[Chart | None] = Chart("Retrieval: recall at k", "k")

    image_ranks: Ranks = field(repr=False)  # a query is a text
    text_ranks: Ranks = field(repr=False)  # a query is an image
    gallery: int
    texts: str

    @property
    def image(self) -> RecallScores:
        return self.image_ranks.scores

    @property
    def text(self) -> RecallScores:
        return self.text_ranks.scores

    def to_json(self) -> Figures:
        return {**self.image.to_json("IR"), **self.text.to_json("TR")}

    def curves(self) -> dict[str, Curve]:
        return {
            "images by a text": recall_curve(self.image_ranks, self.gallery),
            "texts by an image": recall_curve(self.text_ranks, self.image.count),
        }

    def intervals(self) -> Intervals:
        return self.image_ranks.intervals("IR") | self.text_ranks.intervals("TR")

    def details(self) -> Figures:
        return {"gallery": self.gallery, "texts": self.texts, "captions": self.image.count, "images": self.text.count}


def percent(fraction: float | None) -> float | None:
    """A fraction as a percentage; None (undefined) stays None."""
    return None if fraction is None else 100 * fraction


def held_out_masks(parts: Divided[MaskScores]) -> Figures | None:
    """The figures of both parts, if there is a held-out part."""
    if parts.held_out is None:
        return None
    return {"seen": parts.seen and parts.seen.to_json(), "held_out": parts.held_out.to_json()}


def counted_masks(scores: MaskScores | None) -> Figures | None:
    """Figures with the number of masks."""
    return None if scores is None else {**scores.to_json(), "count": scores.count}


def _quality(quality: Quality | None) -> Figures | None:
    if quality is None:
        return None
    return {"PQ": 100 * quality.pq, "SQ": 100 * quality.sq, "RQ": 100 * quality.rq, "classes": quality.classes}
