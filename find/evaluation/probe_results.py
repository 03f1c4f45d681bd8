"""Results of the compositional probes: how often the true sentence wins, by kind of change and query type."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from find.data.false_sentences import ProbeChange
from find.evaluation.confidence import Intervals, bootstrap, named_intervals, shares, sums_of_images
from find.evaluation.protocol import Figures
from find.evaluation.queries import EntityMode
from find.evaluation.ranking import TIE

MODES = (EntityMode.TEXT, EntityMode.VISUAL, EntityMode.MIXED)
ALL = "all"


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """Margins of the true sentence over the false one, by the full score and by the sentence term."""

    image_id: int
    sentence_id: int
    mode: EntityMode
    change: ProbeChange
    combined: float
    sentence_term: float
    form: str = ""


@dataclass(frozen=True)
class ProbeResult:
    """Fractions of the probes in which the true sentence wins; chance is 50 %, and ties count as losses.

    `is_exact`: the false sentences are false according to labels, not only by their wording. Sentences of further
    forms, queried by words, have figures of their own that count in no other.
    """

    answers: tuple[ProbeAnswer, ...] = field(repr=False)
    is_exact: bool
    images: int

    def to_json(self) -> Figures:
        """Mode -> kind of change -> percentage won by the full score."""
        return {
            mode.value: {name: 100 * float(won.mean()) for name, won in self._won(mode, "combined").items()}
            for mode in MODES
        }

    def intervals(self) -> dict[str, Intervals]:
        """95 % intervals of the same figures."""
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
        """One row per kind of change; 95 % intervals in brackets."""
        figures, intervals, counts = self.to_json(), self.intervals(), self.details()["pairs"]
        lines = [f"| true sentence wins, % | {' | '.join(m.value for m in MODES)} | pairs |", "| --- |" + " ---: |" * 4]
        for name, count in counts.items():
            cells = []
            for mode in MODES:
                if name not in figures[mode.value]:
                    cells.append("–")
                    continue
                low, high = intervals[mode.value][name]
                cells.append(f"{figures[mode.value][name]:.1f} [{low:.1f}, {high:.1f}]")
            lines.append(f"| {name} | {' | '.join(cells)} | {count} |")
        return "\n".join(lines) + "\n"

    def _chosen(self, mode: EntityMode, name: str) -> list[ProbeAnswer]:
        """The probes of one kind of change or of all kinds, without those of further forms; or those of such a form."""
        return [
            answer
            for answer in self.answers
            if answer.mode is mode and name in ((answer.form,) if answer.form else (ALL, answer.change.value))
        ]

    def _won(self, mode: EntityMode, score: str) -> dict[str, np.ndarray]:
        """Kind of change -> whether the true sentence won, for each probe; only kinds that occur."""
        forms = dict.fromkeys(answer.form for answer in self.answers if answer.form)
        names = [*(change.value for change in ProbeChange), ALL, *forms]
        found = {name: np.array([getattr(a, score) > TIE for a in self._chosen(mode, name)]) for name in names}
        return {name: won for name, won in found.items() if len(won)}
