"""Hard negatives: does an image's true sentence beat sentences that differ in one attribute or relation?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from find.data.data_split import DataSplit
from find.data.false_sentences import HardNegatives
from find.evaluation.gallery import ImageGallery, embed_queries
from find.evaluation.interleaved_results import HardNegativeResult
from find.evaluation.queries import EntityMode, Interleaving
from find.evaluation.ranking import TIE
from find.evaluation.scores import own_scores, sentence_terms
from find.evaluation.system import QueryEmbedder


def hard_negatives(
    model: QueryEmbedder,
    folder: DataSplit,
    gallery: ImageGallery,
    *,
    entity_weight: float,
    batch_size: int = 32,
    progress: bool = False,
) -> HardNegativeResult | None:
    """Scores the true sentence and its negatives with their image; all entities are words.

    Returns:
        None if the data have no hard negatives for images of the gallery.
    """
    row_of = {image_id: row for row, image_id in enumerate(gallery.image_ids)}
    cases = [case for case in folder.hard_negatives() if case.truth.image_id in row_of]
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


def _starts(cases: Sequence[HardNegatives]) -> list[int]:
    """The offset of each case but the first in the list of all sentences."""
    return np.cumsum([1 + len(case.negatives) for case in cases])[:-1].tolist()


def _share_won(cases: Sequence[Float[np.ndarray, " n"]]) -> float:
    """Fraction of the cases whose first score is higher than all others."""
    return float(np.mean([(scores[0] > scores[1:] + TIE).all() for scores in cases]))
