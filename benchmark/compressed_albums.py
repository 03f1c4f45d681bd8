"""Albums with compressed vectors: bytes an image on disk, and how their answers differ from those of half precision.

    findvl data world data/world32 --images 2000 --seed 32
    python benchmark/compressed_albums.py --root data/world32 --split val2017

Indexes the split's images once for each type of vectors (embedded once), writes every album's commits together, and
asks it each sentence's query: words, regions, and a mixture. Writes benchmark/results/compressed_albums.md.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa

from find.data.coco import CocoFolder
from find.evaluation.protocols.interleaved_retrieval import searching_sentences
from find.evaluation.queries import EntityMode, Interleaving
from find.model.model import FIND
from find.model.predictions import ImageEmbeddings
from find.query.operators import JoinedQuery
from find.retrieval.album import Album
from find.retrieval.ranking import Ranking
from find.retrieval.table import Stamp
from find.retrieval.vector_types import VECTOR_TYPES
from find.retrieval.vectors import QueryVectors
from find.retrieval.writing import EXACT_ROWS, IndexSettings

RESULTS = Path(__file__).resolve().parent / "results" / "compressed_albums.md"
MODES = (EntityMode.TEXT, EntityMode.VISUAL, EntityMode.MIXED)
K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a folder of FIND-Bench or of `findvl data world`")
    parser.add_argument("--split", default="val2017")
    parser.add_argument("--weights", default="find-tiny")
    parser.add_argument("--queries", type=int, default=500, help="sentences asked (default: %(default)s)")
    parser.add_argument("--dims", type=int, nargs="+", default=[], help="also albums of so many values a vector")
    options = parser.parse_args()

    folder = CocoFolder(options.root, options.split)
    model = FIND.from_pretrained(options.weights).eval()
    asked = {mode: Asked.of(model, folder, mode, options.queries) for mode in MODES}
    embedder, width = EmbeddedOnce(model), asked[MODES[0]].vectors.query.shape[1]
    with tempfile.TemporaryDirectory() as work:
        measured = [
            measure(
                embedder, folder, asked, Path(work) / f"{name}-{dim}.album", IndexSettings(vector_type=name, dim=dim)
            )
            for dim in (width, *options.dims)
            for name in VECTOR_TYPES
        ]
    RESULTS.write_text(report(measured, options.weights, len(folder), len(asked[MODES[0]].queries)))


class EmbeddedOnce:
    """A model that embeds every batch of pictures once; albums of one folder ask for the same batches."""

    def __init__(self, model: FIND) -> None:
        self.model, self.fingerprint, self.embed_queries = model, model.fingerprint, model.embed_queries
        self.known: dict[bytes, ImageEmbeddings] = {}

    def embed_images(self, images: Sequence[np.ndarray]) -> ImageEmbeddings:
        key = blake2b(b"".join(image.tobytes() for image in images)).digest()
        if key not in self.known:
            self.known[key] = self.model.embed_images(images)
        return self.known[key]


@dataclass(frozen=True)
class Asked:
    """Queries of one mode, with the images that they are about and those that they show."""

    queries: list[JoinedQuery]
    vectors: QueryVectors
    targets: list[str]
    shown: list[set[str]]

    @classmethod
    def of(cls, model: FIND, folder: CocoFolder, mode: EntityMode, count: int) -> Asked:
        sentences = searching_sentences(folder, folder.image_ids)[:count]
        made = [Interleaving(mode).query(sentence, folder) for sentence in sentences]
        width = model.embed_images([folder.image(folder.image_ids[0])]).image.shape[1]
        targets = [folder.file_name(sentence.image_id) for sentence in sentences]
        shown = [{folder.file_name(owner) for owner in one.owners} for one in made]
        vectors = QueryVectors.embed(model, [one.query for one in made], width)
        return cls([JoinedQuery.of(one.query) for one in made], vectors, targets, shown)


@dataclass(frozen=True)
class Measured:
    """One album: its bytes an image, by column as each takes alone, and the best K images of every query by mode."""

    stamp: Stamp
    bytes: float
    columns: dict[str, float]
    found: dict[EntityMode, list[list[str]]]
    at_1: dict[EntityMode, float]

    def recall(self, mode: EntityMode, exact: Measured) -> float:
        """The mean share of the best K images of another album that are among these."""
        pairs = zip(self.found[mode], exact.found[mode], strict=True)
        return float(np.mean([len(set(mine) & set(theirs)) / len(theirs) for mine, theirs in pairs]))


def measure(
    embedder: EmbeddedOnce, folder: CocoFolder, asked: dict[EntityMode, Asked], path: Path, settings: IndexSettings
) -> Measured:
    album = Album.build(embedder, folder.images.path, path, settings=settings, progress=False)
    album.table.checkout_latest()
    album.table.optimize(cleanup_older_than=timedelta(0))
    album = album.latest()
    paths = {row: name for row, name in zip(*numbered(album), strict=True)}
    ranking = Ranking(name=album.name, table=album.table, stamp=album.stamp, exact_rows=EXACT_ROWS, storage=None)
    found, at_1 = {}, {}
    for mode, some in asked.items():
        found[mode] = [answer(ranking, some, number, album.stamp.dim, paths) for number in range(len(some.queries))]
        best = zip(found[mode], some.targets, strict=True)
        at_1[mode] = 100 * float(np.mean([names[0] == target for names, target in best]))
    return Measured(album.stamp, disk_bytes(path) / len(album), column_bytes(album), found, at_1)


def numbered(album: Album) -> tuple[list[int], list[str]]:
    rows = album.table.search().select(["path"]).with_row_id(True).to_arrow()
    return rows["_rowid"].to_pylist(), rows["path"].to_pylist()


def answer(ranking: Ranking, asked: Asked, number: int, dim: int, paths: dict[int, str]) -> list[str]:
    """The best K images of a query, without those that it shows (the one that it is about stays)."""
    away = asked.shown[number] - {asked.targets[number]}
    query = asked.vectors[number : number + 1].cut(dim)
    rows, _ = ranking.best(asked.queries[number], query, K + len(away), None, dim)
    return [paths[row] for row in rows.tolist() if paths[row] not in away][:K]


def disk_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def column_bytes(album: Album) -> dict[str, float]:
    """Bytes an image of each column's data, written as a table of this column alone."""
    rows, found = album.table.search().to_arrow(), {}
    for field in rows.schema:
        folder = Path(tempfile.mkdtemp())
        lancedb.connect(folder).create_table("one", pa.table({field.name: rows[field.name]}, pa.schema([field])))
        found[field.name] = disk_bytes(folder / "one.lance" / "data") / len(rows)
        shutil.rmtree(folder)
    return found


def report(measured: Sequence[Measured], weights: str, images: int, queries: int) -> str:
    exact = measured[0]
    lines = [
        "# Albums with compressed vectors",
        "",
        "Generated by `python benchmark/compressed_albums.py`; do not edit. "
        f"{weights}, {images} images of a synthetic world that it was not trained on, {queries} queries of each kind: "
        "words, regions of other images, and a mixture. IR@1: the image that a sentence is about is the first hit, "
        f"percent; recall@{K}: share of the first {K} hits of the float16 album that are among the album's own. Bytes "
        "are those of the album's folder for one image, after its commits were written together.",
        "",
        "| vectors | values | bytes an image | of float16 | "
        + " | ".join(f"IR@1, {mode.value}" for mode in MODES)
        + f" | recall@{K}, {' / '.join(mode.value for mode in MODES)} |",
        "|---|" + "---:|" * 7,
    ]
    for one in measured:
        scores = " | ".join(_compared(one.at_1[mode], exact.at_1[mode], one is exact) for mode in MODES)
        recalls = " / ".join(f"{one.recall(mode, exact):.3f}" for mode in MODES)
        share = f"{one.bytes / exact.bytes:.0%}"
        lines.append(
            f"| {one.stamp.vector_type} | {one.stamp.dim} | {one.bytes:.0f} | {share} | {scores} | {recalls} |"
        )
    full = [one for one in measured if one.stamp.dim == exact.stamp.dim]
    lines += [
        "",
        "Bytes an image of each column, written as a table of its own:",
        "",
        f"| column | {' | '.join(one.stamp.vector_type for one in full)} |",
        "|---|" + "---:|" * len(full),
        *(f"| {name} | {' | '.join(f'{one.columns[name]:.1f}' for one in full)} |" for name in exact.columns),
        "",
    ]
    return "\n".join(lines)


def _compared(value: float, exact: float, is_exact: bool) -> str:
    return f"{value:.1f}" if is_exact else f"{value:.1f} ({value - exact:+.1f})"


if __name__ == "__main__":
    main()
