"""Chooses what to say of a scene: sentences, paragraphs, captions, referring expressions and hard negatives."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from find.world.composition import Composition
from find.world.grammar import (
    Claim,
    Description,
    Mention,
    Part,
    Statement,
    Text,
    Wording,
    capitalised,
    solutions,
    stopped,
    word,
    word_like,
)
from find.world.kinds import COLOURS, HELD_OUT, STUFF, THINGS, Pattern, Place, Size, Stuff, Thing
from find.world.relations import OPPOSITE, Link, Relations


@dataclass(frozen=True)
class Sentence:
    """A true statement and the segments (indices into the scene) that its entities mean."""

    statement: Statement
    text: Text
    segments: tuple[int, ...]


@dataclass(frozen=True)
class Change:
    """What makes a hard negative false: the `what` of entity or claim number `index`, from one word to another."""

    what: str
    index: int
    before: str
    after: str


@dataclass(frozen=True)
class Negative:
    """A false sentence; its phrases still carry the segments of the true one."""

    sentence: Sentence
    change: Change


class Speaker:
    """Writes sentences about a scene; every sentence is true, and refers to exactly one set of segments."""

    def __init__(self, scene: Composition, relations: Relations, rng: random.Random) -> None:
        self.scene, self.relations, self.rng = scene, relations, rng
        surely = relations.surely
        self.links = [
            (link, i, j) for link in Link if link is not Link.ON for i in scene.things for j in scene.things
            if surely[link][i, j]
        ]  # fmt: skip
        self.grounds = {i: j for i in scene.things for j in scene.stuff if surely[Link.ON][i, j]}
        self.backs = [(i, j) for i in scene.things for j in scene.stuff if surely[Link.IN_FRONT_OF][i, j]]
        counts: dict[int, int] = {}
        for i in scene.things:
            counts[scene.segments[i].kind.id] = counts.get(scene.segments[i].kind.id, 0) + 1
        self.twins = [i for i in scene.things if counts[scene.segments[i].kind.id] > 1]

    # What is meant -------------------------------------------------------------------------------------------------

    def describe(self, index: int, *, terse: bool = False) -> Description:
        """A description of a segment with a random choice of its attributes."""
        segment, rng = self.scene.segments[index], self.rng
        look = segment.look
        if look is None:
            return Description(segment.kind)
        said = Description(segment.kind, look.colour if rng.random() < (0.15 if terse else 0.9) else None)
        if not terse and rng.random() < 0.3:
            said = replace(said, size=look.size)
        if not terse and look.pattern is not Pattern.PLAIN and rng.random() < 0.35:
            said = replace(said, pattern=look.pattern)
        return said

    def settle(self, statement: Statement, meant: Sequence[int]) -> Statement | None:
        """Adds attributes until only the meant segments fit; None if none are enough."""
        target, scene = tuple(meant), self.scene
        for step in ("", "colour", "pattern", "size"):
            found = [
                s
                for s, _ in zip(solutions(statement, scene.segments, self.relations.possibly), range(24), strict=False)
            ]
            if found == [target]:
                return statement
            if step == "size":
                return None
            missing = "colour" if step == "" else "pattern" if step == "colour" else "size"
            wrong = {k for s in found for k in range(len(target)) if s[k] != target[k]}
            entities = list(statement.entities)
            for k in wrong:
                look = scene.segments[target[k]].look
                if look is not None:
                    entities[k] = replace(entities[k], **{missing: getattr(look, missing)})
            statement = replace(statement, entities=tuple(entities))
        return None

    def is_clear_alone(self, description: Description) -> bool:
        """Whether the phrase alone, without its sentence, fits one segment only."""
        return sum(description.fits(s) for s in self.scene.segments) == 1

    def _distinct(self, index: int, *, clear: float) -> Description:
        """Describes a segment; with chance `clear` so fully that the phrase needs no context, if it can."""
        said, look = self.describe(index), self.scene.segments[index].look
        if look is None or self.rng.random() >= clear:
            return said
        for name in ("colour", "pattern", "size"):
            if self.is_clear_alone(said):
                break
            said = replace(said, **{name: getattr(look, name)})
        return said

    # Sentences ------------------------------------------------------------------------------------------------------

    def sentence(
        self, *, clear: float = 0.75, about_twins: bool = False, style: Callable[[Text], Text] | None = None
    ) -> Sentence:
        """One sentence of two to four phrases.

        Args:
            clear: chance that an ambiguous phrase is made clear by attributes rather than by the sentence.
            about_twins: write about one of two things of the same category, if there are any.
            style: changes letter case or adds a full stop.
        """
        for attempt in range(60):
            made = (
                self._link_sentence(clear, about_twins and attempt < 30)
                if attempt < 50
                else self._place_sentence(clear)
            )
            if made is None:
                continue
            statement, meant = made
            settled = self.settle(statement, meant)
            if settled is not None:
                text = word(settled)
                return Sentence(settled, style(text) if style else text, tuple(meant))
        return self._plainest(style)

    def _plainest(self, style: Callable[[Text], Text] | None) -> Sentence:
        """For scenes in which nothing else is clear: what the largest kind of stuff is."""
        stuff = max(self.scene.stuff, key=lambda k: self.scene.segments[k].area)
        statement = Statement((Description(self.scene.segments[stuff].kind),), (), ("a view of ", Mention(0)))
        text = word(statement)
        return Sentence(statement, style(text) if style else text, (stuff,))

    def _mention(self, entity: int, article: str) -> Mention:
        return Mention(entity, article, 1 if self.rng.random() < 0.15 else 0)

    def _pick_link(self, about_twins: bool) -> tuple[Link, int, int] | None:
        links = [l for l in self.links if l[1] in self.twins or l[2] in self.twins] if about_twins else self.links
        if not links:
            return None
        kinds = sorted({l[0] for l in links}, key=lambda link: link.value)
        # rarer links first get an equal share, so that sentences are not all about left and right
        kind = self.rng.choice(kinds)
        return self.rng.choice([l for l in links if l[0] is kind])

    def _link_sentence(self, clear: float, about_twins: bool) -> tuple[Statement, list[int]] | None:
        picked, rng = self._pick_link(about_twins), self.rng
        if picked is None:
            return None
        link, i, j = picked
        article = "the" if rng.random() < 0.25 else "a"
        meant, claims = [i, j], [Claim(link, 0, 1)]
        copula = rng.choice((" ", " ", " is "))
        parts: list[Part] = [
            self._mention(0, article),
            copula,
            Wording(0, rng.randrange(2)),
            " ",
            self._mention(1, article),
        ]
        form = rng.random()
        if form < 0.35 and j in self.grounds:
            meant.append(self.grounds[j])
            claims.append(Claim(Link.ON, 1, 2))
            parts += [" ", Wording(1), " ", Mention(2)]
        elif form < 0.5 and i in self.grounds and copula == " ":
            meant.append(self.grounds[i])
            claims.append(Claim(Link.ON, 0, 2))
            parts = [parts[0], " ", Wording(1), " ", Mention(2), " ", *parts[2:]]
        elif form < 0.75:
            others = [l for l in self.links if l[1] not in (i, j) and l[2] not in (i, j)]
            singles = [k for k in self.grounds if k not in (i, j)]
            if others and rng.random() < 0.5:
                link2, k, m = rng.choice(others)
                meant += [k, m]
                claims.append(Claim(link2, 2, 3))
                joint = " and " if copula == " " else ", and "
                parts += [
                    joint,
                    self._mention(2, article),
                    copula,
                    Wording(1, rng.randrange(2)),
                    " ",
                    self._mention(3, article),
                ]
            elif singles:
                k = rng.choice(singles)
                meant += [k, self.grounds[k]]
                claims.append(Claim(Link.ON, 2, 3))
                joint = ", with " if copula == " " else ", and "
                parts += [
                    joint,
                    self._mention(2, article),
                    " " if copula == " " else " is ",
                    Wording(1),
                    " ",
                    Mention(3),
                ]
        entities = tuple(self._distinct(k, clear=clear) for k in meant)
        if copula == " " and rng.random() < 0.15:
            parts.insert(0, rng.choice(("there is ", "a photo of ", "a picture of ")))
        return Statement(entities, tuple(claims), tuple(parts)), meant

    def _place_sentence(self, clear: float) -> tuple[Statement, list[int]] | None:
        rng = self.rng
        if self.backs and rng.random() < 0.4:
            i, j = rng.choice(self.backs)
            link = Link.IN_FRONT_OF
        else:
            i, j = rng.choice(sorted(self.grounds.items()))
            link = Link.ON
        entities = (self._distinct(i, clear=clear), self._distinct(j, clear=clear))
        return Statement(entities, (Claim(link, 0, 1),), (self._mention(0, "a"), " ", Wording(0), " ", Mention(1))), [
            i,
            j,
        ]

    def paragraph(self) -> Sentence:
        """Three to five sentences that are clear together; later mentions of a thing say "the"."""
        rng, things = self.rng, list(self.scene.things)
        for _ in range(40):
            meant: list[int] = []
            claims: list[Claim] = []
            parts: list[Part] = []

            def entity(index: int, meant: list[int] = meant) -> Mention:
                known = index in meant
                if not known:
                    meant.append(index)
                return self._mention(meant.index(index), "the" if known else "a")

            first = rng.choice(things)
            ground = self.grounds[first]
            verb = {Place.AIR: "flies", Place.WALL: "hangs", Place.WATER: "floats"}.get(
                self.scene.segments[first].place, "stands"
            )
            a, b = entity(first), entity(ground)
            claims.append(Claim(Link.ON, a.entity, b.entity))
            parts += [a, f" {verb} ", Wording(0), " ", b, "."]
            links = self.links[:]
            rng.shuffle(links)
            wanted = rng.randint(2, 4)
            for link, i, j in links:
                if len(claims) > wanted:
                    break
                if {i, j} <= set(meant):
                    continue
                a, b = entity(i), entity(j)
                claims.append(Claim(link, a.entity, b.entity))
                parts += [" ", a, " is ", Wording(len(claims) - 1, rng.randrange(2)), " ", b, "."]
            for i in rng.sample(things, len(things)):
                if len(claims) > wanted:
                    break
                if i in meant:
                    continue
                a, b = entity(i), entity(self.grounds[i])
                claims.append(Claim(Link.ON, a.entity, b.entity))
                parts += [" ", a, " is ", Wording(len(claims) - 1), " ", b, "."]
            if len(claims) < 3:
                continue
            entities = tuple(self._distinct(k, clear=0.85) for k in meant)
            settled = self.settle(Statement(entities, tuple(claims), tuple(parts)), meant)
            if settled is not None:
                return Sentence(settled, capitalised(word(settled)), tuple(meant))
        return self.sentence(style=lambda text: capitalised(stopped(text)))

    def expression(self, index: int) -> Sentence | None:
        """A text that refers to the thing `index` and no other; None if no words are enough."""
        rng = self.rng
        near = [l for l in self.links if l[1] == index]
        for _ in range(8):
            if near and rng.random() < (0.7 if index in self.twins else 0.3):
                link, i, j = rng.choice(near)
                # for twins, often only the relation is distinctive
                entities = (self.describe(i, terse=rng.random() < 0.6), self._distinct(j, clear=0.9))
                parts = (Mention(0, "the"), " ", Wording(0, rng.randrange(2)), " ", Mention(1, "the"))
                statement, meant = Statement(entities, (Claim(link, 0, 1),), parts), [i, j]
            else:
                statement, meant = Statement((self.describe(index),), (), (Mention(0, "the"),)), [index]
            settled = self.settle(statement, meant)
            if settled is not None:
                return Sentence(settled, word(settled), tuple(meant))
        return None

    def caption(self) -> str:
        """A caption as in COCO: one sentence, or a list of what the scene shows."""
        rng = self.rng
        if rng.random() < 0.65:
            return stopped(capitalised(self.sentence(clear=0.4).text)).text
        things = rng.sample(self.scene.things, min(len(self.scene.things), rng.randint(2, 4)))
        names = [self.describe(k).words("a") for k in things]
        listed = ", ".join(names[:-1]) + " and " + names[-1]
        if rng.random() < 0.5:
            ground = self.scene.segments[self.grounds[things[-1]]].kind
            if all(self.grounds[k] == self.grounds[things[-1]] for k in things) and isinstance(ground, Stuff):
                listed += f" {ground.preposition} {Description(ground).words('the')}"
        return stopped(capitalised(Text(listed))).text

    # Hard negatives -------------------------------------------------------------------------------------------------

    def negatives(self, sentence: Sentence, count: int) -> list[Negative]:
        """Up to `count` sentences that differ from a true one in one attribute or relation and are surely false."""
        options = self._changes(sentence.statement)
        self.rng.shuffle(options)
        # each turn tries another kind of change, so that relations and sizes are changed as often as colours
        kinds = list(dict.fromkeys(change.what for change, _ in options))
        turns = {what: 0 for what in kinds}
        queue: list[tuple[int, int, Change, Statement]] = []
        for change, statement in options:
            queue.append((turns[change.what], kinds.index(change.what), change, statement))
            turns[change.what] += 1
        taken: list[Negative] = []
        for *_, change, statement in sorted(queue, key=lambda entry: entry[:2]):
            if len(taken) == count:
                break
            if next(solutions(statement, self.scene.segments, self.relations.possibly), None) is None:
                text = word_like(statement, sentence.text)
                taken.append(Negative(Sentence(statement, text, sentence.segments), change))
        return taken

    def _changes(self, statement: Statement) -> list[tuple[Change, Statement]]:
        found: list[tuple[Change, Statement]] = []
        for k, said in enumerate(statement.entities):
            for what, before, after, new in _altered(said, self.scene):
                entities = (*statement.entities[:k], new, *statement.entities[k + 1 :])
                found.append((Change(what, k, before, after), replace(statement, entities=entities)))
        for k, claim in enumerate(statement.claims):
            if claim.link in OPPOSITE and isinstance(statement.entities[claim.object].kind, Thing):
                new = replace(claim, link=OPPOSITE[claim.link])
                claims = (*statement.claims[:k], new, *statement.claims[k + 1 :])
                change = Change("relation", k, claim.link.value, new.link.value)
                found.append((change, replace(statement, claims=claims)))
        return found


def _altered(said: Description, scene: Composition) -> list[tuple[str, str, str, Description]]:
    """Descriptions that differ in one attribute; colours and categories are those of the scene, and a few more."""
    if isinstance(said.kind, Stuff):
        others = [s for s in STUFF if s is not said.kind and s.preposition == said.kind.preposition and not s.upright]
        return [("category", said.kind.name, o.name, Description(o)) for o in others[:2] if not said.kind.upright]
    found: list[tuple[str, str, str, Description]] = []
    present = [scene.segments[k].look for k in scene.things]
    if said.colour:
        near = {look.colour for look in present if look} | {said.colour}
        options = [c for c in COLOURS if c in near] + [c for c in COLOURS if c not in near][:2]
        for colour in options:
            if colour is not said.colour and (said.kind.name, colour.name) not in HELD_OUT:
                found.append(("colour", said.colour.name, colour.name, replace(said, colour=colour)))
    if said.size:
        other = Size.LARGE if said.size is Size.SMALL else Size.SMALL
        found.append(("size", said.size.value, other.value, replace(said, size=other)))
    if said.pattern:
        for pattern in Pattern:
            if pattern is not said.pattern:
                found.append(("pattern", said.pattern.value, pattern.value, replace(said, pattern=pattern)))
    for thing in THINGS:
        held = said.colour is not None and (thing.name, said.colour.name) in HELD_OUT
        here = any(look and look.thing is thing for look in present)
        if thing is not said.kind and here and not held and (thing.patterned or not said.pattern):
            found.append(("category", said.kind.name, thing.name, replace(said, kind=thing)))
    return found
