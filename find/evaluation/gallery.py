"""Vectors of images and queries, each embedded once and shared by the retrieval protocols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from rich.progress import track
from torch import Tensor

from find.data.coco import CocoFolder
from find.data.sample import Sentence
from find.evaluation.queries import Interleaving
from find.evaluation.systems import ImageEmbedder, QueryEmbedder, TextEmbedder

T = TypeVar("T")


@dataclass(frozen=True)
class ImageGallery:
    """Embedded images, on the CPU."""

    image_ids: tuple[int, ...]
    image: Float[Tensor, "i d"]
    objects: Float[Tensor, "i n d"]

    def __len__(self) -> int:
        return len(self.image_ids)

    def first(self, count: int) -> ImageGallery:
        """The gallery of the first `count` images."""
        return ImageGallery(self.image_ids[:count], self.image[:count], self.objects[:count])


@dataclass(frozen=True)
class EmbeddedQueries:
    """Embedded queries, on the CPU; `padding` is True where a query has fewer entities."""

    query: Float[Tensor, "q d"]
    entities: Float[Tensor, "q e d"]
    padding: Bool[Tensor, "q e"]
    owners: tuple[frozenset[int], ...]  # of each query: ids of the images whose pixels it shows
    is_region: tuple[tuple[bool, ...], ...]  # of each query's entities


def embed_gallery(
    model: ImageEmbedder,
    folder: CocoFolder,
    image_ids: Sequence[int],
    *,
    batch_size: int = 32,
    progress: bool = False,
) -> ImageGallery:
    """Embed some images of a folder, in their order."""
    images, objects = [], []
    for chunk in batches(image_ids, batch_size, title="embedding images", progress=progress):
        embedded = model.embed_images([folder.image(image_id) for image_id in chunk])
        images.append(embedded.image.float().cpu())
        objects.append(embedded.objects.float().cpu())
    return ImageGallery(tuple(image_ids), torch.cat(images), torch.cat(objects))


def embed_queries(
    model: QueryEmbedder,
    folder: CocoFolder,
    sentences: Sequence[Sentence],
    interleaving: Interleaving,
    *,
    batch_size: int = 32,
    progress: bool = False,
) -> EmbeddedQueries:
    """Embed the queries of some sentences. Their regions' pixels are read a batch at a time and not kept."""
    rows, owners, is_region = [], [], []
    for chunk in batches(sentences, batch_size, title="embedding queries", progress=progress):
        made = [interleaving.query(sentence, folder) for sentence in chunk]
        owners += [item.owners for item in made]
        is_region += [item.is_region for item in made]
        rows.append(model.embed_queries([item.query for item in made]))
    most = max(row.padding.shape[1] for row in rows)
    return EmbeddedQueries(
        query=torch.cat([row.query.float().cpu() for row in rows]),
        entities=torch.cat([_widen(row.entities.float().cpu(), most) for row in rows]),
        padding=torch.cat([F.pad(row.padding.cpu(), (0, most - row.padding.shape[1]), value=True) for row in rows]),
        owners=tuple(owners),
        is_region=tuple(is_region),
    )


def embed_texts(
    model: TextEmbedder, texts: Sequence[str], *, batch_size: int = 256, progress: bool = False
) -> Float[Tensor, "t d"]:
    """Embed texts in batches; one that repeats is embedded once."""
    unique = list(dict.fromkeys(texts))
    chunks = batches(unique, batch_size, title="embedding captions", progress=progress)
    vectors = torch.cat([model.embed_texts(chunk).float().cpu() for chunk in chunks])
    row = {text: number for number, text in enumerate(unique)}
    return vectors[[row[text] for text in texts]]


def batches(items: Sequence[T], size: int, *, title: str, progress: bool) -> Iterator[Sequence[T]]:
    """Consecutive slices of at most `size` items, under a progress bar if asked for."""
    starts = range(0, len(items), size)
    for start in track(starts, description=title, disable=not progress, transient=True):
        yield items[start : start + size]


def _widen(entities: Float[Tensor, "q e d"], width: int) -> Float[Tensor, "q w d"]:
    return F.pad(entities, (0, 0, 0, width - entities.shape[1]))
