"""Links noun phrases of captions to segments, by words alone; ambiguous nouns are omitted and counted."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from find.annotation.lexicon import CLOSED, DETERMINERS, Lexicon, singular
from find.data.plurals import NUMBERS, UNCOUNTED
from find.data.sample import Category, PhraseSpan, Segment

TOKEN = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)?|\d+|[^\w\s]")
MOST_WORDS = 4
"""Maximum number of words before a noun in its phrase, besides the article."""


@dataclass(frozen=True)
class Token:
    text: str
    start: int
    end: int

    @property
    def lower(self) -> str:
        return self.text.lower()

    @property
    def is_word(self) -> bool:
        return self.text[0].isalpha()


@dataclass(frozen=True)
class Mention:
    """A noun of the lexicon: tokens [first, last], the classes that it can refer to, and whether it is a plural."""

    first: int
    last: int
    classes: frozenset[int]
    is_plural: bool
    is_uncounted: bool


def link(
    text: str, segments: Sequence[Segment], categories: Sequence[Category], lexicon: Lexicon, counts: Counter[str]
) -> tuple[PhraseSpan, ...]:
    """The phrases of a sentence that refer unambiguously to segments of its image; `counts` receives the others.

    A singular is linked if the image has exactly one segment of its class, a plural if it has several (and as many as
    its numeral says, if there is one); stuff is linked to all its segments. Omitted are nouns whose class is not in the
    image, that can refer to two classes of the image, whose class has a crowd region, that precede another noun ("dog
    house"), and classes named twice in the sentence.
    """
    tokens = [Token(m.group(), m.start(), m.end()) for m in TOKEN.finditer(text)]
    mentions = find_mentions(tokens, lexicon)
    own: dict[int, list[Segment]] = defaultdict(list)
    index_of = {category.id: category.index for category in categories}
    for segment in segments:
        own[index_of[segment.category_id]].append(segment)
    chosen: list[tuple[Mention, int]] = []
    for mention in mentions:
        there = [index for index in sorted(mention.classes) if index in own]
        if not there:
            counts["class not in the image"] += 1
        elif len(there) > 1:
            counts["may mean two classes"] += 1
        elif _modifies(tokens, mention):
            counts["before another noun"] += 1
        else:
            chosen.append((mention, there[0]))
    named = Counter(index for _, index in chosen)
    covered = {number for mention in mentions for number in range(mention.first, mention.last + 1)}
    found = []
    for mention, index in chosen:
        problem = "named twice" if named[index] > 1 else _problem(tokens, mention, own[index], categories[index])
        if problem:
            counts[problem] += 1
            continue
        start, end = tokens[_start(tokens, mention, covered)].start, tokens[mention.last].end
        found.append(PhraseSpan(text[start:end], start, end, tuple(segment.id for segment in own[index])))
        counts["linked"] += 1
    return tuple(found)


def find_mentions(tokens: Sequence[Token], lexicon: Lexicon) -> list[Mention]:
    """The nouns of the lexicon in reading order, the longest match at each place ("hot dog" is not a dog)."""
    mentions, place = [], 0
    lemmas = [singular(token.text) if token.is_word else (token.text, False) for token in tokens]
    while place < len(tokens):
        for length in range(min(lexicon.longest, len(tokens) - place), 0, -1):
            words = tuple(lemma for lemma, _ in lemmas[place : place + length])
            if words in lexicon.nouns:
                last = place + length - 1
                uncounted = tokens[last].lower in UNCOUNTED
                mentions.append(Mention(place, last, lexicon.nouns[words], lemmas[last][1], uncounted))
                place += length
                break
        else:
            place += 1
    return mentions


def _problem(tokens: Sequence[Token], mention: Mention, own: Sequence[Segment], category: Category) -> str | None:
    """The reason why a mention cannot be linked to the segments of its class; None if it can."""
    if any(segment.is_crowd for segment in own):
        return "a crowd of the class"
    if not category.is_thing or mention.is_uncounted:
        return None
    if not mention.is_plural:
        return "one of several" if len(own) > 1 else None
    if len(own) == 1:
        return "plural for one"
    numeral = next(
        (NUMBERS[t.lower] for t in tokens[max(0, mention.first - 3) : mention.first] if t.lower in NUMBERS), None
    )
    return "another number" if numeral not in (None, len(own)) else None


def _modifies(tokens: Sequence[Token], mention: Mention) -> bool:
    """Whether a noun seems to modify a following noun, as in "dog house" or "bus stop"."""
    if mention.last + 1 >= len(tokens):
        return False
    following = tokens[mention.last + 1]
    return following.is_word and following.lower not in CLOSED | DETERMINERS and not _is_verb_form(following.lower)


def _is_verb_form(word: str) -> bool:
    return word.endswith(("ing", "ed", "s"))


def _start(tokens: Sequence[Token], mention: Mention, covered: set[int]) -> int:
    """The first token of the noun phrase: its article, otherwise the first of the modifiers right before the noun."""
    describing = mention.first
    steady = True
    for place in range(mention.first - 1, max(-1, mention.first - MOST_WORDS - 2), -1):
        token = tokens[place]
        if token.lower in DETERMINERS:
            return place
        if not token.is_word or token.lower in CLOSED or place in covered:
            break
        steady = steady and not token.lower.endswith("ing")  # "riding brown horses": "riding" is not part of it
        if steady:
            describing = place
    return describing


def spans_as_json(text: str, phrases: Sequence[PhraseSpan]) -> list[Mapping[str, object]]:
    """The phrases in FIND-Bench's format: one segment as a string of digits, several as a list of strings."""
    records = []
    for phrase in phrases:
        ids = [str(segment) for segment in phrase.segment_ids]
        record: dict[str, object] = {
            "phrase": phrase.text,
            "phrase_raw": f"[{', '.join(ids)}]<{phrase.text}>",
            "annotation_id": ids[0] if len(ids) == 1 else ids,
            "start_idx": phrase.start,
            "_start_idx": phrase.start,
            "end_idx": phrase.end,
        }
        if phrase.reference is not None:
            reference = phrase.reference
            record["reference"] = {"image_id": reference.image_id, "annotation_id": reference.segment_id}
        records.append(record)
    return records
