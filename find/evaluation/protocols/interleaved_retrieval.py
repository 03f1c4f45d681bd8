"""Interleaved retrieval: the image that a sentence of words and regions describes, among many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from find.data.coco import CocoFolder
from find.data.sample import Sentence
from find.evaluation.gallery import EmbeddedQueries, ImageGallery, embed_gallery, embed_queries
from find.evaluation.held_out import HeldOut
from find.evaluation.metrics import RecallScores, pessimistic_ranks, recall
from find.evaluation.protocols.hard_negatives import hard_negatives
from find.evaluation.queries import Interleaving
from find.evaluation.results import Divided, GalleryResult, InterleavedRetrievalResult, MissingAnnotations
from find.evaluation.systems import QueryEmbedder
from find.retrieval.scoring import late_interaction

GALLERY = 500
LARGE_GALLERY = 2000
ENTITY_WEIGHT = 0.5


def interleaved_retrieval(
    model: QueryEmbedder,
    folder: CocoFolder,
    *,
    interleaving: Interleaving | None = None,
    gallery: int = GALLERY,
    large_gallery: int | None = LARGE_GALLERY,
    entity_weight: float = ENTITY_WEIGHT,
    embeddings: ImageGallery | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> InterleavedRetrievalResult:
    """IR@k: share of sentences whose image is among the best k of the gallery, one sentence an image (its first).

    Scores are `late_interaction`, with the entity term and without. An image whose pixels a query shows would be found
    by its own pixels, so it leaves that query's gallery unless it is the target; the figures with these images kept
    are given too. Equal scores count against the model.

    Args:
        gallery: the first so many images of the split.
        large_gallery: a second gallery, taken if the split has so many images; None for none.
        entity_weight: of the entity term.
        embeddings: vectors of the first images, if they are there already. They decide how large galleries can be.

    Raises:
        MissingAnnotations: no image of the gallery has a sentence.
        FindError: a score is not a number.
    """
    interleaving = interleaving or Interleaving()
    if embeddings is None:
        most = large_gallery if large_gallery is not None and large_gallery <= len(folder) else gallery
        image_ids = folder.image_ids[: max(most, gallery)]
        embeddings = embed_gallery(model, folder, image_ids, batch_size=batch_size, progress=progress)
    sentences = [folder.sentences_of(image_id)[0] for image_id in embeddings.image_ids if folder.sentences_of(image_id)]
    if not sentences:
        raise MissingAnnotations(f"{folder.root}: no sentence of {folder.split} is about one of these images")
    queries = embed_queries(model, folder, sentences, interleaving, batch_size=batch_size, progress=progress)
    held_out = HeldOut.read(folder)
    first = embeddings.first(gallery)
    negatives = hard_negatives(
        model, folder, first, entity_weight=entity_weight, batch_size=batch_size, progress=progress
    )
    shown = [is_region for entities in queries.is_region for is_region in entities]
    has_large = large_gallery is not None and gallery < large_gallery <= len(embeddings)
    return InterleavedRetrievalResult(
        gallery=search_gallery(first, sentences, queries, held_out, entity_weight=entity_weight),
        large=search_gallery(embeddings.first(large_gallery), sentences, queries, held_out, entity_weight=entity_weight)
        if has_large
        else None,
        hard_negatives=negatives,
        interleaving=interleaving,
        shown=sum(shown) / len(shown) if shown else None,
        entity_weight=entity_weight,
    )


def search_gallery(
    gallery: ImageGallery,
    sentences: Sequence[Sentence],
    queries: EmbeddedQueries,
    held_out: HeldOut,
    *,
    entity_weight: float = ENTITY_WEIGHT,
) -> GalleryResult:
    """Rank one gallery for those of the sentences whose image is in it."""
    column = {image_id: number for number, image_id in enumerate(gallery.image_ids)}
    asked = [row for row, sentence in enumerate(sentences) if sentence.image_id in column]
    relevant = np.zeros((len(asked), len(gallery)), bool)
    allowed = np.ones_like(relevant)
    for row, number in enumerate(asked):
        target = sentences[number].image_id
        relevant[row, column[target]] = True
        strangers = [owner for owner in queries.owners[number] if owner != target and owner in column]
        allowed[row, [column[owner] for owner in strangers]] = False
    apart = np.array(
        [
            held_out.holds(sentences[n].image_id, [s for phrase in sentences[n].phrases for s in phrase.segment_ids])
            for n in asked
        ]
    )
    combined = late_interaction(
        gallery.image,
        gallery.objects,
        queries.query[asked],
        queries.entities[asked],
        queries.padding[asked],
        entity_weight=entity_weight,
    ).numpy()
    sentence_term = (queries.query[asked] @ gallery.image.T).numpy()
    return GalleryResult(
        size=len(gallery),
        combined=_divided_recall(combined, relevant, allowed, apart),
        sentence_term=_divided_recall(sentence_term, relevant, allowed, apart),
        owners_kept=recall(pessimistic_ranks(combined, relevant)),
    )


def _divided_recall(
    scores: Float[np.ndarray, "q i"],
    relevant: Bool[np.ndarray, "q i"],
    allowed: Bool[np.ndarray, "q i"],
    apart: Bool[np.ndarray, " q"],
) -> Divided[RecallScores]:
    ranks = pessimistic_ranks(scores, relevant, allowed)
    if not apart.any():
        return Divided(all=recall(ranks))
    return Divided(all=recall(ranks), seen=recall(ranks[~apart]), held_out=recall(ranks[apart]))
