"""Interleaved retrieval: the image that a sentence of words and regions describes, among many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from find.data.data_split import DataSplit
from find.data.sample import Sentence
from find.evaluation.distributed import in_order
from find.evaluation.gallery import EmbeddedQueries, ImageGallery, embed_gallery, embed_queries
from find.evaluation.held_out import HeldOut
from find.evaluation.interleaved_results import GalleryResult, InterleavedRetrievalResult, TermRanks
from find.evaluation.protocol import EvaluationProtocol, Run
from find.evaluation.protocols.hard_negatives import hard_negatives
from find.evaluation.queries import Interleaving
from find.evaluation.ranking import TIE, Ranks, pessimistic_ranks
from find.evaluation.scores import all_scores
from find.evaluation.system import QueryEmbedder
from find.evaluation.task_results import MissingAnnotations

GALLERY = 500
LARGE_GALLERY = 2000
ENTITY_WEIGHT = 0.5
QUERIES_AT_ONCE = 512
"""Rows of the score matrix that are computed at once; fixed, so that results are bitwise reproducible."""


def interleaved_retrieval(
    model: QueryEmbedder,
    folder: DataSplit,
    *,
    interleaving: Interleaving | None = None,
    gallery: int = GALLERY,
    large_gallery: int | None = LARGE_GALLERY,
    entity_weight: float = ENTITY_WEIGHT,
    embeddings: ImageGallery | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> InterleavedRetrievalResult:
    """IR@k: fraction of sentences whose image is among the best k of the gallery; the first sentence of each image.

    Ranks are given for the score of a search (`find.evaluation.scores`), and for the sentence term alone. Ties count
    against the model.

    Pitfalls of the published protocol: it keeps the images that a query's regions come from in the gallery; such an
        image
    is found by its own pixels and displaces the target. Here they are removed from that query's gallery (strict), and
    the figures with them are given as well (`GalleryResult.kept`). Its random choice of regions has no seed; ours has.
    With `RegionSource.SAME` the region comes from the target itself, which stays, so the figure measures how well an
    image is recognised by its own pixels; figures of the two sources must not be compared.

    Args:
        gallery: number of images, the first of the split.
        large_gallery: size of a second gallery, used if the split has that many images; None for none.
        entity_weight: weight of the entity term.
        embeddings: existing embeddings of the first images. They limit the size of the galleries.

    Raises:
        MissingAnnotations: no image of the gallery has a sentence.
        FindError: a score is not a number.
    """
    interleaving = interleaving or Interleaving()
    if embeddings is None:
        most = large_gallery if large_gallery is not None and large_gallery <= len(folder) else gallery
        image_ids = folder.image_ids[: max(most, gallery)]
        embeddings = embed_gallery(model, folder, image_ids, batch_size=batch_size, progress=progress)
    sentences = searching_sentences(folder, embeddings.image_ids)
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


def searching_sentences(folder: DataSplit, image_ids: Sequence[int]) -> list[Sentence]:
    """The first sentence of each image that has one. Raises `MissingAnnotations` if none has."""
    found = [folder.sentences_of(image_id)[0] for image_id in image_ids if folder.sentences_of(image_id)]
    if not found:
        raise MissingAnnotations(f"{folder.root}: no sentence of {folder.split} is about one of these images")
    return found


def search_gallery(
    gallery: ImageGallery,
    sentences: Sequence[Sentence],
    queries: EmbeddedQueries,
    held_out: HeldOut,
    *,
    entity_weight: float = ENTITY_WEIGHT,
    progress: bool = False,
) -> GalleryResult:
    """Ranks one gallery for the sentences whose image is in it; embeddings may be of any origin.

    Args:
        queries: row k is the query of sentence k.

    Raises:
        MissingAnnotations: no sentence is about an image of the gallery.
        FindError: a score is not a number.
    """
    column = {image_id: number for number, image_id in enumerate(gallery.image_ids)}
    asked = [row for row, sentence in enumerate(sentences) if sentence.image_id in column]
    if not asked:
        raise MissingAnnotations(f"no sentence is about one of the {len(gallery)} images of the gallery")
    targets = np.array([column[sentences[row].image_id] for row in asked])

    def ranked(starts: Sequence[int]) -> list[Int[np.ndarray, "4 q"]]:
        return [rank(start) for start in starts]

    def rank(start: int) -> Int[np.ndarray, "4 q"]:
        rows = asked[start : start + QUERIES_AT_ONCE]
        relevant = np.zeros((len(rows), len(gallery)), bool)
        relevant[np.arange(len(rows)), targets[start : start + QUERIES_AT_ONCE]] = True
        strict = np.ones_like(relevant)
        for number, row in enumerate(rows):
            strict[number, [column[owner] for owner in queries.owners[row] if owner in column]] = False
        strict |= relevant
        combined = all_scores(gallery, queries, rows, entity_weight=entity_weight)
        sentence_term = (queries.query[rows] @ gallery.image.T).numpy()
        return np.stack([
            pessimistic_ranks(scores, relevant, allowed, tie=TIE)
            for allowed in (strict, None)
            for scores in (combined, sentence_term)
        ])  # fmt: skip

    starts = range(0, len(asked), QUERIES_AT_ONCE)
    blocks = in_order(starts, ranked, batch_size=1, title="interleaved retrieval", progress=progress)
    about = [sentences[row] for row in asked]
    held = [held_out.holds(s.image_id, [id for phrase in s.phrases for id in phrase.segment_ids]) for s in about]
    image_ids, items = (np.array([getattr(s, name) for s in about], np.int64) for name in ("image_id", "id"))
    strict, strict_term, kept, kept_term = (
        Ranks(ranks, image_ids, items, np.array(held, bool)) for ranks in np.concatenate(blocks, axis=1)
    )
    return GalleryResult(
        size=len(gallery),
        strict=TermRanks(combined=strict, sentence_term=strict_term),
        kept=TermRanks(combined=kept, sentence_term=kept_term),
    )


@dataclass(frozen=True)
class InterleavedRetrieval(EvaluationProtocol):
    """Interleaved retrieval (`interleaved_retrieval`)."""

    interleaving: Interleaving | None = None
    gallery: int = GALLERY
    large_gallery: int | None = LARGE_GALLERY
    name: ClassVar[str] = "interleaved_retrieval"

    def embeds(self, run: Run) -> int:
        """The size of the larger gallery; with a limit there is only one."""
        size, there = min(self.gallery, len(run.image_ids)), len(run.image_ids)
        has_large = run.limit is None and self.large_gallery is not None and self.large_gallery <= there
        return max(size, self.large_gallery) if has_large else size

    def run(self, system: QueryEmbedder, data: DataSplit, run: Run) -> InterleavedRetrievalResult:
        return interleaved_retrieval(
            system,
            data,
            interleaving=self.interleaving,
            gallery=min(self.gallery, len(run.image_ids)),
            large_gallery=self.large_gallery,
            embeddings=run.embeddings and run.embeddings.first(self.embeds(run)),
            **run.options,
        )

    def texts(self, data: DataSplit, run: Run) -> Iterator[str]:
        """Complete sentences, even if some phrases are replaced by regions."""
        for image_id in run.image_ids[: self.gallery]:
            yield from (sentence.text for sentence in data.sentences_of(image_id))
