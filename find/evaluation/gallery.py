"""Embeddings of images and queries, computed once and shared by the retrieval protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from find.data.data_split import DataSplit
from find.data.sample import Sentence
from find.errors import DataError
from find.evaluation.distributed import rows_in_order
from find.evaluation.queries import Interleaving
from find.evaluation.system import ImageEmbedder, QueryEmbedder, TextEmbedder
from find.model.predictions import ImageEmbeddings
from find.tasks.connections import Connections


@dataclass(frozen=True)
class ImageGallery:
    """Embedded images, on the CPU."""

    image_ids: tuple[int, ...]
    image: Float[Tensor, "i d"]
    objects: Float[Tensor, "i n d"]
    boxes: Float[Tensor, "i n 4"] | None = None  # boxes of the objects, in 0..1; None if the system gives none

    def __len__(self) -> int:
        return len(self.image_ids)

    def first(self, count: int) -> ImageGallery:
        """The gallery of the first `count` images."""
        return self._rows(slice(count))

    def of(self, image_ids: Sequence[int]) -> ImageGallery:
        """A gallery of some of its images. Raises `FindError` if one is missing."""
        if tuple(image_ids) == self.image_ids[: len(image_ids)]:
            return self.first(len(image_ids))
        row_of = {image_id: row for row, image_id in enumerate(self.image_ids)}
        missing = [image_id for image_id in image_ids if image_id not in row_of]
        if missing:
            raise DataError(f"{len(missing)} images have no embedding, the first is image {missing[0]}")
        rows = [row_of[image_id] for image_id in image_ids]
        return self._rows(rows)

    def _rows(self, rows: slice | list[int]) -> ImageGallery:
        image_ids = self.image_ids[rows] if isinstance(rows, slice) else tuple(self.image_ids[row] for row in rows)
        boxes = None if self.boxes is None else self.boxes[rows]
        return ImageGallery(image_ids, self.image[rows], self.objects[rows], boxes)


@dataclass(frozen=True)
class EmbeddedQueries:
    """Embedded queries, on the CPU; `padding` is True beyond the number of a query's entities."""

    query: Float[Tensor, "q d"]
    entities: Float[Tensor, "q e d"]
    padding: Bool[Tensor, "q e"]
    owners: tuple[frozenset[int], ...]  # for each query, ids of the images that its regions come from
    is_region: tuple[tuple[bool, ...], ...]  # for each entity of each query
    connections: Connections | None = None  # connections between entities; None if the system does not score them


def embed_gallery(
    model: ImageEmbedder,
    folder: DataSplit,
    image_ids: Sequence[int],
    *,
    batch_size: int = 32,
    progress: bool = False,
) -> ImageGallery:
    """Embeds some images of a folder, in order."""

    has_boxes = True

    def embed(chunk: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        nonlocal has_boxes
        embedded = model.embed_images([folder.image(image_id) for image_id in chunk])
        has_boxes = isinstance(embedded, ImageEmbeddings)
        objects = embedded.objects.float().cpu()
        boxes = embedded.boxes.cpu() if has_boxes else objects.new_zeros(*objects.shape[:2], 4)
        return embedded.image.float().cpu(), objects, boxes

    title = "embedding images"
    image, objects, boxes = rows_in_order(image_ids, embed, batch_size=batch_size, title=title, progress=progress)
    return ImageGallery(tuple(image_ids), image, objects, boxes if has_boxes else None)


def embed_queries(
    model: QueryEmbedder,
    folder: DataSplit,
    sentences: Sequence[Sentence],
    interleaving: Interleaving,
    *,
    batch_size: int = 32,
    progress: bool = False,
) -> EmbeddedQueries:
    """Embeds the queries of some sentences. Pixels of their regions are read batch by batch and released."""
    most = max(len(sentence.phrases) for sentence in sentences)
    pair_term = getattr(model, "pair_term", None)

    def embed(chunk: Sequence[Sentence]) -> tuple[Tensor, ...]:
        row = model.embed_queries([interleaving.query(sentence, folder).query for sentence in chunk])
        entities, padding = row.entities.float().cpu(), row.padding.cpu()
        missing = most - padding.shape[1]
        found = row.query.float().cpu(), F.pad(entities, (0, 0, 0, missing)), F.pad(padding, (0, missing), value=True)
        return found if pair_term is None else (*found, row.connections.widened(most).said.float().cpu())

    title = f"embedding queries, {interleaving.name}"
    query, entities, padding, *said = rows_in_order(
        sentences, embed, batch_size=batch_size, title=title, progress=progress
    )
    places = [interleaving.places(sentence) for sentence in sentences]
    return EmbeddedQueries(
        query=query,
        entities=entities,
        padding=padding,
        owners=tuple(frozenset(place[0] for place in row if place is not None) for row in places),
        is_region=tuple(tuple(place is not None for place in row) for row in places),
        connections=Connections(said[0], pair_term).to("cpu") if said else None,
    )


def embed_texts(
    model: TextEmbedder, texts: Sequence[str], *, batch_size: int = 256, progress: bool = False
) -> Float[Tensor, "t d"]:
    """Embeds texts in batches, repeated texts only once."""
    unique = list(dict.fromkeys(texts))
    (vectors,) = rows_in_order(
        unique,
        lambda chunk: (model.embed_texts(chunk).float().cpu(),),
        batch_size=batch_size,
        title="embedding texts",
        progress=progress,
    )
    row = {text: number for number, text in enumerate(unique)}
    return vectors[[row[text] for text in texts]]
