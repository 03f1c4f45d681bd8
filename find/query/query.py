"""Queries: interleaved sequences of plain text, phrases and regions of images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from find.errors import FindError, InputError, check_characters
from find.query.entity import Entity, Phrase, Region
from find.query.operators import QueryOperators
from find.query.syntax import format_part, parse_parts

__all__ = ["Entity", "Phrase", "Query", "Region", "RenderedQuery", "Tagger"]


class Tagger(Protocol):
    """Finds the entities of plain sentences; implemented by `FIND` models that have a tagger."""

    def entity_spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Characters [start, end) of each text's entities, in reading order."""
        ...


@dataclass(frozen=True)
class RenderedQuery:
    """A query as one text with a placeholder word for each region, the input of a language encoder.

    Attributes:
        text: the whole sentence.
        spans: characters [start, end) of each entity, in the order of the text.
        is_region: whether the entity is a region (its span holds the placeholder).
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    is_region: tuple[bool, ...]

    @property
    def connections(self) -> list[str]:
        """The text before the first entity, between entities, and after the last; "" where it has no letter or digit.

        One more than entities.
        """
        edges = [0, *(edge for span in self.spans for edge in span), len(self.text)]
        texts = [self.text[start:end].strip() for start, end in zip(edges[::2], edges[1::2], strict=True)]
        return [text if any(letter.isalnum() for letter in text) else "" for text in texts]

    @property
    def readings(self) -> list[str]:
        """`connections` as a pair term reads them: in "{a cup} between {a vase} and {a clock}" the second one is
        "between and", which relates cup and clock; "and" alone does not.
        """
        texts = self.connections
        return [
            f"between {text}" if k and text.lower() == "and" and _ends_with_between(texts[k - 1]) else text
            for k, text in enumerate(texts)
        ]


def _ends_with_between(connection: str) -> bool:
    return connection.lower().split()[-1:] == ["between"]


class Query(QueryOperators):
    """An interleaved sequence: `Query("a ", Region("dog.jpg", points=(120, 80)), " next to ", Phrase("a sofa"))`.

    Phrases and regions are its entities, the plain text between them are connections. Adjacent texts are joined
    and empty ones dropped, so equal queries have equal parts. Queries are immutable.

    Args:
        parts: str, Phrase or Region, in reading order.

    Raises:
        FindError: a part of another type, or nothing but spaces.
    """

    def __init__(self, *parts: str | Phrase | Region) -> None:
        joined: list[str | Phrase | Region] = []
        for number, part in enumerate(parts, start=1):
            if not isinstance(part, (str, Phrase, Region)):
                raise InputError(f"part {number} of the query is text, Phrase or Region, not {type(part).__name__}")
            if isinstance(part, str):
                check_characters(part, f"part {number} of the query")
            if isinstance(part, str) and joined and isinstance(joined[-1], str):
                joined[-1] += part
            elif part != "":
                joined.append(part)
        self.parts: tuple[str | Phrase | Region, ...] = tuple(joined)
        if all(isinstance(part, str) and not part.strip() for part in self.parts):
            raise InputError("the query is empty: give text, a phrase or a region")

    def __eq__(self, other: object) -> bool:
        return self.parts == other.parts if isinstance(other, Query) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.parts)

    def __repr__(self) -> str:
        return f"Query({', '.join(map(repr, self.parts))})"

    @property
    def entities(self) -> tuple[Entity, ...]:
        """The phrases and regions, in reading order."""
        return tuple(part for part in self.parts if not isinstance(part, str))

    @property
    def is_entity(self) -> bool:
        """Whether it is a single phrase or region without other words."""
        words = (part for part in self.parts if isinstance(part, str))
        return len(self.entities) == 1 and not any(letter.isalnum() for part in words for letter in part)

    @property
    def entity_names(self) -> tuple[str, ...]:
        """A name for each entity: a phrase's words, a region's label or file name in brackets.

        If several regions have the same name, their places are added: [dog.jpg@120,80].
        """
        readable = self._readable()
        return tuple(entity.text if isinstance(entity, Phrase) else readable(entity) for entity in self.entities)

    @property
    def text(self) -> str:
        """The query as readable text, with regions as in `entity_names`."""
        return self._join(self._readable()).text

    @property
    def connections(self) -> list[str]:
        """The texts beside and between the entities, as `RenderedQuery.connections` has them."""
        return self._join(self._readable()).connections

    def spans(self, placeholder: str | None = None) -> tuple[tuple[int, int], ...]:
        """Characters [start, end) of each entity in `text`, or in `render(placeholder).text`."""
        return (self._join(self._readable()) if placeholder is None else self.render(placeholder)).spans

    def render(self, placeholder: str) -> RenderedQuery:
        """The query as text with `placeholder` for each region.

        Parts are joined as they are; a space is added between an entity and its neighbour only if their words would
        run together.
        """
        if not placeholder.strip():
            raise InputError("the placeholder of regions must be a word")
        return self._join(lambda region: placeholder)

    def check(self) -> None:
        """Reads every region once. Raises FindError naming the first part that cannot be used."""
        for number, part in enumerate(self.parts, start=1):
            if isinstance(part, Region):
                try:
                    part.pixels()
                    part.bitmap()
                except FindError as error:
                    raise InputError(f"part {number} of the query: {error}") from error

    def _readable(self) -> Callable[[Region], str]:
        """The readable name of a region of this query."""
        times = Counter(entity.name for entity in self.entities if isinstance(entity, Region))
        return lambda region: f"[{region.name}{region.place if times[region.name] > 1 else ''}]"

    def _join(self, word: Callable[[Region], str]) -> RenderedQuery:
        text = ""
        spans, is_region = [], []
        after_entity = False
        for part in self.parts:
            if isinstance(part, str):
                if after_entity and _is_word(part[0]):
                    text += " "
                text += part
                after_entity = False
                continue
            words = word(part) if isinstance(part, Region) else part.text
            if text and not text[-1].isspace() and (after_entity or _is_word(text[-1])):
                text += " "
            spans.append((len(text), len(text) + len(words)))
            is_region.append(isinstance(part, Region))
            text += words
            after_entity = True
        return RenderedQuery(text, tuple(spans), tuple(is_region))

    @classmethod
    def parse(cls, text: str, folder: str | os.PathLike[str] | None = None) -> Query:
        r"""Reads the command-line form: `a [dog.jpg@120,80] next to {a red sofa}`.

        Braces mark a phrase, brackets a region: `[path@x,y]` a point, `[path@x,y;x,y]` several,
        `[path@x0,y0,x1,y1]` a box, `[path#mask.png]` a mask. `\` before one of `\{}[]@#` takes it literally.

        Args:
            text: the query.
            folder: where relative paths start; the working directory if not given.

        Raises:
            FindError: a syntax error; the message has the part and its position.
        """
        return cls(*parse_parts(text, folder))

    def format(self) -> str:
        """The command-line form, which `parse` reads back to an equal query.

        Raises:
            FindError: a part has no such form (images and masks in memory, scribbles, polygons, labels).
        """
        return "".join(format_part(part, number) for number, part in enumerate(self.parts, start=1))

    def to_json(self) -> dict[str, object]:
        """Plain data for json.dump; the inverse of `from_json`. Files are stored as paths."""
        return {"parts": [_part_to_json(part) for part in self.parts]}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Query:
        """Inverse of `to_json`. Raises FindError, naming the part, if the data is not in `to_json`'s form."""
        parts = data.get("parts") if isinstance(data, Mapping) else None
        if not isinstance(parts, Sequence) or isinstance(parts, str):
            raise InputError("a query in JSON is an object with a list 'parts'")
        return cls(*(_part_from_json(part, number) for number, part in enumerate(parts, start=1)))

    @classmethod
    def from_text(cls, model: Tagger, text: str) -> Query:
        """A plain sentence, "a spotted dog left of the red car", in which the model finds the entities.

        `format()` shows the entities in braces. A sentence without any becomes a query without entities.

        Raises:
            FindError: the text is empty, or the model has no tagger.
        """
        if not isinstance(text, str) or not text.strip():
            raise InputError("the query is empty: give a sentence")
        return cls.from_sentence(text, model.entity_spans([text])[0])

    @classmethod
    def from_sentence(
        cls,
        text: str,
        spans: Sequence[tuple[int, int]],
        regions: Mapping[int, Region] | None = None,
    ) -> Query:
        """A sentence with linked words, as FIND-Bench writes it; some of them replaced by regions.

        Entity i of the query is span i. Spaces at the ends of a span are not part of its phrase.

        Args:
            text: the sentence.
            spans: characters [start, end) of each phrase, in reading order and without overlap.
            regions: index of a span -> the region that replaces its words.

        Raises:
            FindError: a span outside the sentence, empty, out of order or overlapping; a region without a span.
        """
        regions = regions or {}
        unknown = sorted(set(regions) - set(range(len(spans))))
        if unknown:
            raise InputError(f"region for entity {unknown[0]}, but the sentence {text!r} has {len(spans)} entities")
        parts: list[str | Phrase | Region] = []
        done = 0
        for number, (start, end) in enumerate(spans):
            where = f"entity {number} at [{start}, {end}) of the sentence {text!r}"
            if not 0 <= start < end <= len(text):
                raise InputError(f"{where}: the span lies outside its sentence of {len(text)} characters")
            words = text[start:end]
            if not words.strip():
                raise InputError(f"{where}: the span holds no words")
            if start < done:
                raise InputError(
                    f"{where}: it overlaps the span before it; sort spans by start and merge repeated ones"
                )
            first = start + len(words) - len(words.lstrip())
            last = first + len(words.strip())
            parts += [text[done:first], regions.get(number, Phrase(words))]
            done = last
        return cls(*parts, text[done:])


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _part_to_json(part: str | Entity) -> object:
    if isinstance(part, Phrase):
        return {"phrase": part.text}
    return {"region": part.to_json()} if isinstance(part, Region) else part


def _part_from_json(part: object, number: int) -> str | Entity:
    if isinstance(part, str):
        return part
    try:
        if isinstance(part, Mapping) and set(part) == {"phrase"}:
            return Phrase(part["phrase"])
        if isinstance(part, Mapping) and set(part) == {"region"} and isinstance(part["region"], Mapping):
            return Region.from_json(part["region"])
    except FindError as error:
        raise InputError(f"part {number} of the query: {error}") from error
    raise InputError(
        f"part {number} of the query is a string, {{'phrase': text}} or {{'region': ...}}, not {part!r:.80}"
    )
