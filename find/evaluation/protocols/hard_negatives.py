"""Hard negatives: does an image's true sentence win over ones that differ from it in an attribute or a relation?"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from find.data.coco import CocoFolder
from find.data.dataset_issue import Anomaly
from find.data.find_bench import read_sentences
from find.data.records import read_json, whole_number
from find.data.sample import Sentence
from find.errors import FindError
from find.evaluation.gallery import ImageGallery, embed_queries
from find.evaluation.interleaved_results import HardNegativeResult
from find.evaluation.queries import EntityMode, Interleaving
from find.evaluation.ranking import TIE
from find.evaluation.scores import own_scores, sentence_terms
from find.evaluation.system import QueryEmbedder


@dataclass(frozen=True)
class HardNegatives:
    """A true sentence and the false ones beside it; `changes[k]` names what makes negative k false."""

    truth: Sentence
    negatives: tuple[Sentence, ...]
    changes: tuple[str, ...]


def hard_negatives(
    model: QueryEmbedder,
    folder: CocoFolder,
    gallery: ImageGallery,
    *,
    entity_weight: float,
    batch_size: int = 32,
    progress: bool = False,
) -> HardNegativeResult | None:
    """Score the true sentence and its negatives with their own image; all entities are words.

    Returns:
        None if the folder has no hard_negatives_{split}.json, or none for the images of the gallery.
    """
    path = folder.annotations / f"hard_negatives_{folder.split}.json"
    if not path.exists():
        return None
    row_of = {image_id: row for row, image_id in enumerate(gallery.image_ids)}
    cases = [case for case in read_hard_negatives(folder) if case.truth.image_id in row_of]
    if not cases:
        return None
    sentences = [sentence for case in cases for sentence in (case.truth, *case.negatives)]
    rows = [row_of[sentence.image_id] for sentence in sentences]
    text_only = Interleaving(mode=EntityMode.TEXT)
    queries = embed_queries(model, folder, sentences, text_only, batch_size=batch_size, progress=progress)
    combined = np.split(own_scores(gallery, rows, queries, entity_weight=entity_weight), _starts(cases))
    sentence_term = np.split(sentence_terms(gallery, rows, queries), _starts(cases))
    pairs: dict[str, list[bool]] = defaultdict(list)
    for case, scores in zip(cases, combined, strict=True):
        for change, score in zip(case.changes, scores[1:], strict=True):
            pairs[change].append(bool(scores[0] > score + TIE))
    return HardNegativeResult(
        combined=_share_won(combined),
        sentence_term=_share_won(sentence_term),
        sentences=len(cases),
        negatives=sum(len(case.negatives) for case in cases),
        by_change={change: float(np.mean(won)) for change, won in sorted(pairs.items())},
    )


def read_hard_negatives(folder: CocoFolder) -> list[HardNegatives]:
    """The cases of hard_negatives_{split}.json: a file of sentences like the entity files, each of which also names the
    true one (`sentence_id` in entity_{split}.json, of the same image) and what was changed (`changed: {"what"}`).

    Raises:
        FindError: a file is missing or broken, a record lacks a field, or there is no such true sentence.
    """
    path = folder.annotations / f"hard_negatives_{folder.split}.json"
    found: dict[int, list[tuple[Sentence, str]]] = defaultdict(list)
    truths = {}
    for truth, negative, change in read_false_sentences(path, folder):
        truths[truth.id] = truth
        found[truth.id].append((negative, change))
    return [
        HardNegatives(truths[number], tuple(s for s, _ in pairs), tuple(change for _, change in pairs))
        for number, pairs in found.items()
    ]


def read_false_sentences(path: Path, folder: CocoFolder) -> list[tuple[Sentence, Sentence, str]]:
    """The true sentence, the false one, and what was changed, of each record of a file of false sentences.

    Raises:
        FindError: a file is missing or broken, a record lacks a field, or there is no such true sentence.
    """
    truths = {s.id: s for s in _read(folder.annotations / f"entity_{folder.split}.json", folder)}
    records = {record.get("id"): record for record in read_json(path, "annotations")["annotations"]}
    found = []
    for negative in _read(path, folder):
        try:
            truth = truths[whole_number(records[negative.id]["sentence_id"])]
            change = str(records[negative.id]["changed"]["what"])
        except (KeyError, TypeError, ValueError) as error:
            raise FindError(
                f"{path}: sentence {negative.id} must name its true sentence and what was changed "
                f'("sentence_id", "changed": {{"what"}}); {error!r}'
            ) from error
        if truth.image_id != negative.image_id:
            raise FindError(
                f"{path}: sentence {negative.id} is about image {negative.image_id}, but its true sentence {truth.id} "
                f"about image {truth.image_id}; take both files from one data set"
            )
        found.append((truth, negative, change))
    return found


def _read(path: Path, folder: CocoFolder) -> list[Sentence]:
    def report(anomaly: Anomaly) -> None:
        if anomaly.stops:
            raise anomaly.error()
        warnings.warn(str(anomaly), stacklevel=2)

    return read_sentences(path, folder.table, report)


def _starts(cases: Sequence[HardNegatives]) -> list[int]:
    """Where each case but the first begins in the list of all their sentences."""
    return np.cumsum([1 + len(case.negatives) for case in cases])[:-1].tolist()


def _share_won(cases: Sequence[Float[np.ndarray, " n"]]) -> float:
    """Share of the cases whose first score is above all others."""
    return float(np.mean([(scores[0] > scores[1:] + TIE).all() for scores in cases]))
