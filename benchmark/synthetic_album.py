"""Albums of any size without images: vectors with the statistics of a real album, and queries about them.

How they are drawn. All vectors are mixtures of directions of a common space of 48 dimensions whose variances fall like
those of find-tiny's embeddings of the world (effective dimension 15 to 20). There are 600 scenes and 3,000 kinds of
things, both with frequencies that fall like 1 / rank; a scene favours 40 kinds. An image has a scene and six things; a
thing is its kind plus what only this one has. Each object vector shows one of the things (so some are near-duplicates,
as proposals are), leans to its image, and has a little noise of its own; the image vector is made of scene, things
and noise. Images share a mean direction and objects another, as real ones do. A query is about a drawn image: its
sentence vector is noise around the image's, its one to three entities are noise around things of the image, less the
objects' common direction (words and pictures keep to sides of their own). `statistics` measures the cosines that the
constants were chosen for, of these albums and of real ones alike; both columns are in the results.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from find.retrieval.objects import SIDE, ObjectMasks
from find.retrieval.table import fixed_lists, lists

LATENT = 48
THINGS = 6
CHUNK = 10_000


@dataclass(frozen=True)
class Vectors:
    """Some images of an album; float16."""

    images: Float[Tensor, "i d"]
    objects: Float[Tensor, "i n d"]


@dataclass(frozen=True)
class Queries:
    """Queries as `FIND.embed_queries` gives them, each about one image; float32."""

    sentences: Float[Tensor, "q d"]
    entities: Float[Tensor, "q e d"]
    padding: Bool[Tensor, "q e"]
    targets: Int64[Tensor, " q"]


class SyntheticAlbum:
    """Draws an album in chunks that depend on nothing but the seed and the chunk's number.

    Args:
        size: images.
        objects: object vectors an image.
        dim: of every vector, at least 48.
        seed: equal seeds give equal albums; a larger album begins with the images of a smaller one.
    """

    def __init__(self, *, size: int, objects: int = 16, dim: int = 128, seed: int = 0) -> None:
        self.size, self.objects, self.dim, self.seed = size, objects, dim, seed
        generator = self._generator(0)
        deviations = torch.arange(1, LATENT + 1).float().add(6).pow(-0.9)
        self.deviations = deviations / deviations.norm()
        self.rotation = torch.linalg.qr(torch.randn(dim, dim, generator=generator)).Q[:LATENT]
        self.scenes = self._noise(600, generator=generator)
        self.kinds = self._noise(3000, generator=generator)
        self.favourites = _zipf(len(self.kinds)).multinomial(600 * 40, replacement=True, generator=generator)
        self.favourites = self.favourites.view(600, 40)
        self.image_mean, self.object_mean = self._noise(2, generator=generator)

    def chunks(self) -> Iterator[Vectors]:
        """All images, in order."""
        for number, start in enumerate(range(0, self.size, CHUNK)):
            chunk, _ = self._chunk(number)
            count = min(CHUNK, self.size - start)
            yield Vectors(chunk.images[:count], chunk.objects[:count])

    def queries(self, count: int) -> Queries:
        """Queries about images drawn from the whole album (from one chunk each 16 queries: drawing one is work)."""
        generator = self._generator(1)
        parts, targets = [], []
        for start in range(0, count, 16):
            wanted = min(16, count - start)
            number = int(torch.randint((self.size + CHUNK - 1) // CHUNK, (1,), generator=generator))
            chunk, things = self._chunk(number)
            among = min(CHUNK, self.size - number * CHUNK)
            rows = torch.randint(among, (wanted,), generator=generator)
            targets.append(rows + number * CHUNK)
            sentences = chunk.images[rows].float() + 0.95 * self._vectors(wanted, generator=generator)
            kinds = things[rows][:, torch.randperm(THINGS, generator=generator)[:3]] @ self.rotation
            entities = kinds - 0.25 * self.object_mean @ self.rotation
            entities = entities + 0.8 * self._vectors(wanted, 3, generator=generator)
            parts.append((F.normalize(sentences, dim=-1), F.normalize(entities, dim=-1)))
        sentences, entities = (torch.cat(part) for part in zip(*parts, strict=True))
        padding = torch.arange(3) >= torch.randint(1, 4, (count, 1), generator=generator)
        return Queries(sentences, entities.masked_fill(padding[..., None], 0), padding, torch.cat(targets))

    def _chunk(self, number: int) -> tuple[Vectors, Float[Tensor, "i things latent"]]:
        generator = self._generator(2 + number)
        scene = _zipf(600).multinomial(CHUNK, replacement=True, generator=generator)
        choice = torch.randint(40, (CHUNK, THINGS), generator=generator)
        kinds = self.kinds[self.favourites[scene[:, None], choice]]
        things = kinds + 0.45 * self._noise(CHUNK, THINGS, generator=generator)
        images = 0.7 * self.image_mean + 0.55 * self.scenes[scene] + 0.9 * things.mean(dim=1)
        images = F.normalize(images + 0.45 * self._noise(CHUNK, generator=generator), dim=-1)
        shown = torch.arange(self.objects).remainder(THINGS)
        objects = things[:, shown] + 0.55 * self.object_mean + 0.28 * images[:, None]
        objects = objects + 0.2 * self._noise(CHUNK, self.objects, generator=generator)
        vectors = Vectors((images @ self.rotation).half(), (F.normalize(objects, dim=-1) @ self.rotation).half())
        return vectors, things

    def _noise(self, *shape: int, generator: torch.Generator) -> Float[Tensor, "*shape latent"]:
        """Gaussian, of length about one, with the common variances."""
        return torch.randn(*shape, LATENT, generator=generator) * self.deviations

    def _vectors(self, *shape: int, generator: torch.Generator) -> Float[Tensor, "*shape d"]:
        return self._noise(*shape, generator=generator) @ self.rotation

    def _generator(self, stream: int) -> torch.Generator:
        return torch.Generator().manual_seed(1_000_003 * self.seed + stream)


def _zipf(count: int) -> Float[Tensor, " count"]:
    return 1 / torch.arange(1, count + 1)


def album_rows(chunk: Vectors, first: int, schema: pa.Schema) -> pa.RecordBatch:
    """A chunk as an album's rows; an image is called by its number."""
    count, objects = chunk.objects.shape[:2]
    generator = np.random.default_rng(first)
    boxes = np.sort(generator.integers(0, 640, (count * objects, 4), np.int32), axis=1)
    masks = [_masks(generator, objects) for _ in range(64)]
    when = np.datetime64("2026-01-01T00:00:00", "us") + np.arange(first, first + count)
    columns = {
        "path": [str(number) for number in range(first, first + count)],
        "frame": np.zeros(count, np.int32),
        "seconds": [None] * count,
        "time": when,
        "width": np.full(count, 640, np.int32),
        "height": np.full(count, 480, np.int32),
        "bytes": generator.integers(50_000, 5_000_000, count),
        "modified": when,
        "digest": [generator.bytes(16) for _ in range(count)],
        "image": fixed_lists(chunk.images.numpy()),
        "objects": lists(fixed_lists(chunk.objects.flatten(0, 1).numpy()), [objects] * count),
        "scores": lists(pa.array(generator.random(count * objects).astype(np.float16)), [objects] * count),
        "boxes": lists(fixed_lists(boxes), [objects] * count),
        "masks": [masks[number] for number in generator.integers(0, len(masks), count)],
    }
    arrays = [
        value if isinstance(value, pa.Array) else pa.array(value, schema.field(name).type)
        for name, value in columns.items()
    ]
    arrays += [pa.nulls(count, field.type) for field in list(schema)[len(columns) :]]  # what cameras and people note
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _masks(generator: np.random.Generator, count: int) -> bytes:
    """Masks of ellipses in their boxes with wavy outlines, packed as an album packs them."""
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE * 2 - 1
    waves, turn = generator.integers(2, 7, (count, 1, 1)), generator.uniform(0, 7, (count, 1, 1))
    radius = 0.9 + 0.2 * np.sin(waves * np.arctan2(y, x) + turn)
    return ObjectMasks(np.zeros((count, 4), np.int32), x**2 + y**2 < radius**2).to_bytes()


def statistics(vectors: Vectors, queries: Queries) -> dict[str, tuple[float, float, float]]:
    """Cosines (10 %, 50 %, 90 % quantiles) between the vectors of some thousand images and queries about them."""
    images, objects = vectors.images.float(), vectors.objects.float()
    count = len(images)
    apart = ~torch.eye(count, dtype=torch.bool)
    within = torch.einsum("ind,imd->inm", objects, objects)
    same = torch.eye(objects.shape[1], dtype=torch.bool)
    best = torch.stack([torch.einsum("ed,ind->ein", row, objects).amax(-1) for row in queries.entities])
    asked = ~queries.padding
    rows = torch.arange(len(queries.targets))
    return {
        "image, another image": _quantiles((images @ images.T)[apart]),
        "image, nearest other image": _quantiles((images @ images.T).masked_fill(~apart, -1).amax(-1)),
        "object, its image": _quantiles(torch.einsum("ind,id->in", objects, images)),
        "object, another image": _quantiles(torch.einsum("ind,id->in", objects, images.roll(1, 0))),
        "object, object of its image": _quantiles(within[:, ~same]),
        "object, nearest of its image": _quantiles(within.masked_fill(same, -1).amax(-1)),
        "object, object of another image": _quantiles(torch.einsum("ind,imd->inm", objects, objects.roll(1, 0))),
        "query, its image": _quantiles((queries.sentences @ images.T)[rows, queries.targets]),
        "query, any image": _quantiles(queries.sentences @ images.T),
        "entity, nearest object of its image": _quantiles(best[rows, :, queries.targets][asked]),
        "entity, nearest object of any image": _quantiles(best[asked]),
    }


def _quantiles(values: Tensor) -> tuple[float, float, float]:
    values = values.flatten()
    values = values[torch.randint(len(values), (100_000,), generator=torch.Generator().manual_seed(0))]
    low, middle, high = values.float().quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
    return low, middle, high
