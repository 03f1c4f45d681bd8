"""The album: every image of a folder embedded once and kept in one file, to be searched with any query."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError, safe_open
from torch import Tensor

from find.errors import FindError
from find.files import write_tensors
from find.images import read_image
from find.query import Query
from find.retrieval.scoring import late_interaction, match_entities

if TYPE_CHECKING:
    from find.model import FIND
    from find.predictions import EntityMask

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
FORMAT = "find-album-1"


@dataclass(frozen=True)
class Skipped:
    """An image that could not be embedded, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Hit:
    """One image that a search found.

    score: image_term + 0.5 * mean(entity_terms); the image_term alone for a query without entities.
    image_term: cosine of the image's vector with the sentence's.
    entity_terms: for each entity of the query, cosine with the nearest object of the image.
    objects: for each entity, the number of that object among the image's proposals.
    """

    path: Path
    score: float
    image_term: float
    entity_terms: tuple[float, ...]
    objects: tuple[int, ...]


class Album:
    """Embedded images, and the model that embedded them. Made by `Album.build` or `Album.open`.

    Attributes:
        paths: the images' files, in the order of the vectors.
        sizes: (height, width) of each image in pixels.
        images, objects, scores: unit image vectors, unit object vectors (float16) and objectness in 0..1.
        skipped: images that could not be embedded when the album was built; empty for an opened album.
    """

    def __init__(
        self,
        *,
        model: FIND,
        paths: Sequence[Path],
        sizes: Int64[Tensor, "i 2"],
        images: Float[Tensor, "i d"],
        objects: Float[Tensor, "i n d"],
        scores: Float[Tensor, "i n"],
        skipped: Sequence[Skipped] = (),
    ) -> None:
        self.model = model
        self.paths = tuple(paths)
        self.sizes = sizes
        self.images = images
        self.objects = objects
        self.scores = scores
        self.skipped = tuple(skipped)

    def __len__(self) -> int:
        return len(self.paths)

    @classmethod
    def build(
        cls,
        model: FIND,
        photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        path: str | os.PathLike[str],
        *,
        batch_size: int = 32,
        progress: bool = True,
    ) -> Album:
        """Embeds images and writes the album's file.

        Args:
            photos: a folder, searched with its sub-folders, or the image files themselves.
            path: the album's file to write; an existing one is replaced when all is done.
            batch_size: images embedded at a time.
            progress: show a progress bar on the terminal.

        Files that are no readable image do not stop the work: they are listed in `skipped`.

        Raises:
            FindError: no such folder, no image in it, or not one that could be read.
        """
        files = _image_files(photos)
        parts: list[_Part] = []
        skipped: list[Skipped] = []
        for start in _track(range(0, len(files), batch_size), progress):
            _embed(model, files[start : start + batch_size], parts, skipped)
        if not parts:
            first = skipped[0]
            raise FindError(f"{first.path}: {first.reason}; none of {len(files)} images can be used")
        album = cls(
            model=model,
            paths=[file for part in parts for file in part.files],
            sizes=torch.cat([part.sizes for part in parts]),
            images=torch.cat([part.images for part in parts]),
            objects=torch.cat([part.objects for part in parts]),
            scores=torch.cat([part.scores for part in parts]),
            skipped=skipped,
        )
        album.save(path)
        return album

    @classmethod
    def open(cls, path: str | os.PathLike[str], model: FIND) -> Album:
        """Reads an album's file.

        Raises:
            FindError: no such file, no album, or one that other weights have made (its vectors would be
                compared with those of another space).
        """
        path = Path(path)
        if not path.is_file():
            raise FindError(f"{path}: no such album; make one with: findvl index PHOTOS {path}")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise FindError(f"{path}: this file is no album of format {FORMAT}; make it anew: findvl index")
                fingerprint = model.fingerprint
                if metadata["fingerprint"] != fingerprint:
                    raise FindError(
                        f"{path}: this album was made by other weights ({metadata['fingerprint'][:12]}, "
                        f"the model's are {fingerprint[:12]}); open it with those (--weights), "
                        "or make it anew with: findvl index"
                    )
                tensors = {name: file.get_tensor(name) for name in ("images", "objects", "scores", "sizes")}
        except (SafetensorError, OSError) as error:
            raise FindError(f"{path}: not an album, or a damaged one ({error})") from error
        folder = path.resolve().parent
        paths = [Path(os.path.normpath(folder / name)) for name in json.loads(metadata["paths"])]
        return cls(model=model, paths=paths, **tensors)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the album into one file. Images are named relative to it, so both can move together."""
        path = Path(path)
        folder = path.resolve().parent
        metadata = {
            "format": FORMAT,
            "fingerprint": self.model.fingerprint,
            "paths": json.dumps([os.path.relpath(name.resolve(), folder) for name in self.paths]),
        }
        tensors = {"images": self.images, "objects": self.objects, "scores": self.scores, "sizes": self.sizes}
        write_tensors(path, tensors, metadata)

    def search(self, query: Query, k: int = 10) -> list[Hit]:
        """The `k` images (fewer if the album is smaller) that fit the query best, best first.

        Ties keep the album's order. A query without entities is scored by its sentence alone.
        """
        return self.search_all([query], k)[0]

    def search_all(self, queries: Sequence[Query], k: int = 10) -> list[list[Hit]]:
        """`search` for many queries at once."""
        embedded = self.model.embed_queries(queries)
        vectors, entities = embedded.query.float().cpu(), embedded.entities.float().cpu()
        scores = late_interaction(self.images, self.objects, vectors, entities, embedded.padding.cpu())
        results = []
        for row, (query, vector) in enumerate(zip(queries, vectors, strict=True)):
            best = scores[row].sort(descending=True, stable=True).indices[:k]
            count = len(query.entities)
            matches = match_entities(self.objects[best].float(), entities[row : row + 1, :count])
            sentence = self.images[best].float() @ vector
            results.append(
                [
                    Hit(
                        path=self.paths[image],
                        score=float(scores[row, image]),
                        image_term=float(sentence[rank]),
                        entity_terms=tuple(matches.similarity[0, :, rank].tolist()),
                        objects=tuple(matches.object_index[0, :, rank].tolist()),
                    )
                    for rank, image in enumerate(best.tolist())
                ]
            )
        return results

    def ground(self, query: Query, hits: Sequence[Hit]) -> list[list[EntityMask]]:
        """A mask of each entity of the query in each image that was found.

        Raises:
            FindError: the query has no entity, or an image has gone since.
        """
        pictures = [read_image(hit.path) for hit in hits]
        return self.model.segment(pictures, [query] * len(pictures)) if pictures else []


@dataclass(frozen=True)
class _Part:
    """Images that were embedded together."""

    files: Sequence[Path]
    sizes: Int64[Tensor, "i 2"]
    images: Float[Tensor, "i d"]
    objects: Float[Tensor, "i n d"]
    scores: Float[Tensor, "i n"]


def _image_files(photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    if not isinstance(photos, (str, os.PathLike)):
        files = [Path(photo) for photo in photos]
        if not files:
            raise FindError("an album needs at least one image, the list of files is empty")
        return files
    folder = Path(photos)
    if not folder.exists():
        raise FindError(f"{folder}: no such folder of photos")
    if folder.is_file():
        return [folder]
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())
    if not files:
        raise FindError(f"{folder}: no image in this folder (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
    return files


def _embed(model: FIND, files: Sequence[Path], parts: list[_Part], skipped: list[Skipped]) -> None:
    """Embeds files together, or each by itself where the model refuses one; adds to `parts` and `skipped`."""
    pictures, readable = [], []
    for file in files:
        try:
            pictures.append(read_image(file))
            readable.append(file)
        except FindError as error:
            skipped.append(Skipped(file, _reason(file, error)))
    if not pictures:
        return
    try:
        parts.append(_embed_pictures(model, readable, pictures))
    except FindError as error:
        if len(readable) == 1:
            skipped.append(Skipped(readable[0], _reason(readable[0], error)))
            return
        for file in readable:
            _embed(model, [file], parts, skipped)


def _embed_pictures(model: FIND, files: Sequence[Path], pictures: Sequence[np.ndarray]) -> _Part:
    embedded = model.embed_images(pictures).to("cpu")
    return _Part(
        files=files,
        sizes=torch.tensor([picture.shape[:2] for picture in pictures]),
        images=embedded.image.float(),
        objects=embedded.objects.half(),
        scores=embedded.scores.half(),
    )


def _reason(file: Path, error: FindError) -> str:
    return str(error).removeprefix(f"{file}: ")


def _track(starts: Sequence[int], progress: bool) -> Iterable[int]:
    from rich.progress import track

    return track(starts, description="Embedding images", disable=not progress)
