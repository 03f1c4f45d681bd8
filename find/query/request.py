"""Requests in plain English: the words around what is sought ("show me pictures of"), and what must not be there."""

from __future__ import annotations

import re
from dataclasses import dataclass

_POLITE = r"(?:please\s+)?(?:(?:can|could)\s+you\s+)?"
_ASKING = (  # "a search dog", "a display case", "a give way sign" begin with words that ask only before others
    r"(?:find|show|look(?:ing)?\s+for|i\s+(?:want|need)|i(?:'m|\s+am)\s+looking\s+for"
    r"|(?:give|get|list|display|search)(?=\s+(?:me|us|for|to\s+see|all|every|any|some|the|my|an?)\b))"
    r"(?:\s+(?:me|us|for|to\s+see))*(?:\s+(?:all|every|any|some)(?:\s+of)?)?"
)
_ASKING_PICTURES = r"(?:give|get|list|display|search)"
_SHOWING = (
    r"(?:of|with|showing|containing|(?:that|which)\s+(?:shows?|contains?|ha(?:s|ve))"
    r"|(?:where|in\s+which)\s+there\s+(?:is|are))"
)
_ABSENT = r"(?:without|with\s+no|but\s+no|no)\b"
_WORD = r"(?:(?:the|my|a|an)\s+)?(?:photo(?:graph)?|picture|pic|image|snapshot)"
_PICTURES = rf"(?:{_WORD}s?\s+(?:(?!{_ABSENT}){_SHOWING}|(?={_ABSENT})))"
_PICTURES_ALONE = (  # "a picture with a golden frame" may be a thing on a wall, "a picture of a dog" and "pictures" not
    rf"(?:{_WORD}s\s+(?:(?!{_ABSENT}){_SHOWING}|(?={_ABSENT}))|{_WORD}\s+of)"
)
_THERE = r"(?:where\s+(?:is|are)|(?:is|are)\s+there|there\s+(?:is|are))(?:\s+any)?"
_LEAD = re.compile(
    rf"\s*(?P<lead>{_POLITE}(?:(?:{_ASKING}|{_ASKING_PICTURES})\s+{_PICTURES}|{_ASKING})|{_PICTURES_ALONE}|{_THERE})"
    r"(?:\s+|(?<=\s))(?=.*\w)",
    re.IGNORECASE | re.DOTALL,
)
_WITHOUT = re.compile(
    r"(?P<wanted>.*?\w)(?<!\bbut)(?<!\band)"
    r"(?:[\s,]+(?:but\s+|and\s+)?(?:without|with\s+no)|[\s,]+(?:but|and)\s+no|\s*,\s*no)\s+(?:any\s+)?(?P<unwanted>\w.*)",
    re.IGNORECASE | re.DOTALL,
)
_ONLY_WITHOUT = re.compile(r"\s*(?:without|with\s+no|not?)\s+(?:any\s+)?(?P<unwanted>\w.*)", re.IGNORECASE | re.DOTALL)
_LISTED = re.compile(
    r"(?:\s*,\s*(?:(?:and|or|nor)\s+)?|\s+(?:and|or|nor)\s+)(?:(?:without|with\s+no|no)\s+)?(?:any\s+)?", re.IGNORECASE
)
_PLACE = re.compile(  # how words after a thing begin that are no further thing: "without a leash, on the grass"
    r"(?:with|on|in|inside|at|near|next\s+to|beside|by|under|below|over|above|behind|before|between|around|of|from|to"
    r"|left|right|that|which|who|but|is|are)\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(r"\b(?:no|not|without|never|neither|nor|except|\w+n't)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """What a plain sentence asks for.

    Attributes:
        lead: words before it that only ask, such as "show me pictures with"; "" if there are none.
        wanted: what should be there; "" if the sentence only tells what should not.
        unwanted: what follows the first "without", "with no" or "but no", each thing of a list by itself.
    """

    lead: str
    wanted: str
    unwanted: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> Request:
        """Reads a sentence without braces and brackets."""
        lead, rest = split_lead(text)
        only, both = _ONLY_WITHOUT.fullmatch(rest), _WITHOUT.fullmatch(rest)
        if both and not _ONLY_WITHOUT.fullmatch(both["wanted"]):
            unwanted = _things(both["unwanted"])
            is_list = not any(map(_PLACE.match, unwanted))
            return cls(lead, both["wanted"], unwanted) if is_list else cls(lead, rest)
        return cls(lead, "", _things(only["unwanted"])) if only else cls(lead, rest)


def split_lead(text: str) -> tuple[str, str]:
    """The words of a sentence that only ask, and the rest, which is never empty for a text that is not."""
    found = _LEAD.match(text)
    return (found["lead"].strip(), text[found.end() :]) if found else ("", text)


def negation(text: str) -> str | None:
    """The first word of a text that denies something."""
    found = _NEGATION.search(text)
    return found[0] if found else None


def _things(text: str) -> tuple[str, ...]:
    said = re.sub(r"[\s,]+please\W*$", "", text, flags=re.IGNORECASE)
    return tuple(thing for part in _LISTED.split(said) if (thing := part.strip(" .!?")))
