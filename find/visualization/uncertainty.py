"""What a user must doubt of an answer: words that the language encoder has never seen, and low scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from find.errors import printable

if TYPE_CHECKING:
    from find.foundations import LanguageEncoder
    from find.model.predictions import EntityMask
    from find.query.query import Query

DOUBTFUL = 0.4
"""Of the masks whose proposal was chosen with a lower probability most are wrong (measured on find-tiny)."""


@dataclass(frozen=True)
class UnknownWords:
    """Words of a query that the language encoder has never seen: of all of it, and of each entity."""

    query: tuple[str, ...]
    entities: tuple[tuple[str, ...], ...]

    @classmethod
    def read(cls, language: LanguageEncoder, query: Query) -> UnknownWords:
        """Asks the encoder's tokenizer only."""
        sentence = query.render(language.placeholder)
        phrases = [sentence.text[start:end] for start, end in sentence.spans]
        whole, *parts = (tuple(dict.fromkeys(words)) for words in language.tokenize([sentence.text, *phrases]).unknown)
        return cls(whole, tuple(parts))

    @property
    def warning(self) -> str | None:
        """One sentence for people; None if all words are known."""
        if not self.query:
            return None
        return f"words unknown to the language model: {listed(self.query)}; results for them are a guess"


ABSENT = 0.5
"""Things that are there with a lower probability (`EntityMask.present`) are probably not there."""


def listed(words: tuple[str, ...]) -> str:
    """'"blorf", "zeppelin"'."""
    return ", ".join(f'"{printable(word[:40])}"' for word in words)


def doubt(found: EntityMask, unknown: tuple[str, ...] = ()) -> str | None:
    """Why an entity's mask is doubtful; None if it is not."""
    if unknown:
        return f"unknown: {listed(unknown)}"
    if not found.mask.any():
        return "nothing found"
    if found.present is not None and found.present < ABSENT:
        return "probably not there"
    return "low score" if found.score < DOUBTFUL else None
