"""All variants of the interleaved protocols in one table: query types, region sources, scores and galleries."""

from __future__ import annotations

from collections.abc import Sequence

from find.data.data_split import DataSplit
from find.evaluation.gallery import ImageGallery, embed_gallery, embed_queries
from find.evaluation.held_out import HeldOut
from find.evaluation.interleaved_results import Variant
from find.evaluation.protocols.interleaved_retrieval import ENTITY_WEIGHT, GALLERY, search_gallery, searching_sentences
from find.evaluation.protocols.interleaved_segmentation import interleaved_segmentation
from find.evaluation.queries import Interleaving, all_interleavings
from find.evaluation.system import QueryEmbedder, QuerySegmenter


def segmentation_variants(
    model: QuerySegmenter,
    folder: DataSplit,
    *,
    interleavings: Sequence[Interleaving] | None = None,
    image_ids: Sequence[int] | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> list[Variant]:
    """Interleaved segmentation in all variants, one row each (see `interleaved_segmentation` for pitfalls)."""
    options = {"image_ids": image_ids, "batch_size": batch_size, "progress": progress}
    return [
        interleaved_segmentation(model, folder, interleaving=interleaving, **options).variant()
        for interleaving in (all_interleavings() if interleavings is None else interleavings)
    ]


def retrieval_variants(
    model: QueryEmbedder,
    folder: DataSplit,
    *,
    interleavings: Sequence[Interleaving] | None = None,
    gallery: int = GALLERY,
    entity_weight: float = ENTITY_WEIGHT,
    embeddings: ImageGallery | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> list[Variant]:
    """Interleaved retrieval in all variants, four rows each: with and without the entity term, strict and with region
    owners kept (see `interleaved_retrieval` for pitfalls). The images are embedded once.
    """
    options = {"batch_size": batch_size, "progress": progress}
    if embeddings is None:
        embeddings = embed_gallery(model, folder, folder.image_ids[:gallery], **options)
    first = embeddings.first(gallery)
    sentences = searching_sentences(folder, first.image_ids)
    held_out = HeldOut.read(folder)
    rows: list[Variant] = []
    for interleaving in all_interleavings() if interleavings is None else interleavings:
        queries = embed_queries(model, folder, sentences, interleaving, **options)
        found = search_gallery(first, sentences, queries, held_out, entity_weight=entity_weight, progress=progress)
        rows += found.variants(interleaving)
    return rows
