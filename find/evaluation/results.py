"""What each protocol gives, and the whole evaluation: typed figures that know their names in JSON and Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from find.errors import FindError
from find.evaluation.mask_ap import InstanceScores
from find.evaluation.metrics import MaskScores, Overlaps, RecallScores
from find.evaluation.panoptic_quality import PanopticScores, Quality
from find.evaluation.queries import EntityMode, Interleaving
from find.evaluation.vocabulary import UnknownWords

FEW_SHOWN = 0.05

T = TypeVar("T")
Figures = dict[str, Any]


class MissingAnnotations(FindError):
    """The folder lacks what a protocol needs, so this task cannot be evaluated on it."""


@dataclass(frozen=True)
class Divided(Generic[T]):
    """A figure over everything; where the data set says what was kept out of training, also over the parts."""

    all: T
    seen: T | None = None
    held_out: T | None = None


def divide(overlaps: Overlaps) -> Divided[MaskScores]:
    """Scores of some masks (at least one), and of the held-out ones apart if there are any."""
    held_out = overlaps.scores(held_out=True)
    seen = None if held_out is None else overlaps.scores(held_out=False)
    return Divided(all=overlaps.scores(), seen=seen, held_out=held_out)


@dataclass(frozen=True)
class PanopticResult:
    """Generic segmentation. `segment_quality` is the mean over true segments of the IoU with the matched prediction
    (0 if missed), which unlike PQ can be told for a part of the segments. Fractions (0 to 1)."""

    quality: PanopticScores
    miou: float | None
    instances: InstanceScores
    segment_quality: Divided[float | None]
    class_names: Mapping[int, str]  # by category id
    images: int

    def to_json(self) -> Figures:
        return {
            "PQ": percent(self.quality.all and self.quality.all.pq),
            "mIoU": percent(self.miou),
            "AP": percent(self.instances.ap),
        }

    def details(self) -> Figures:
        return {
            "images": self.images,
            "all": _quality(self.quality.all),
            "things": _quality(self.quality.things),
            "stuff": _quality(self.quality.stuff),
            "AP50": percent(self.instances.ap50),
            "AP75": percent(self.instances.ap75),
            "segment_quality": percent(self.segment_quality.all),
            "PQ_of_class": {
                self.class_names[category]: percent(quality.pq) for category, quality in self.quality.per_class.items()
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
class GroundingResult:
    """Grounded segmentation of `source`: "expressions" (referring expressions) or "phrases" (of sentences)."""

    masks: Divided[MaskScores]
    source: str
    images: int

    def to_json(self) -> Figures:
        return self.masks.all.to_json()

    def details(self) -> Figures:
        return {"images": self.images, "texts": self.masks.all.count, "source": self.source}

    def held_out(self) -> Figures | None:
        return _divided_masks(self.masks)


@dataclass(frozen=True)
class InteractiveResult:
    """Interactive segmentation: masks after one click, and the mean number of clicks to IoU 0.85 and 0.90."""

    first_click: Divided[MaskScores]
    noc_85: float
    noc_90: float
    clicked_objects: int  # behind the two click counts, which are taken on the first images only
    max_clicks: int
    images: int

    def to_json(self) -> Figures:
        return {"mIoU@1": percent(self.first_click.all.miou), "NoC@85": self.noc_85, "NoC@90": self.noc_90}

    def details(self) -> Figures:
        return {
            "images": self.images,
            "objects": self.first_click.all.count,
            "NoC_objects": self.clicked_objects,
            "max_clicks": self.max_clicks,
        }

    def held_out(self) -> Figures | None:
        parts = self.first_click
        if parts.held_out is None:
            return None
        return {
            "seen": {"mIoU@1": percent(parts.seen and parts.seen.miou)},
            "held_out": {"mIoU@1": percent(parts.held_out.miou)},
        }


@dataclass(frozen=True)
class RetrievalResult:
    """Image-text retrieval with captions: images found by a caption, captions found by an image."""

    image: RecallScores
    text: RecallScores
    gallery: int

    def to_json(self) -> Figures:
        return {**self.image.to_json("IR"), **self.text.to_json("TR")}

    def details(self) -> Figures:
        return {"gallery": self.gallery, "captions": self.image.count, "images": self.text.count}

    def held_out(self) -> Figures | None:
        return None


@dataclass(frozen=True)
class InterleavedSegmentationResult:
    """Interleaved segmentation: one mask an entity; `phrases` and `regions` are the two kinds of entity apart."""

    masks: Divided[MaskScores]
    phrases: MaskScores | None
    regions: MaskScores | None
    interleaving: Interleaving
    sentences: int

    @property
    def shown(self) -> float:
        """Share of the entities that were shown as regions."""
        return (self.regions.count if self.regions else 0) / self.masks.all.count

    def to_json(self) -> Figures:
        return self.masks.all.to_json()

    def details(self) -> Figures:
        return {
            **_interleaving(self.interleaving),
            "sentences": self.sentences,
            "entities": self.masks.all.count,
            "share_shown": percent(self.shown),
            "phrases": _masks(self.phrases),
            "regions": _masks(self.regions),
        }

    def held_out(self) -> Figures | None:
        return _divided_masks(self.masks)


@dataclass(frozen=True)
class GalleryResult:
    """Images found by an interleaved sentence, in one gallery.

    `combined` has the entity term, `sentence_term` is without it. In both, images that own a region of the query leave
    that query's gallery (the target stays); with `owners_kept` they stay, as in the published benchmark.
    """

    size: int
    combined: Divided[RecallScores]
    sentence_term: Divided[RecallScores]
    owners_kept: RecallScores

    def details(self) -> Figures:
        return {
            "gallery": self.size,
            "queries": self.combined.all.count,
            "combined": self.combined.all.to_json("IR"),
            "sentence_term_alone": self.sentence_term.all.to_json("IR"),
            "owners_kept": self.owners_kept.to_json("IR"),
        }


@dataclass(frozen=True)
class HardNegativeResult:
    """How often the true sentence scores above each of its negatives for its image, by `combined` score and by the
    sentence term alone. Fractions (0 to 1); an equal score is a loss."""

    combined: float
    sentence_term: float
    sentences: int
    negatives: int
    by_change: Mapping[str, float]  # combined, pair by pair: what the negative changes -> share of pairs won

    def details(self) -> Figures:
        return {
            "sentences": self.sentences,
            "negatives": self.negatives,
            "combined": percent(self.combined),
            "sentence_term_alone": percent(self.sentence_term),
            "pairs_won": {change: percent(share) for change, share in self.by_change.items()},
        }


@dataclass(frozen=True)
class InterleavedRetrievalResult:
    """Interleaved retrieval: in the main gallery, in a large one where there are images enough, and hard negatives."""

    gallery: GalleryResult
    large: GalleryResult | None
    hard_negatives: HardNegativeResult | None
    interleaving: Interleaving
    shown: float | None  # share of the entities that were shown as regions; None where no sentence has entities
    entity_weight: float

    def to_json(self) -> Figures:
        return self.gallery.combined.all.to_json("IR")

    def details(self) -> Figures:
        return {
            **_interleaving(self.interleaving),
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


@dataclass(frozen=True)
class Evaluation:
    """All that one evaluation found. A task that was not run is None; `skipped` tells which ones for lack of data."""

    split: str
    images: int
    panoptic: PanopticResult | None = None
    grounding: GroundingResult | None = None
    interactive: InteractiveResult | None = None
    retrieval: RetrievalResult | None = None
    interleaved_segmentation: InterleavedSegmentationResult | None = None
    interleaved_retrieval: InterleavedRetrievalResult | None = None
    unknown_words: UnknownWords | None = None  # None: the system does not tell
    skipped: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> Figures:
        """The six tasks' figures by their published names (percentages, clicks; null: not run), then the rest."""
        results = {task: getattr(self, task) for task in METRICS}
        done = {task: result for task, result in results.items() if result is not None}
        held_out = {task: result.held_out() for task, result in done.items()}
        return {
            **{task: result and result.to_json() for task, result in results.items()},
            "held_out": {task: figures for task, figures in held_out.items() if figures is not None},
            "details": {task: result.details() for task, result in done.items()},
            "data": {
                "split": self.split,
                "images": self.images,
                "unknown_words": self.unknown_words and self.unknown_words.to_json(),
            },
            "skipped": dict(self.skipped),
            "seconds": {part: round(value, 2) for part, value in self.seconds.items()},
        }

    def notes(self) -> list[str]:
        """What a reader of the figures has to know, one sentence each."""
        notes = []
        for task in ("interleaved_segmentation", "interleaved_retrieval"):
            result = getattr(self, task)
            if result is None or result.interleaving.mode is EntityMode.TEXT or result.shown is None:
                continue
            if result.shown < FEW_SHOWN:
                notes.append(
                    f"{_title(task)}: only {100 * result.shown:.1f} % of the entities were shown as regions, for the "
                    "others' phrases have no reference. Give an entity file with references (entities), or show the "
                    "sought segments themselves (regions: same)."
                )
        if self.unknown_words is not None and self.unknown_words.affected:
            notes.append(self.unknown_words.note())
        return notes + [f"{_title(task)} was not evaluated: {reason}" for task, reason in self.skipped.items()]

    def to_markdown(self) -> str:
        """One row a metric; held-out combinations beside what was seen, where the data set tells them apart."""
        figures = self.to_json()
        text = comparison_table({self.split: figures})
        rows = [
            (task, metric, parts["seen"], parts["held_out"][metric])
            for task, parts in figures["held_out"].items()
            for metric in parts["held_out"]
        ]
        if rows:
            text += "\n| task | metric | seen in training | held out |\n| --- | --- | ---: | ---: |\n"
            for task, metric, seen, held_out in rows:
                text += f"| {_title(task)} | {metric} | {_cell((seen or {}).get(metric))} | {_cell(held_out)} |\n"
        return text + "".join(f"\n{note}\n" for note in self.notes())


METRICS: Mapping[str, tuple[str, ...]] = {
    "panoptic": ("PQ", "mIoU", "AP"),
    "grounding": ("cIoU", "mIoU", "P@0.5"),
    "interactive": ("mIoU@1", "NoC@85", "NoC@90"),
    "retrieval": ("IR@1", "IR@5", "IR@10", "TR@1", "TR@5", "TR@10"),
    "interleaved_segmentation": ("cIoU", "mIoU", "P@0.5"),
    "interleaved_retrieval": ("IR@1", "IR@5", "IR@10"),
}
"""The tasks, and the names of each one's figures. Clicks (NoC) are better when lower, percentages when higher."""


def comparison_table(columns: Mapping[str, Figures]) -> str:
    """Markdown table of several evaluations (as `Evaluation.to_json` gives them), one column each."""
    text = f"| task | metric | {' | '.join(columns)} |\n| --- | --- |{' ---: |' * len(columns)}\n"
    for task, metrics in METRICS.items():
        if all(column.get(task) is None for column in columns.values()):
            continue
        for metric in metrics:
            cells = [_cell((column.get(task) or {}).get(metric)) for column in columns.values()]
            text += f"| {_title(task)} | {metric} | {' | '.join(cells)} |\n"
    return text


def percent(fraction: float | None) -> float | None:
    """A fraction as percentage; None (nothing there to measure) stays None."""
    return None if fraction is None else 100 * fraction


def _title(task: str) -> str:
    return task.replace("_", " ")


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _masks(scores: MaskScores | None) -> Figures | None:
    return None if scores is None else {**scores.to_json(), "count": scores.count}


def _divided_masks(parts: Divided[MaskScores]) -> Figures | None:
    if parts.held_out is None:
        return None
    return {"seen": parts.seen and parts.seen.to_json(), "held_out": parts.held_out.to_json()}


def _quality(quality: Quality | None) -> Figures | None:
    if quality is None:
        return None
    return {"PQ": 100 * quality.pq, "SQ": 100 * quality.sq, "RQ": 100 * quality.rq, "classes": quality.classes}


def _interleaving(interleaving: Interleaving) -> Figures:
    return {
        "entities_shown": interleaving.mode.value,
        "region_source": interleaving.source.value,
        "probability": interleaving.probability,
        "seed": interleaving.seed,
    }
