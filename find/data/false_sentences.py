"""False variants of true sentences about an image, for probes, hard negatives and training.

The synthetic world writes its own, which are false by exact labels (probes_{split}.json, recombining the true
sentence's units, and hard_negatives_{split}.json). For other data `phrase_swaps` makes them from the linked phrases;
these are false judging by the wording.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from find.data.dataset_issue import DatasetIssue
from find.data.find_bench import read_sentences
from find.data.records import read_document
from find.data.sample import Foil, PhraseSpan, Sentence
from find.data.schema import ChangeRecord, FalseSentenceDocument
from find.errors import DataError

if TYPE_CHECKING:
    from find.data.coco import CocoFolder

FORMS = "_forms"
"""Suffix of the split's name in the names of files with sentences of further forms."""

SYMMETRIC = {"and", "or", "with", "near", "by", "beside", "next", "between", "among", "alongside", "other", "together"}
"""Words that make a connection symmetric: it may be equally true in reverse."""

PREPOSITIONS = {"with", "in", "of", "on", "at", "from", "to", "for", "under", "over", "and"}
"""Words whose phrases do not have a plain list of attributes before the last word."""

DETERMINERS = {"a", "an", "the", "his", "her", "its", "their", "two", "three", "some", "several"}

OPPOSITES = (
    ("to the left of", "to the right of"), ("left of", "right of"), ("in front of", "behind"), ("above", "below"),
    ("over", "under"), ("on top of", "underneath"), ("inside", "outside"), ("into", "out of"), ("up", "down"),
    ("onto", "off"), ("toward", "away from"), ("towards", "away from"), ("on", "under"),
)  # fmt: skip
"""Relations and their opposites; the first one in a connection is reversed."""


class ProbeChange(str, Enum):
    """The kinds of change in probes."""

    ENTITIES = "entities"  # two entities are swapped
    ATTRIBUTES = "attributes"  # the attributes of two entities are swapped
    RELATION = "relation"  # a relation is reversed


@dataclass(frozen=True)
class Probe:
    """A true sentence and a false one; `origin[k]` is the phrase of the true one from which phrase k of the false one
    comes; `form` is the form of the sentences, if the file has it ("between", "two sentences", ...)."""

    truth: Sentence
    false: Sentence
    origin: tuple[int, ...]
    change: ProbeChange
    form: str = ""


def labelled_probes(folder: CocoFolder) -> list[Probe]:
    """The probes of probes_{split}.json, in the format of the hard negatives' file; none if there is no file.

    Raises:
        FindError: the file is broken, names another change, or has phrases that the true sentence lacks.
    """
    return _read_probes(folder, "")


def form_probes(folder: CocoFolder) -> list[Probe]:
    """The probes of probes_{split}_forms.json, whose true sentences are in entity_{split}_forms.json; as above."""
    return _read_probes(folder, FORMS)


def _read_probes(folder: CocoFolder, suffix: str) -> list[Probe]:
    path = folder.annotations / f"probes_{folder.split}{suffix}.json"
    if not path.exists():
        return []
    probes = []
    for truth, false, changed in read_false_sentences(path, folder, suffix):
        place = {phrase.segment_ids: number for number, phrase in enumerate(truth.phrases)}
        try:
            origin = tuple(place[phrase.segment_ids] for phrase in false.phrases)
            change = ProbeChange(changed.what)
        except (KeyError, ValueError) as error:
            raise DataError(
                f"{path}: sentence {false.id} must mean the segments of its true sentence and change "
                f"{', '.join(kind.value for kind in ProbeChange)} ({error!r})"
            ) from error
        probes.append(Probe(truth, false, origin, change, changed.form))
    return probes


@dataclass(frozen=True)
class HardNegatives:
    """A true sentence and the false ones beside it; `changes[k]` names what makes negative k false."""

    truth: Sentence
    negatives: tuple[Sentence, ...]
    changes: tuple[str, ...]


def read_hard_negatives(folder: CocoFolder) -> list[HardNegatives]:
    """The cases of hard_negatives_{split}.json: a file of sentences like the entity files, each of which also names the
    true one (`sentence_id` in entity_{split}.json, of the same image) and what was changed (`changed: {"what"}`).

    Raises:
        FindError: a file is missing or broken, a record lacks a field, or there is no such true sentence.
    """
    path = folder.annotations / f"hard_negatives_{folder.split}.json"
    found: dict[int, list[tuple[Sentence, str]]] = defaultdict(list)
    truths = {}
    for truth, negative, changed in read_false_sentences(path, folder):
        truths[truth.id] = truth
        found[truth.id].append((negative, changed.what))
    return [
        HardNegatives(truths[number], tuple(s for s, _ in pairs), tuple(change for _, change in pairs))
        for number, pairs in found.items()
    ]


def read_false_sentences(
    path: Path, folder: CocoFolder, suffix: str = ""
) -> list[tuple[Sentence, Sentence, ChangeRecord]]:
    """The true sentence, the false one, and what was changed, of each record of a file of false sentences.

    Args:
        suffix: of the entity file that has the true ones, after the split's name.

    Raises:
        FindError: a file is missing or broken, a record lacks a field, or there is no such true sentence.
    """
    truths = {s.id: s for s in _read(folder.annotations / f"entity_{folder.split}{suffix}.json", folder)}
    records = {record.id: record for record in read_document(path, FalseSentenceDocument, _refuse).annotations}
    found = []
    for negative in _read(path, folder):
        record = records.get(negative.id)
        truth = truths.get(record.sentence_id) if record is not None else None
        if record is None or truth is None:
            raise DataError(
                f"{path}: sentence {negative.id} must name its true sentence and what was changed "
                '("sentence_id", "changed": {"what"}), and there is no such true sentence'
            )
        if truth.image_id != negative.image_id:
            raise DataError(
                f"{path}: sentence {negative.id} is about image {negative.image_id}, but its true sentence {truth.id} "
                f"about image {truth.image_id}; take both files from one data set"
            )
        found.append((truth, negative, record.changed))
    return found


def _refuse(issue: DatasetIssue) -> None:
    if issue.stops:
        raise DataError(
            f'{issue} A false sentence must name its true one and what was changed ("sentence_id", "changed": '
            '{"what"}).'
        )


def _read(path: Path, folder: CocoFolder) -> list[Sentence]:
    def report(issue: DatasetIssue) -> None:
        if issue.stops:
            raise issue.error()
        warnings.warn(str(issue), stacklevel=2)

    return read_sentences(path, folder.table, report)


def read_foils(folder: CocoFolder) -> dict[int, tuple[Foil, ...]]:
    """The labelled false sentences of a folder by the id of the true one; none if it has no such files.

    Raises FindError as `labelled_probes` and `read_hard_negatives` do.
    """
    found: dict[int, list[Foil]] = defaultdict(list)
    for probe in labelled_probes(folder):
        found[probe.truth.id].append(Foil(probe.false, probe.origin))
    if (folder.annotations / f"hard_negatives_{folder.split}.json").exists():
        for case in read_hard_negatives(folder):
            found[case.truth.id] += [Foil(false, tuple(range(len(false.phrases)))) for false in case.negatives]
    return {number: tuple(foils) for number, foils in found.items()}


def phrase_swaps(sentence: Sentence) -> list[Probe]:
    """The probes that the linked phrases of a sentence allow; for data without labels of attributes and relations.

    A phrase whose words change loses its reference, which shows its original meaning, so that it is words in every
    mode. Whether a swapped sentence is false is judged by wording alone: symmetric connections are not changed.
    """
    made = (*_entities(sentence), *_attributes(sentence), *_relations(sentence))
    return [probe for probe in made if probe.false.text != sentence.text]


def _entities(sentence: Sentence) -> Iterator[Probe]:
    phrases, connections = sentence.phrases, _connections(sentence)
    for k, (one, other) in enumerate(pairwise(phrases)):
        words = set(re.findall(r"[a-z]+", connections[k + 1].lower()))
        if not words or words & SYMMETRIC or one.text.lower() == other.text.lower():
            continue
        order = list(range(len(phrases)))
        order[k], order[k + 1] = k + 1, k
        false = _sentence(sentence, connections, [phrases[number] for number in order])
        yield Probe(sentence, false, tuple(order), ProbeChange.ENTITIES)


def _attributes(sentence: Sentence) -> Iterator[Probe]:
    parts = [_attribute(phrase.text) for phrase in sentence.phrases]
    for i, j in combinations(range(len(parts)), 2):
        one, other = parts[i], parts[j]
        if one is None or other is None or one[1] == other[1] or one[2].lower() == other[2].lower():
            continue
        phrases = list(sentence.phrases)
        for k, mine, theirs in ((i, one, other), (j, other, one)):
            text = _with_article(mine[0], f"{theirs[1]} {mine[2]}")
            phrases[k] = replace(phrases[k], text=text, reference=None)
        false = _sentence(sentence, _connections(sentence), phrases)
        yield Probe(sentence, false, tuple(range(len(phrases))), ProbeChange.ATTRIBUTES)


def _relations(sentence: Sentence) -> Iterator[Probe]:
    connections = _connections(sentence)
    for k in range(1, len(sentence.phrases)):
        turned = _turned(connections[k])
        if turned is not None:
            changed = [*connections[:k], turned, *connections[k + 1 :]]
            false = _sentence(sentence, changed, sentence.phrases)
            yield Probe(sentence, false, tuple(range(len(sentence.phrases))), ProbeChange.RELATION)


def _attribute(text: str) -> tuple[str, str, str] | None:
    """Determiner, attributes and noun of a phrase such as "a small red dog"; None for any other."""
    words = text.split()
    if len(words) < 3 or words[0].lower() not in DETERMINERS or PREPOSITIONS & {word.lower() for word in words}:
        return None
    return words[0], " ".join(words[1:-1]), words[-1]


def _with_article(determiner: str, rest: str) -> str:
    if determiner.lower() not in ("a", "an"):
        return f"{determiner} {rest}"
    article = "an" if rest[0].lower() in "aeiou" else "a"
    return f"{article.capitalize() if determiner[0].isupper() else article} {rest}"


def _turned(connection: str) -> str | None:
    for pair in OPPOSITES:
        for before, after in (pair, pair[::-1]):
            turned, count = re.subn(rf"\b{before}\b", after, connection, count=1, flags=re.IGNORECASE)
            if count:
                return turned
    return None


def _connections(sentence: Sentence) -> list[str]:
    """The text before, between and after the phrases."""
    ends = [0, *(phrase.end for phrase in sentence.phrases)]
    starts = [*(phrase.start for phrase in sentence.phrases), len(sentence.text)]
    return [sentence.text[end:start] for end, start in zip(ends, starts, strict=True)]


def _sentence(sentence: Sentence, connections: Sequence[str], phrases: Sequence[PhraseSpan]) -> Sentence:
    """The sentence with other pieces; the capital of the first phrase moves to the new first piece."""
    text = connections[0]
    moved = []
    for number, (phrase, connection) in enumerate(zip(phrases, connections[1:], strict=True)):
        words = phrase.text
        if not connections[0].strip():
            old = sentence.phrases[number].text
            words = (words[0].upper() if old[0].isupper() else words[0].lower()) + words[1:]
        moved.append(replace(phrase, text=words, start=len(text), end=len(text) + len(words)))
        text += words + connection
    return replace(sentence, text=text, phrases=tuple(moved))
