"""Compositional probes: does the true sentence still win over one made of the same units, put together wrongly?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from find.data.coco import CocoFolder
from find.data.sample import Sentence
from find.evaluation.confidence import Intervals, bootstrap, named_intervals, shares, sums_of_images
from find.evaluation.gallery import ImageGallery, embed_gallery, embed_queries
from find.evaluation.probes import Probe, ProbeChange, labelled_probes, phrase_swaps
from find.evaluation.protocols.hard_negatives import own_scores
from find.evaluation.protocols.interleaved_retrieval import ENTITY_WEIGHT
from find.evaluation.queries import EntityMode, Interleaving
from find.evaluation.ranking import TIE
from find.evaluation.systems import QueryEmbedder
from find.evaluation.task_results import Figures, MissingAnnotations

MODES = (EntityMode.TEXT, EntityMode.VISUAL, EntityMode.MIXED)
ALL = "all"


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """By how much the true sentence's score is above the false one's, by the whole score and by the sentence term."""

    image_id: int
    sentence_id: int
    mode: EntityMode
    change: ProbeChange
    combined: float
    sentence_term: float


@dataclass(frozen=True)
class ProbeResult:
    """Half-truth scores: shares of the probes in which the true sentence wins; guessing gives 50 %, a tie is a loss.

    `is_exact`: the false sentences are false by labels, and not by words alone.
    """

    answers: tuple[ProbeAnswer, ...] = field(repr=False)
    is_exact: bool
    images: int

    def to_json(self) -> Figures:
        """Mode -> what was changed -> percentage won by the whole score."""
        return {
            mode.value: {name: 100 * float(won.mean()) for name, won in self._won(mode, "combined").items()}
            for mode in MODES
        }

    def intervals(self) -> dict[str, Intervals]:
        """95 % of the same figures."""
        found = {}
        for mode in MODES:
            found[mode.value] = {}
            for name, won in self._won(mode, "combined").items():
                image_ids = np.array([answer.image_id for answer in self._chosen(mode, name)])
                statistics = sums_of_images(image_ids, [won, np.ones(len(won))])
                found[mode.value] |= named_intervals([name], bootstrap(statistics, shares), factor=100)
        return found

    def details(self) -> Figures:
        return {
            "images": self.images,
            "false_by": "labels" if self.is_exact else "phrase swaps",
            "pairs": {name: len(won) for name, won in self._won(EntityMode.TEXT, "combined").items()},
            "sentence_term_alone": {
                mode.value: {name: 100 * float(won.mean()) for name, won in self._won(mode, "sentence_term").items()}
                for mode in MODES
            },
        }

    def to_markdown(self) -> str:
        """A row a change; 95 % intervals in brackets."""
        figures, intervals, counts = self.to_json(), self.intervals(), self.details()["pairs"]
        lines = [f"| true sentence wins, % | {' | '.join(m.value for m in MODES)} | pairs |", "| --- |" + " ---: |" * 4]
        for name, count in counts.items():
            cells = []
            for mode in MODES:
                low, high = intervals[mode.value][name]
                cells.append(f"{figures[mode.value][name]:.1f} [{low:.1f}, {high:.1f}]")
            lines.append(f"| {name} | {' | '.join(cells)} | {count} |")
        return "\n".join(lines) + "\n"

    def _chosen(self, mode: EntityMode, name: str) -> list[ProbeAnswer]:
        return [answer for answer in self.answers if answer.mode is mode and name in (ALL, answer.change.value)]

    def _won(self, mode: EntityMode, score: str) -> dict[str, np.ndarray]:
        """What was changed -> whether the truth won, probe by probe; only changes that there are."""
        names = [*(change.value for change in ProbeChange), ALL]
        found = {name: np.array([getattr(a, score) > TIE for a in self._chosen(mode, name)]) for name in names}
        return {name: won for name, won in found.items() if len(won)}


def probes(
    model: QueryEmbedder,
    folder: CocoFolder,
    *,
    image_ids: Sequence[int] | None = None,
    entity_weight: float = ENTITY_WEIGHT,
    seed: int = 0,
    embeddings: ImageGallery | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> ProbeResult:
    """Score a true and a false sentence with their own image; the false one has two entities exchanged, an attribute
    exchanged between two, or a relation turned round. Asked by words, by regions, and by a seeded mixture.

    Regions come from other images, and an entity is shown in both sentences of a probe or in neither. The entity term
    knows no order, so for exchanged entities it helps only as far as an entity's vector depends on its sentence.

    Args:
        image_ids: the images; all of the split if not given.
        seed: of the mixture's coin.
        embeddings: the images' vectors, if they are there already.

    Raises:
        MissingAnnotations: no sentence of these images allows a probe.
    """
    image_ids = folder.image_ids if image_ids is None else image_ids
    wanted = set(image_ids)
    made = labelled_probes(folder)
    is_exact = bool(made)
    if not is_exact:
        made = [probe for sentence in folder.sentences for probe in phrase_swaps(sentence)]
    made = [probe for probe in made if probe.truth.image_id in wanted]
    if not made:
        raise MissingAnnotations(
            f"{folder.root}: no probe, for there is no probes_{folder.split}.json and no sentence of these images "
            "has two linked phrases that could be exchanged"
        )
    asked = list(dict.fromkeys(probe.truth.image_id for probe in made))
    options = {"batch_size": batch_size, "progress": progress}
    gallery = embed_gallery(model, folder, asked, **options) if embeddings is None else embeddings.of(asked)
    row_of = {image_id: row for row, image_id in enumerate(asked)}
    rows = [row_of[probe.truth.image_id] for probe in made for _ in range(2)]
    answers: list[ProbeAnswer] = []
    for mode in MODES:
        sentences = [sentence for probe in made for sentence in as_asked(probe, Interleaving(mode, seed=seed))]
        queries = embed_queries(model, folder, sentences, Interleaving(EntityMode.VISUAL), **options)
        combined = own_scores(gallery, rows, queries, entity_weight)
        sentence_term = own_scores(gallery, rows, queries, 0.0)
        for number, probe in enumerate(made):
            true, false = 2 * number, 2 * number + 1
            answers.append(
                ProbeAnswer(
                    image_id=probe.truth.image_id,
                    sentence_id=probe.truth.id,
                    mode=mode,
                    change=probe.change,
                    combined=float(combined[true]) - float(combined[false]),
                    sentence_term=float(sentence_term[true]) - float(sentence_term[false]),
                )
            )
    return ProbeResult(answers=tuple(answers), is_exact=is_exact, images=len(asked))


def as_asked(probe: Probe, interleaving: Interleaving) -> tuple[Sentence, Sentence]:
    """The true and the false sentence with references left only to the entities that are shown in both."""
    shown = [place is not None for place in interleaving.places(probe.truth)]
    both = {k for k, phrase in zip(probe.origin, probe.false.phrases, strict=True) if shown[k] and phrase.reference}
    truth = tuple(p if k in both else replace(p, reference=None) for k, p in enumerate(probe.truth.phrases))
    false = tuple(
        p if k in both else replace(p, reference=None) for k, p in zip(probe.origin, probe.false.phrases, strict=True)
    )
    return replace(probe.truth, phrases=truth), replace(probe.false, phrases=false)
