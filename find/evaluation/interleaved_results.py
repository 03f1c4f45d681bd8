"""Results of the interleaved protocols, and the table of all variants, which marks the published one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from find.evaluation.confidence import Intervals
from find.evaluation.curves import Chart, Curve, iou_curve, recall_curve
from find.evaluation.metrics import MaskScores, Overlaps
from find.evaluation.protocol import Figures, Metric, Result
from find.evaluation.queries import EntityMode, Interleaving, RegionSource
from find.evaluation.ranking import Ranks, RecallScores
from find.evaluation.task_results import (
    IMAGE_METRICS,
    MASK_METRICS,
    Divided,
    counted_masks,
    divide_masks,
    divide_ranks,
    held_out_masks,
    percent,
)

FEW_SHOWN = 0.05


@dataclass(frozen=True)
class Variant:
    """One row of a table of variants: its conditions, figures (in percent) and intervals.

    `is_published` marks the variant with the conditions of FIND-Bench's published tables.
    """

    name: str
    interleaving: Interleaving
    is_published: bool
    figures: Mapping[str, float]
    intervals: Intervals
    count: int

    def to_json(self) -> Figures:
        return {
            "name": self.name,
            **interleaving_figures(self.interleaving),
            "published": self.is_published,
            "figures": dict(self.figures),
            "intervals": self.intervals,
            "count": self.count,
        }


def variants_table(variants: Sequence[Variant]) -> str:
    """Markdown, one row per variant; 95 % intervals in brackets."""
    names = list(dict.fromkeys(name for variant in variants for name in variant.figures))
    lines = [f"| variant | {' | '.join(names)} | n |", f"| --- |{' ---: |' * (len(names) + 1)}"]
    for variant in variants:
        cells = []
        for name in names:
            low, high = variant.intervals.get(name, (None, None))
            ends = "" if low is None else f" [{low:.1f}, {high:.1f}]"
            cells.append(f"{variant.figures[name]:.1f}{ends}")
        title = f"**{variant.name} (as published)**" if variant.is_published else variant.name
        lines.append(f"| {title} | {' | '.join(cells)} | {variant.count} |")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class InterleavedSegmentationResult(Result):
    """Interleaved segmentation: one mask per entity; `phrases` and `regions` are the figures by kind of entity."""

    title: ClassVar[str] = "Interleaved segmentation"
    metrics: ClassVar[tuple[Metric, ...]] = MASK_METRICS
    chart: ClassVar[Chart | None] = Chart("Interleaved segmentation: masks of at least this IoU", "IoU")

    overlaps: Overlaps = field(repr=False)
    interleaving: Interleaving
    sentences: int

    @cached_property
    def masks(self) -> Divided[MaskScores]:
        return divide_masks(self.overlaps)

    @cached_property
    def phrases(self) -> MaskScores | None:
        return self.overlaps.where(lambda record: not record.is_region).scores

    @cached_property
    def regions(self) -> MaskScores | None:
        return self.overlaps.where(lambda record: record.is_region).scores

    @property
    def shown(self) -> float:
        """Fraction of the entities that were regions."""
        return (self.regions.count if self.regions else 0) / self.masks.all.count

    def to_json(self) -> Figures:
        return self.masks.all.to_json()

    def intervals(self) -> Intervals:
        return self.overlaps.intervals()

    def details(self) -> Figures:
        return {
            **interleaving_figures(self.interleaving),
            "sentences": self.sentences,
            "entities": self.masks.all.count,
            "share_shown": percent(self.shown),
            "phrases": counted_masks(self.phrases),
            "regions": counted_masks(self.regions),
        }

    def held_out(self) -> Figures | None:
        return held_out_masks(self.masks)

    def curves(self) -> dict[str, Curve]:
        parts = {
            "phrases": self.overlaps.where(lambda record: not record.is_region),
            "regions": self.overlaps.where(lambda record: record.is_region),
        }
        return {name: iou_curve(part) for name, part in parts.items() if len(part)}

    def notes(self) -> list[str]:
        return few_shown(self.title, self.interleaving, self.shown)

    def variant(self) -> Variant:
        """The row of this result; the published variant has mixed queries whose regions are the targets themselves."""
        return Variant(
            name=self.interleaving.name,
            interleaving=self.interleaving,
            is_published=_is(self.interleaving, EntityMode.MIXED, RegionSource.SAME),
            figures=self.to_json(),
            intervals=self.intervals(),
            count=len(self.overlaps),
        )


@dataclass(frozen=True)
class TermRanks:
    """Ranks by the full score, and by its sentence term alone."""

    combined: Ranks = field(repr=False)
    sentence_term: Ranks = field(repr=False)


@dataclass(frozen=True)
class GalleryResult:
    """Retrieval by interleaved sentences in one gallery.

    `strict`: images that a query's regions come from are removed from its gallery (except the target). `kept`: they
    stay, as in the published benchmark.
    """

    size: int
    strict: TermRanks
    kept: TermRanks

    @cached_property
    def combined(self) -> Divided[RecallScores]:
        return divide_ranks(self.strict.combined)

    @cached_property
    def sentence_term(self) -> Divided[RecallScores]:
        return divide_ranks(self.strict.sentence_term)

    @property
    def owners_kept(self) -> RecallScores:
        return self.kept.combined.scores

    def details(self) -> Figures:
        return {
            "gallery": self.size,
            "queries": self.combined.all.count,
            "combined": self.combined.all.to_json("IR"),
            "sentence_term_alone": self.sentence_term.all.to_json("IR"),
            "owners_kept": self.owners_kept.to_json("IR"),
            "sentence_term_alone_owners_kept": self.kept.sentence_term.scores.to_json("IR"),
        }

    def variants(self, interleaving: Interleaving) -> list[Variant]:
        """Four rows: with and without the entity term, strict and with region owners kept."""
        rows = []
        for terms, score in (("combined", "with entity term"), ("sentence_term", "sentence term alone")):
            for gallery, images in ((self.strict, "strict"), (self.kept, "owners kept")):
                ranks: Ranks = getattr(gallery, terms)
                published = terms == "combined" and gallery is self.kept
                rows.append(
                    Variant(
                        name=f"{interleaving.name}; {score}; {images}",
                        interleaving=interleaving,
                        is_published=published and _is(interleaving, EntityMode.MIXED, RegionSource.REFERENCE),
                        figures=ranks.scores.to_json("IR"),
                        intervals=ranks.intervals("IR"),
                        count=len(ranks),
                    )
                )
        return rows


@dataclass(frozen=True)
class HardNegativeResult:
    """How often the true sentence scores higher than its negatives for its image, by the `combined` score and by the
    sentence term alone. Fractions (0 to 1); ties count as losses."""

    combined: float
    sentence_term: float
    sentences: int
    negatives: int
    by_change: Mapping[str, float]  # combined score, by kind of change in the negative: fraction of pairs won

    def details(self) -> Figures:
        return {
            "sentences": self.sentences,
            "negatives": self.negatives,
            "combined": percent(self.combined),
            "sentence_term_alone": percent(self.sentence_term),
            "pairs_won": {change: percent(share) for change, share in self.by_change.items()},
        }


@dataclass(frozen=True)
class InterleavedRetrievalResult(Result):
    """Interleaved retrieval: in the main gallery, in a large one if the split has enough images, and hard negatives."""

    title: ClassVar[str] = "Interleaved retrieval"
    metrics: ClassVar[tuple[Metric, ...]] = IMAGE_METRICS
    chart: ClassVar[Chart | None] = Chart("Interleaved retrieval: recall at k", "k")

    gallery: GalleryResult
    large: GalleryResult | None
    hard_negatives: HardNegativeResult | None
    interleaving: Interleaving
    shown: float | None  # fraction of the entities that were regions; None if no sentence has entities
    entity_weight: float

    def to_json(self) -> Figures:
        return self.gallery.combined.all.to_json("IR")

    def intervals(self) -> Intervals:
        return self.gallery.strict.combined.intervals("IR")

    def details(self) -> Figures:
        return {
            **interleaving_figures(self.interleaving),
            "share_shown": percent(self.shown),
            "entity_weight": self.entity_weight,
            **self.gallery.details(),
            "large_gallery": self.large and self.large.details(),
            "hard_negatives": self.hard_negatives and self.hard_negatives.details(),
        }

    def held_out(self) -> Figures | None:
        parts = self.gallery.combined
        if parts.held_out is None:
            return None
        return {"seen": parts.seen and parts.seen.to_json("IR"), "held_out": parts.held_out.to_json("IR")}

    def curves(self) -> dict[str, Curve]:
        return {
            "with entity term": recall_curve(self.gallery.strict.combined, self.gallery.size),
            "sentence term alone": recall_curve(self.gallery.strict.sentence_term, self.gallery.size),
        }

    def notes(self) -> list[str]:
        return few_shown(self.title, self.interleaving, self.shown)

    def variants(self) -> list[Variant]:
        """The rows of the main gallery."""
        return self.gallery.variants(self.interleaving)


def few_shown(title: str, interleaving: Interleaving, shown: float | None) -> list[str]:
    """A note if hardly any entity was a region although some should have been."""
    if interleaving.mode is EntityMode.TEXT or shown is None or shown >= FEW_SHOWN:
        return []
    return [
        f"{title.lower()}: only {100 * shown:.1f} % of the entities were shown as regions, because the others' phrases "
        "have no reference. Give an entity file with references (entities), or show the sought segments themselves "
        "(regions: same)."
    ]


def interleaving_figures(interleaving: Interleaving) -> Figures:
    """The settings that turn sentences into queries, for JSON."""
    return {
        "entities_shown": interleaving.mode.value,
        "region_source": interleaving.source.value,
        "probability": interleaving.probability,
        "seed": interleaving.seed,
    }


def _is(interleaving: Interleaving, mode: EntityMode, source: RegionSource) -> bool:
    return interleaving.mode is mode and interleaving.source is source
