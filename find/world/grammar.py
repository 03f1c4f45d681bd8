"""Statements about a scene: what they describe, whether they are true, whom they mean, and how they are worded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from find.world.composition import Segment
from find.world.kinds import HELD_OUT, Colour, Kind, Pattern, Size, Stuff
from find.world.relations import Link
from find.world.spots import Among, Spot

WORDINGS: dict[Link, tuple[str, ...]] = {
    Link.NEXT_TO: ("next to", "beside"),
    Link.LEFT_OF: ("to the left of", "left of"),
    Link.RIGHT_OF: ("to the right of", "right of"),
    Link.ABOVE: ("above", "over"),
    Link.BELOW: ("below", "under"),
    Link.IN_FRONT_OF: ("in front of",),
    Link.BEHIND: ("behind",),
}
SPOT_WORDINGS: dict[Spot, tuple[str, ...]] = {
    Spot.LEFT: ("on the left", "on the left of the picture", "to the left", "at the left"),
    Spot.RIGHT: ("on the right", "on the right of the picture", "to the right", "at the right"),
    Spot.TOP: ("at the top", "at the top of the picture"),
    Spot.BOTTOM: ("at the bottom", "at the bottom of the picture"),
    Spot.FOREGROUND: ("in the foreground", "in front"),
    Spot.BACKGROUND: ("in the background",),
}


@dataclass(frozen=True)
class Description:
    """What a noun phrase says of one segment; None says nothing."""

    kind: Kind
    colour: Colour | None = None
    size: Size | None = None
    pattern: Pattern | None = None

    def fits(self, segment: Segment) -> bool:
        """Whether the description is true of the segment."""
        if segment.kind is not self.kind:
            return False
        look = segment.look
        return look is None or (
            self.colour in (None, look.colour)
            and self.size in (None, look.size)
            and self.pattern in (None, look.pattern)
        )

    @property
    def is_held_out(self) -> bool:
        """Whether it names a category and colour that train images never show together."""
        return self.colour is not None and (self.kind.name, self.colour.name) in HELD_OUT

    def words(self, article: str, noun: int = 0) -> str:
        """The noun phrase, e.g. "a small striped red dog" or "a person in spotted blue"."""
        if isinstance(self.kind, Stuff):
            return f"the {self.kind.nouns[noun % len(self.kind.nouns)]}"
        size = [self.size.value] if self.size else []
        paint = [part for part in (self.pattern and self.pattern.value, self.colour and self.colour.name) if part]
        name = self.kind.nouns[noun % len(self.kind.nouns)]
        if self.kind.name == "person" and self.colour:
            said = " ".join([*size, name, "in", *paint])
        else:
            said = " ".join([*size, *paint, name])
        if article == "a" and said[0] in "aeiou":
            article = "an"
        return f"{article} {said}"


@dataclass(frozen=True)
class Claim:
    """A link between two entities of a statement, by their numbers; a place of one (its own object); or, with a third
    one, of what lies between two others."""

    link: Link | Spot | Among
    subject: int
    object: int
    third: int | None = None

    @property
    def entities(self) -> tuple[int, ...]:
        """The different ones, as the arrays of truth are indexed."""
        found = (self.subject,) if self.subject == self.object else (self.subject, self.object)
        return found if self.third is None else (*found, self.third)

    def renamed(self, to: dict[int, int]) -> Claim:
        """The same of other entities: number -> new number."""
        subject, obj, third = (to.get(entity, entity) for entity in (self.subject, self.object, self.third))
        return Claim(self.link, subject, obj, third)


@dataclass(frozen=True)
class Mention:
    """A place in the text that names an entity; `noun` chooses among synonyms."""

    entity: int
    article: str = "a"
    noun: int = 0


@dataclass(frozen=True)
class Wording:
    """A place in the text that words a claim."""

    claim: int
    choice: int = 0


Part = str | Mention | Wording


@dataclass(frozen=True)
class Statement:
    """Entities, claims about them, and the text as fixed words, mentions and worded claims."""

    entities: tuple[Description, ...]
    claims: tuple[Claim, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Phrase:
    """One mention in a text: characters [start, end) name entity number `entity`."""

    entity: int
    start: int
    end: int


@dataclass(frozen=True)
class Text:
    """A worded statement."""

    text: str
    phrases: tuple[Phrase, ...] = field(default=())


def _claim_words(statement: Statement, wording: Wording) -> str:
    claim = statement.claims[wording.claim]
    if claim.link is Link.ON:
        stuff = statement.entities[claim.object].kind
        return stuff.preposition if isinstance(stuff, Stuff) else "on"
    choices = SPOT_WORDINGS[claim.link] if isinstance(claim.link, Spot) else WORDINGS[claim.link]
    return choices[wording.choice % len(choices)]


def word(statement: Statement) -> Text:
    """Renders a statement; a text that starts with a mention keeps its case (see `capitalised`)."""
    text, phrases = "", []
    for part in statement.parts:
        if isinstance(part, str):
            text += part
        elif isinstance(part, Wording):
            text += _claim_words(statement, part)
        else:
            words = statement.entities[part.entity].words(part.article, part.noun)
            phrases.append(Phrase(part.entity, len(text), len(text) + len(words)))
            text += words
    return Text(text, tuple(phrases))


def capitalised(text: Text) -> Text:
    """The same text with a capital at its start and after every full stop."""
    letters = list(text.text)
    for k in range(len(letters)):
        if k == 0 or text.text[k - 2 : k] == ". ":
            letters[k] = letters[k].upper()
    return Text("".join(letters), text.phrases)


def stopped(text: Text) -> Text:
    """The same text with a full stop, if it has none."""
    return text if text.text.endswith(".") else Text(text.text + ".", text.phrases)


def word_like(statement: Statement, model: Text) -> Text:
    """Renders a statement with a capital and a full stop where another text has them."""
    text = word(statement)
    if model.text[0].isupper():
        text = capitalised(text)
    return stopped(text) if model.text.endswith(".") else text


def solutions(
    statement: Statement, segments: Sequence[Segment], truth: dict[Link | Spot | Among, np.ndarray]
) -> Iterator[tuple[int, ...]]:
    """All assignments of distinct segments (by index) to entities that make the statement true."""
    candidates = [[k for k, s in enumerate(segments) if entity.fits(s)] for entity in statement.entities]
    chosen: list[int] = []

    def extend() -> Iterator[tuple[int, ...]]:
        n = len(chosen)
        if n == len(candidates):
            yield tuple(chosen)
            return
        for k in candidates[n]:
            if k in chosen:
                continue
            chosen.append(k)
            if all(
                truth[c.link][tuple(chosen[entity] for entity in c.entities)]
                for c in statement.claims
                if max(c.entities) == n
            ):
                yield from extend()
            chosen.pop()

    return extend()
