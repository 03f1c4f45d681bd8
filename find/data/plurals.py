"""Singular, plural, article and number words of English class names."""

from __future__ import annotations

import re

IRREGULAR = {
    "men": "man", "women": "woman", "people": "person", "persons": "person", "children": "child", "kids": "kid",
    "mice": "mouse", "knives": "knife", "leaves": "leaf", "shelves": "shelf", "geese": "goose", "feet": "foot",
    "buses": "bus", "gentlemen": "gentleman", "ladies": "lady", "babies": "baby", "puppies": "puppy",
}  # fmt: skip
UNCOUNTED = frozenset({"sheep", "skis", "scissors", "luggage", "grass", "cattle", "stairs"})
"""Words with equal singular and plural."""

NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}


def article(words: str) -> str:
    """The words after an indefinite article."""
    return f"{'an' if re.match(r'[aeiou]', words.lower()) else 'a'} {words}"


def plural(words: str) -> str:
    """The plural of a class's name."""
    *front, last = words.split()
    back = {one: many for many, one in IRREGULAR.items() if many != "persons"}
    if last in UNCOUNTED or (last.endswith("s") and not last.endswith(("ss", "us"))):
        many = last
    elif last in back:
        many = back[last]
    elif re.search(r"[^aeiou]y$", last):
        many = last[:-1] + "ies"
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        many = last + "es"
    else:
        many = last + "s"
    return " ".join([*front, many])
