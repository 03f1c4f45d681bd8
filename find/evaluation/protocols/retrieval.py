"""Image-text retrieval with captions or sentences: the image of each text, and a text of each image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from find.data.data_split import DataSplit
from find.data.records import read_whole
from find.data.schema import ImageIds, KarpathyDocument
from find.errors import DataError
from find.evaluation.distributed import in_order
from find.evaluation.gallery import ImageGallery, embed_gallery, embed_texts
from find.evaluation.protocol import EvaluationProtocol, Run
from find.evaluation.ranking import TIE, Ranks, pessimistic_ranks
from find.evaluation.system import TextEmbedder
from find.evaluation.task_results import MissingAnnotations, RetrievalResult

GALLERY = 500
KARPATHY_CAPTIONS = 5
QUERIES_AT_ONCE = 512
"""Rows of the score matrix that are computed at once; fixed, so that results are bitwise reproducible."""


class TextKind(str, Enum):
    """The kind of texts to retrieve with."""

    CAPTIONS = "captions"  # captions_{split}.json
    SENTENCES = "sentences"  # the entity sentences, as plain text (the published tables' COCO-Entity column)


@dataclass(frozen=True)
class ImageText:
    """A text of an image: its words, and its index among the image's captions or the sentence's id."""

    image_id: int
    item: int
    text: str


def retrieval(
    model: TextEmbedder,
    folder: DataSplit,
    *,
    kind: TextKind = TextKind.CAPTIONS,
    image_ids: Sequence[int] | None = None,
    gallery: int = GALLERY,
    texts_per_image: int | None = None,
    embeddings: ImageGallery | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> RetrievalResult:
    """Image-text retrieval by cosine similarity of all texts and images of the gallery.

    IR@k: fraction of texts whose image is among the best k. TR@k: fraction of images with one of their texts among the
    best k of all texts. Ties count against the model. The published figures on COCO are on Karpathy's test split of
    5,000 images (`read_image_ids`) with the first five captions of each (`KARPATHY_CAPTIONS`).

    Args:
        kind: captions or entity sentences.
        image_ids: the images of the gallery; by default the first `gallery` ones of the split. Images without
            texts are left out.
        texts_per_image: use only this many texts of each image; all by default.
        embeddings: existing embeddings of the images.

    Raises:
        MissingAnnotations: no image of the gallery has a text.
        FindError: a score is not a number.
    """
    if image_ids is None:
        image_ids = (embeddings.image_ids if embeddings is not None else folder.image_ids)[:gallery]
    texts = texts_about(folder, image_ids, kind, texts_per_image)
    if embeddings is None:
        embeddings = embed_gallery(model, folder, image_ids, batch_size=batch_size, progress=progress)
    vectors = embed_texts(model, [text.text for text in texts], progress=progress)
    return score_retrieval(embeddings.of(image_ids), vectors, texts, kind=kind)


def score_retrieval(
    images: ImageGallery, vectors: Float[Tensor, "t d"], texts: Sequence[ImageText], *, kind: TextKind
) -> RetrievalResult:
    """The same for vectors of any origin; `vectors[k]` belongs to `texts[k]`; all have unit length.

    Raises:
        FindError: a score is not a number.
    """
    of_text = np.array([text.image_id for text in texts])
    rows = np.flatnonzero(np.isin(images.image_ids, of_text))
    of_image = np.array(images.image_ids)[rows]
    pictures = images.image[rows]
    return RetrievalResult(
        image_ranks=_ranks(vectors, pictures, of_text, of_image, np.array([text.item for text in texts])),
        text_ranks=_ranks(pictures, vectors, of_image, of_text, np.zeros(len(rows), np.int64)),
        gallery=len(rows),
        texts=kind.value,
    )


def texts_about(
    folder: DataSplit, image_ids: Sequence[int], kind: TextKind, texts_per_image: int | None = None
) -> list[ImageText]:
    """The texts of some images, in the order of the images.

    Raises:
        MissingAnnotations: there are none.
    """
    found: list[ImageText] = []
    for image_id in image_ids:
        if kind is TextKind.CAPTIONS:
            numbered = list(enumerate(folder.captions_of(image_id)))
        else:
            numbered = [(sentence.id, sentence.text) for sentence in folder.sentences_of(image_id)]
        found += [ImageText(image_id, item, text) for item, text in numbered[:texts_per_image]]
    if not found:
        file = f"captions_{folder.split}.json" if kind is TextKind.CAPTIONS else f"entity_{folder.split}.json"
        raise MissingAnnotations(f"{folder.root}: no {kind.value} in {file} for these images")
    return found


def read_image_ids(path: str | Path, folder: DataSplit, *, part: str = "test") -> tuple[int, ...]:
    """The image ids of a split that a JSON file names: a list of ids, or Karpathy's dataset_coco.json (of which the
    images of `part` are taken, by their `cocoid`).

    Raises:
        FindError: the file has another format, or names an image that is not in the folder.
    """
    path = Path(path)
    content = read_whole(
        path, ImageIds, "a list of image ids, or Karpathy's dataset_coco.json with cocoid and split of each image"
    )
    if isinstance(content, KarpathyDocument):
        content = [image.cocoid for image in content.images if image.split == part]
    ids = tuple(map(int, content))
    if not ids:
        raise DataError(f"{path}: it names no images of the part {part!r}")
    twice = next((image_id for image_id, count in Counter(ids).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{path}: image {twice} is listed twice, and would count twice. List each image once")
    known = set(folder.image_ids)
    strangers = [image_id for image_id in ids if image_id not in known]
    if strangers:
        raise DataError(
            f"{path}: {len(strangers)} of its {len(ids)} images are not in {folder.split}, the first is "
            f"{strangers[0]}; Karpathy's split is of val2014, so link those images into one split"
        )
    return ids


def _ranks(
    queries: Float[Tensor, "q d"],
    items: Float[Tensor, "i d"],
    of_query: Int[np.ndarray, " q"],
    of_item: Int[np.ndarray, " i"],
    numbers: Int[np.ndarray, " q"],
) -> Ranks:
    def ranked(starts: Sequence[int]) -> list[np.ndarray]:
        found = []
        for start in starts:
            block = slice(start, start + QUERIES_AT_ONCE)
            scores = (queries[block] @ items.T).numpy()
            found.append(pessimistic_ranks(scores, of_query[block, None] == of_item, tie=TIE))
        return found

    blocks = in_order(range(0, len(queries), QUERIES_AT_ONCE), ranked, batch_size=1, title="ranking")
    return Ranks(np.concatenate(blocks), of_query, numbers, np.zeros(len(of_query), bool))


@dataclass(frozen=True)
class Retrieval(EvaluationProtocol):
    """Image-text retrieval (`retrieval`)."""

    gallery: int = GALLERY
    name: ClassVar[str] = "retrieval"

    def embeds(self, run: Run) -> int:
        return min(self.gallery, len(run.image_ids))

    def run(self, system: TextEmbedder, data: DataSplit, run: Run) -> RetrievalResult:
        return retrieval(system, data, gallery=self.embeds(run), embeddings=run.embeddings, **run.options)

    def texts(self, data: DataSplit, run: Run) -> Iterator[str]:
        for image_id in run.image_ids[: self.gallery]:
            yield from data.captions_of(image_id)
