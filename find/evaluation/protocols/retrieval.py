"""Image-text retrieval with captions: the image of each caption, and a caption of each image."""

from __future__ import annotations

import numpy as np

from find.data.coco import CocoFolder
from find.evaluation.gallery import ImageGallery, embed_gallery, embed_texts
from find.evaluation.metrics import pessimistic_ranks, recall
from find.evaluation.results import MissingAnnotations, RetrievalResult
from find.evaluation.systems import TextEmbedder

GALLERY = 500


def retrieval(
    model: TextEmbedder,
    folder: CocoFolder,
    *,
    gallery: int = GALLERY,
    embeddings: ImageGallery | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> RetrievalResult:
    """Cosine between all captions and all images of the gallery: the first `gallery` images that have captions.

    IR@k: share of captions whose image is among the best k. TR@k: share of images with one of their captions among
    the best k of all captions. Equal scores count against the model.

    Args:
        embeddings: the images' vectors if they are there already; images without captions are left out of it.

    Raises:
        MissingAnnotations: no image of the gallery has a caption.
        FindError: a score is not a number.
    """
    if embeddings is None:
        embeddings = embed_gallery(model, folder, folder.image_ids[:gallery], batch_size=batch_size, progress=progress)
    rows = [row for row, image_id in enumerate(embeddings.image_ids[:gallery]) if folder.captions_of(image_id)]
    if not rows:
        raise MissingAnnotations(f"{folder.root}: no captions in captions_{folder.split}.json for these images")
    captions, owner = [], []
    for column, row in enumerate(rows):
        texts = folder.captions_of(embeddings.image_ids[row])
        captions += texts
        owner += [column] * len(texts)
    scores = (embed_texts(model, captions, progress=progress) @ embeddings.image[rows].T).numpy()
    relevant = np.array(owner)[:, None] == np.arange(len(rows))
    return RetrievalResult(
        image=recall(pessimistic_ranks(scores, relevant)),
        text=recall(pessimistic_ranks(scores.T, relevant.T)),
        gallery=len(rows),
    )
