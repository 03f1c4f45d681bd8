"""Words that a system's language encoder has never seen: figures on texts with such words are largely guesses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BATCH = 1024
SHOWN = 20


@dataclass(frozen=True)
class UnknownWords:
    """How many of `texts` different texts hold unknown words, and in how many of them each word is, most first."""

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
        """One sentence for people."""
        words = ", ".join(f"{word} ({count})" for word, count in self.counts[:SHOWN])
        return (
            f"{self.affected} of {self.texts} different texts hold words that the language encoder has never seen "
            f"({len(self.counts)} words, most often {words}); what is asked by them is guessed from the rest."
        )


def unknown_words(system: object, texts: Sequence[str]) -> UnknownWords | None:
    """Asks the system's language encoder; None for a system that has none (`system.language`)."""
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
