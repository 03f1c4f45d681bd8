"""Counts words that the system's language encoder does not know: figures on such texts are largely guesses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BATCH = 1024
SHOWN = 20


@dataclass(frozen=True)
class UnknownWords:
    """How many of `texts` distinct texts have unknown words, and in how many each word is, most frequent first."""

    texts: int
    affected: int
    counts: tuple[tuple[str, int], ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "count": len(self.counts),
            "texts_with_unknown_words": self.affected,
            "texts": self.texts,
            "most_frequent": dict(self.counts[:SHOWN]),
        }

    def note(self) -> str:
        """A one-sentence summary."""
        words = ", ".join(f"{word} ({count})" for word, count in self.counts[:SHOWN])
        return (
            f"{self.affected} of {self.texts} distinct texts have words that the language encoder has never seen "
            f"({len(self.counts)} words, most often {words}); results for them are guesses from the other words."
        )


def unknown_words(system: object, texts: Sequence[str]) -> UnknownWords | None:
    """Uses the system's language encoder; None for a system without one (`system.language`)."""
    language = getattr(system, "language", None)
    if language is None:
        return None
    texts = list(dict.fromkeys(texts))
    counts: Counter[str] = Counter()
    affected = 0
    for start in range(0, len(texts), BATCH):
        for words in language.tokenize(texts[start : start + BATCH]).unknown:
            affected += bool(words)
            counts.update({word.casefold() for word in words})
    return UnknownWords(len(texts), affected, tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))))
