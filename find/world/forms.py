"""Sentences that say more than the relation of one thing to another: where it is in the picture, "and", "between", two
sentences, verbs; each with its false relatives.

They have their own random streams, so that the other sentences of a world are unchanged.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations

from find.world.composition import Composition
from find.world.grammar import Claim, Mention, Part, Statement, Text, Wording, capitalised, solutions, word, word_like
from find.world.kinds import Place
from find.world.language import Negative, Sentence, Speaker
from find.world.probes import attributes_exchanged, exchanged, relations_reversed
from find.world.relations import OPPOSITE, Link, Relations
from find.world.spots import Among, Spot, with_spots


class Form(str, Enum):
    """What a sentence says."""

    PLACE = "place"  # one or two things, and where in the picture each of them is
    AND = "and"  # two things that have the same relation to a third
    TWO_SENTENCES = "two sentences"
    BETWEEN = "between"
    VERB = "verb"  # a relation after a verb that fits how the thing rests


MOST_ALIKE = 2
"""False relatives of a sentence that are made in one way."""
VERBS = {Place.AIR: "flies", Place.WALL: "hangs", Place.WATER: "floats"}
Made = tuple[Statement, list[int]]


@dataclass(frozen=True)
class FormSentence:
    """A true sentence of one form, and false ones about the same scene."""

    form: Form
    sentence: Sentence
    false: tuple[Negative, ...]


class FormSpeaker:
    """Writes sentences about a scene in the forms of `Form`; every sentence is true and refers to exactly one set of
    segments."""

    def __init__(self, scene: Composition, relations: Relations, rng: random.Random) -> None:
        self.scene, self.rng = scene, rng
        self.truth = with_spots(scene, relations)
        self.speaker = Speaker(scene, self.truth, rng)
        self.links = [link for link in self.speaker.links if link[0] in OPPOSITE]
        surely = self.truth.surely
        self.spots = {i: [spot for spot in Spot if surely[spot][i]] for i in scene.things}
        self.between = [
            (i, j, k) for i in scene.things for j in scene.things for k in scene.things
            if j < k and surely[Among.BETWEEN][i, j, k]
        ]  # fmt: skip

    def sentences(self, count: int) -> list[FormSentence]:
        """Up to `count` of different forms, each with at least one false relative."""
        makers: dict[Form, Callable[[], Made | None]] = {
            Form.PLACE: self._place,
            Form.AND: self._and,
            Form.TWO_SENTENCES: self._two_sentences,
            Form.BETWEEN: self._between,
            Form.VERB: self._verb,
        }
        found: list[FormSentence] = []
        forms = self.rng.sample(list(Form), len(Form))
        for form in sorted(forms, key=lambda form: form is not Form.BETWEEN):  # few scenes allow it
            for _ in range(6):
                if len(found) == count:
                    return found
                made = makers[form]()
                settled = made and self.speaker.settle(*made)
                if not settled:
                    continue
                sentence = Sentence(settled, self._styled(form, word(settled)), tuple(made[1]))
                false = self._false(sentence)
                if false:
                    found.append(FormSentence(form, sentence, tuple(false)))
                    break
        return found

    def _styled(self, form: Form, text: Text) -> Text:
        return capitalised(text) if form is Form.TWO_SENTENCES or self.rng.random() < 0.3 else text

    def _false(self, sentence: Sentence) -> list[Negative]:
        """Two entities exchanged, attributes exchanged, a relation or a place turned: at most two of each that are
        surely false."""
        said = sentence.statement
        made = [
            *(exchanged(sentence, i, j) for i, j in combinations(range(len(said.entities)), 2)),
            *attributes_exchanged(sentence),
            *relations_reversed(sentence),
        ]
        segments, possibly = self.scene.segments, self.truth.possibly
        made = [one for one in made if one and next(solutions(one[1], segments, possibly), None) is None]
        self.rng.shuffle(made)
        by_change = [[one for one in made if one[0].what == what] for what in ("entities", "attributes", "relation")]
        return [
            Negative(Sentence(statement, word_like(statement, sentence.text), means), change)
            for alike in by_change
            for change, statement, means in alike[:MOST_ALIKE]
        ]

    # What is said ---------------------------------------------------------------------------------------------------

    def _entities(self, meant: Sequence[int]) -> tuple:
        return tuple(self.speaker.describe(index) for index in meant)

    def _mention(self, entity: int, article: str = "a") -> Mention:
        return Mention(entity, article, 1 if self.rng.random() < 0.15 else 0)

    def _spot(self, entity: int, index: int, number: int) -> tuple[Claim, Wording]:
        spot = self.rng.choice(self.spots[index])
        return Claim(spot, entity, entity), Wording(number, self.rng.randrange(4))

    def _link(self) -> tuple[Link, int, int] | None:
        """A relation that can be turned, each kind as often as any other."""
        if not self.links:
            return None
        kind = self.rng.choice(sorted({link for link, *_ in self.links}, key=lambda link: link.value))
        return self.rng.choice([one for one in self.links if one[0] is kind])

    def _place(self) -> Made | None:
        rng, placed = self.rng, [i for i in self.scene.things if self.spots[i]]
        if not placed:
            return None
        meant = rng.sample(placed, min(len(placed), rng.choice((1, 2))))
        article, copula = rng.choice(("a", "a", "the")), rng.choice((" ", " ", " is "))
        claims, wordings = zip(*(self._spot(n, index, n) for n, index in enumerate(meant)), strict=True)
        first = rng.random() < 0.4  # the place comes first
        parts: list[Part] = []
        for number, wording in enumerate(wordings):
            mention = self._mention(number, article)
            there = rng.choice((copula, " there is ")) if copula != " " else copula
            parts += [rng.choice((" and ", ", ")) if number else ""]
            parts += [wording, there, mention] if first else [mention, copula, wording]
        return Statement(self._entities(meant), claims, tuple(part for part in parts if part != "")), meant

    def _and(self) -> Made | None:
        """ "A and B are left of C", or "A is left of B and C": the same is claimed of both."""
        links = [(one, other) for one, other in combinations(self.links, 2) if one[0] is other[0]]
        together = [(a, b) for a, b in links if a[2] == b[2]]
        apart = [(a, b) for a, b in links if a[1] == b[1]]
        if not (together or apart):
            return None
        rng = self.rng
        gathers = bool(together) and (not apart or rng.random() < 0.5)
        one, other = rng.choice(together if gathers else apart)
        choice = rng.randrange(2)
        if gathers:
            meant = [one[1], other[1], one[2]]
            claims = (Claim(one[0], 0, 2), Claim(one[0], 1, 2))
            parts = (self._mention(0), " and ", self._mention(1), " ", Wording(0, choice), " ", self._mention(2))
        else:
            meant = [one[1], one[2], other[2]]
            claims = (Claim(one[0], 0, 1), Claim(one[0], 0, 2))
            parts = (self._mention(0), " ", Wording(0, choice), " ", self._mention(1), " and ", self._mention(2))
        return Statement(self._entities(meant), claims, parts), meant

    def _two_sentences(self) -> Made | None:
        first = self._link()
        others = [one for one in self.links if first and not {*one[1:]} & {*first[1:]}]
        placed = [i for i in self.scene.things if first and i not in first[1:] and self.spots[i]]
        if first is None or not (others or placed):
            return None
        rng = self.rng
        meant, claims = [*first[1:]], [Claim(first[0], 0, 1)]
        parts: list[Part] = [self._mention(0), " is ", Wording(0, rng.randrange(2)), " ", self._mention(1), ". "]
        if others and (not placed or rng.random() < 0.6):
            link, k, m = rng.choice(others)
            meant += [k, m]
            claims.append(Claim(link, 2, 3))
            parts += [self._mention(2), " is ", Wording(1, rng.randrange(2)), " ", self._mention(3), "."]
        else:
            meant.append(rng.choice(placed))
            claim, wording = self._spot(2, meant[2], 1)
            claims.append(claim)
            parts += [self._mention(2), " is ", wording, "."]
        return Statement(self._entities(meant), tuple(claims), tuple(parts)), meant

    def _between(self) -> Made | None:
        if not self.between:
            return None
        meant = list(self.rng.choice(self.between))
        meant[1:] = self.rng.sample(meant[1:], 2)
        between = self.rng.choice((" between ", " is between "))
        parts = (self._mention(0), between, self._mention(1), " and ", self._mention(2))
        return Statement(self._entities(meant), (Claim(Among.BETWEEN, 0, 1, 2),), parts), meant

    def _verb(self) -> Made | None:
        picked, rng = self._link(), self.rng
        if picked is None:
            return None
        link, i, j = picked
        meant, claims = [i, j], [Claim(link, 0, 1)]
        verb = VERBS.get(self.scene.segments[i].place, "stands")
        parts: list[Part] = [self._mention(0), f" {verb} ", Wording(0, rng.randrange(2)), " ", self._mention(1)]
        if rng.random() < 0.3:
            meant.append(self.speaker.grounds[j])
            claims.append(Claim(Link.ON, 1, 2))
            parts += [" ", Wording(1), " ", Mention(2)]
        return Statement(self._entities(meant), tuple(claims), tuple(parts)), meant
