"""A map of an album: similar pictures beside each other, in clusters that queries name, as one page of HTML."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from PIL import Image
from torch import Tensor

from find.errors import FindError, InputError
from find.images.images import read_size, read_thumbnail
from find.retrieval.ranking import exact_scores
from find.retrieval.table import reading
from find.retrieval.vectors import QueryVectors, Vectors, take_rows
from find.utils.extras import extra

if TYPE_CHECKING:
    from find.query.query import Query
    from find.retrieval.album import Album

Layout = Literal["auto", "umap", "pca"]
PAGE = Path(__file__).with_name("album_map.html")
DATA_MARK = "/*DATA*/"
THUMBNAIL = 96
"""Pixels of the longer side of a picture on the page: about 3 kB each."""


@dataclass(frozen=True)
class MapSettings:
    """How a map is made.

    Args:
        clusters: how many; None: the square root of half the pictures, 3 to 24.
        most: pictures on the map; of a larger album, evenly spread ones.
        layout: umap needs umap-learn, pca does not; auto uses UMAP if it is installed.
    """

    clusters: int | None = None
    most: int = 2000
    layout: Layout = "auto"


@dataclass(frozen=True)
class MapPicture:
    """A picture on the map: x and y in 0..1, the number of its cluster, and its thumbnail as JPEG."""

    name: str
    x: float
    y: float
    cluster: int
    thumbnail: bytes


@dataclass(frozen=True)
class MapCluster:
    """A cluster: the query that names it, or "cluster 3"; how many pictures; its middle in 0..1."""

    name: str
    size: int
    x: float
    y: float


@dataclass(frozen=True)
class AlbumMap:
    """A map of an album. `layout` is "UMAP" or "principal components"; `unreadable` files are not on it."""

    title: str
    layout: str
    pictures: tuple[MapPicture, ...]
    clusters: tuple[MapCluster, ...]
    unreadable: tuple[Path, ...]

    def write(self, file: str | Path) -> None:
        """Writes one page of HTML with all that it needs."""
        data = {
            "title": self.title,
            "layout": self.layout,
            "clusters": [{"name": c.name, "size": c.size, "x": c.x, "y": c.y} for c in self.clusters],
            "pictures": [
                [p.name, round(p.x, 4), round(p.y, 4), p.cluster, base64.b64encode(p.thumbnail).decode()]
                for p in self.pictures
            ],
        }
        text = json.dumps(data, ensure_ascii=True).replace("<", "\\u003c")  # nothing in a name can end the script
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PAGE.read_text(encoding="utf-8").replace(DATA_MARK, text), encoding="utf-8")


def make_map(album: Album, *, names: Sequence[Query] = (), settings: MapSettings | None = None) -> AlbumMap:
    """Places, clusters and thumbnails of an album's pictures.

    Args:
        names: queries that may name clusters; each cluster has the one whose mean score in it exceeds that in the whole
            map most, in standard deviations. Several clusters may have one name.

    Raises:
        FindError: fewer than three pictures, UMAP asked for without umap-learn, or names without a model.
    """
    settings = settings or MapSettings()
    rows, _ = album.ranking.image_vectors()
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(settings.most, len(rows))).round().astype(np.int64))]
    if len(chosen) < 3:
        raise InputError(f"{album.name}: a map needs three images, this album has {len(album)}")
    with reading(album.name):
        vectors = Vectors.take(album.table, chosen, album.stamp.objects)
        facts = take_rows(album.table, chosen, ["path", "frame", "seconds"]).to_pylist()
    with ThreadPoolExecutor(8, thread_name_prefix="thumbnail") as pool:
        thumbnails = list(pool.map(lambda one: _thumbnail(album, one), facts))
    there = torch.tensor([k for k, thumbnail in enumerate(thumbnails) if thumbnail is not None])
    if len(there) < 3:
        raise InputError(
            f"{album.name}: a map needs three images that can be read; they are looked for in {album.root}"
        )
    kept, images = vectors[there], vectors.images[there].float()
    places, layout = _places(images.numpy(), settings.layout)
    count = min(settings.clusters or int(np.clip(np.sqrt(len(there) / 2), 3, 24)), len(there))
    cluster_of = _clusters(images, count)
    called = _named(album, names, kept, cluster_of)
    pictures = tuple(
        MapPicture(facts[k]["path"], float(x), float(y), int(cluster), thumbnails[k] or b"")
        for k, (x, y), cluster in zip(there.tolist(), places, cluster_of, strict=True)
    )
    clusters = []
    for number in range(int(cluster_of.max()) + 1):
        mine = places[cluster_of == number]
        x, y = np.median(mine, axis=0)
        clusters.append(MapCluster(called[number] or f"cluster {number + 1}", len(mine), float(x), float(y)))
    gone = tuple(album.file_of(one["path"]) for one, thumb in zip(facts, thumbnails, strict=True) if thumb is None)
    return AlbumMap(Path(album.name).name, layout, pictures, tuple(clusters), gone)


def _thumbnail(album: Album, one: Mapping[str, Any]) -> bytes | None:
    file = album.file_of(one["path"])
    try:
        if one["seconds"] is None:
            height, width = read_size(file)
            scale = min(1.0, THUMBNAIL / max(height, width))
            picture = Image.fromarray(
                read_thumbnail(file, (max(1, round(width * scale)), max(1, round(height * scale))))
            )
        else:
            from find.retrieval.video import read_frame

            picture = Image.fromarray(read_frame(file, one["frame"], one["seconds"]))
            picture.thumbnail((THUMBNAIL, THUMBNAIL))
    except FindError:
        return None
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=80)
    return stream.getvalue()


def _places(vectors: Float[np.ndarray, "n d"], layout: Layout) -> tuple[Float[np.ndarray, "n 2"], str]:
    """Where pictures lie, in 0..1, and by what that was found."""
    if layout == "umap" or (layout == "auto" and find_spec("umap") is not None):
        with extra("map", "a layout by UMAP"):
            from umap import UMAP
        # fewer in small albums: a neighbourhood that is larger than a group of equal pictures ties it to another group
        neighbours = int(np.clip(len(vectors) // 5, 2, 15))
        places = UMAP(
            n_neighbors=neighbours, min_dist=0.3, metric="cosine", random_state=0, n_jobs=1, init="pca"
        ).fit_transform(vectors)
        method = "UMAP"
    else:
        centred = vectors - vectors.mean(0)
        _, _, directions = np.linalg.svd(centred, full_matrices=False)
        directions = directions[:2] * np.sign(directions[:2].sum(1, keepdims=True) + 1e-12)  # one of two mirror images
        places, method = centred @ directions.T, "principal components"
    low, high = places.min(0), places.max(0)
    return (places - low) / np.maximum(high - low, 1e-9), method


def _clusters(vectors: Float[Tensor, "n d"], count: int) -> Int64[np.ndarray, " n"]:
    """Groups of similar vectors by k-means, numbered from the largest; none is empty."""
    generator = torch.Generator().manual_seed(0)
    centres = vectors[torch.randint(len(vectors), (1,), generator=generator)]
    for _ in range(count - 1):  # the farthest from all so far, so that clusters differ
        nearest = (vectors @ centres.T).amax(1)
        centres = torch.cat([centres, vectors[nearest.argmin()][None]])
    for _ in range(20):
        of = (vectors @ centres.T).argmax(1)
        sums = torch.zeros_like(centres).index_add_(0, of, vectors)
        filled = torch.bincount(of, minlength=count) > 0
        centres = torch.where(filled[:, None], torch.nn.functional.normalize(sums, dim=1), centres)
    last = (vectors @ centres.T).argmax(1).numpy()
    numbers, sizes = np.unique(last, return_counts=True)
    order = numbers[np.argsort(-sizes, kind="stable")]
    rank = {int(number): k for k, number in enumerate(order)}
    return np.array([rank[int(number)] for number in last], np.int64)


def _named(
    album: Album, names: Sequence[Query], vectors: Vectors, cluster_of: Int64[np.ndarray, " n"]
) -> Sequence[str | None]:
    count = int(cluster_of.max()) + 1
    if not names:
        return [None] * count
    if album.model is None:
        raise InputError(f"{album.name}: this album was opened without a model; give it to Album.open to name clusters")
    asked = QueryVectors.embed(album.model, list(names), album.stamp.dim)
    scores = exact_scores(asked, vectors).numpy()
    above = (scores - scores.mean(1, keepdims=True)) / np.maximum(scores.std(1, keepdims=True), 1e-9)
    texts = [query.text for query in names]
    means = np.stack([above[:, cluster_of == number].mean(1) for number in range(count)])
    return [texts[int(mean.argmax())] if mean.max() > 0 else None for mean in means]
