"""A lexicon of class nouns: names, synonyms, plurals; and function words that end a noun phrase."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from find.data.plurals import IRREGULAR, NUMBERS, UNCOUNTED
from find.data.records import read_whole
from find.data.sample import Category
from find.data.schema import Synonyms
from find.errors import InputError

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "person": (
        "man", "woman", "boy", "girl", "child", "kid", "baby", "lady", "guy", "player", "skier", "snowboarder",
        "surfer", "skateboarder", "rider", "pedestrian", "cyclist", "toddler", "batter", "catcher", "pitcher", "umpire",
        "worker", "gentleman", "someone",
    ),
    "bicycle": ("bike",),
    "motorcycle": ("motorbike", "scooter", "moped"),
    "airplane": ("plane", "aeroplane", "jet", "aircraft"),
    "bus": ("double decker",),
    "truck": ("lorry", "pickup"),
    "boat": ("ship", "sailboat", "canoe", "kayak"),
    "traffic light": ("stoplight", "traffic signal"),
    "fire hydrant": ("hydrant",),
    "cat": ("kitten",),
    "dog": ("puppy",),
    "horse": ("pony",),
    "cow": ("cattle", "bull", "calf"),
    "sheep": ("lamb",),
    "backpack": ("rucksack",),
    "handbag": ("purse",),
    "suitcase": ("luggage",),
    "skis": ("ski",),
    "sports ball": ("ball", "soccer ball", "tennis ball", "baseball"),
    "baseball bat": ("bat",),
    "baseball glove": ("glove", "mitt"),
    "tennis racket": ("racket", "racquet", "tennis racquet"),
    "cup": ("mug",),
    "couch": ("sofa",),
    "potted plant": ("plant", "houseplant"),
    "dining table": ("table",),
    "table": ("desk",),
    "tv": ("television", "monitor", "tv screen"),
    "laptop": ("laptop computer", "notebook computer"),
    "mouse": ("computer mouse",),
    "remote": ("remote control",),
    "cell phone": ("phone", "cellphone", "smartphone", "mobile phone"),
    "refrigerator": ("fridge",),
    "donut": ("doughnut",),
    "hair drier": ("hair dryer", "blow dryer"),
    "teddy bear": ("stuffed bear", "stuffed animal"),
    "road": ("street",),
    "pavement": ("sidewalk",),
    "grass": ("lawn",),
    "sea": ("ocean",),
    "railroad": ("railway", "train track"),
    "building": ("skyscraper",),
    "rock": ("boulder",),
    "water": ("lake", "pond"),
}  # fmt: skip
"""Synonyms by a class's plain name. `--synonyms FILE.json` adds to them."""

DETERMINERS = frozenset(
    {"a", "an", "the", "this", "that", "these", "those", "one", "another", "some", "several", "many", "few", "both",
     "his", "her", "its", "their", "my", "your", "our", "multiple", "various", *NUMBERS}
)  # fmt: skip
CLOSED = frozenset(
    re.findall(
        r"\w+",
        """
        of for in on at by with without to from into onto over under above below beside besides behind near next
        between among against along across through toward towards around inside outside up down off out about as
        like than before after during while and or but nor so yet that which who whom whose where when what there
        here it he she they them him we us i you is are was were be been being am has have had do does did can could
        will would may might must not no very also just front top bottom side left right middle background
        foreground sit sits sat stand stands stood lie lies lay ride rides rode walk walks walked run runs ran eat
        eats ate hold holds held look looks looked wear wears wore get gets play plays go goes going make makes take
        takes use uses fly flies hang hangs lean leans pass passes wait waits
        """,
    )
)
"""Words that cannot be part of a noun phrase, and hence mark its left boundary."""


@dataclass(frozen=True)
class Lexicon:
    """Singular nouns, as tuples of words -> the indices of the classes that they can refer to."""

    nouns: Mapping[tuple[str, ...], frozenset[int]]
    longest: int

    @classmethod
    def of(cls, categories: Sequence[Category], more: Mapping[str, Sequence[str]] | None = None) -> Lexicon:
        """Each class with its name, its synonyms and those in `more` (by the class's plain name).

        Raises:
            FindError: `more` names an unknown class.
        """
        more = more or {}
        known = {category.words.lower() for category in categories}
        for name in more:
            if name.lower() not in known:
                raise InputError(
                    f"synonyms for {name!r}: there is no such class; use the plain name of an existing one"
                )
        nouns: dict[tuple[str, ...], set[int]] = defaultdict(set)
        for category in categories:
            name = category.words.lower()
            for words in (name, *SYNONYMS.get(name, ()), *more.get(name, ())):
                nouns[tuple(singular(word)[0] for word in words.lower().split())].add(category.index)
        return cls({words: frozenset(indices) for words, indices in nouns.items()}, max(map(len, nouns)))


def read_synonyms(path: Path) -> dict[str, list[str]]:
    """A JSON object: class name -> list of nouns. Raises `FindError` for anything else."""
    return read_whole(path, Synonyms, 'a JSON object of lists of words, such as {"person": ["pilot"]}')


def singular(word: str) -> tuple[str, bool]:
    """A noun's singular in lower case, and whether the word was a plural."""
    word = word.lower()
    if word in UNCOUNTED:
        return word, False
    if word in IRREGULAR:
        return IRREGULAR[word], True
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word, False
    if word.endswith("ies"):
        return word[:-3] + "y", True
    if word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2], True
    return word[:-1], True
