"""Albums with compressed vectors: bytes an image on disk, and how their answers differ from those of half precision.

    findvl data world data/world32 --images 2000 --seed 32
    python benchmark/compressed_albums.py --root data/world32 --split val2017

Indexes the split's images, makes albums of the other types of its rows, writes every album's commits together, and asks
each sentence's query: words, regions, and a mixture. Writes benchmark/results/compressed_albums.md.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa

from find.data.coco import CocoFolder
from find.evaluation.protocols.interleaved_retrieval import searching_sentences
from find.evaluation.queries import EntityMode, Interleaving
from find.model.model import FIND
from find.query.operators import JoinedQuery
from find.retrieval.album import Album
from find.retrieval.ranking import Ranking
from find.retrieval.table import Stamp, album_schema, create_table
from find.retrieval.vector_types import VECTOR_TYPES, VectorType, codes_of, encode, fixed_lists
from find.retrieval.vectors import QueryVectors, Vectors
from find.retrieval.writing import EXACT_ROWS

RESULTS = Path(__file__).resolve().parent / "results" / "compressed_albums.md"
MODES = (EntityMode.TEXT, EntityMode.VISUAL, EntityMode.MIXED)
K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a folder of FIND-Bench or of `findvl data world`")
    parser.add_argument("--split", default="val2017")
    parser.add_argument("--weights", default="find-tiny")
    parser.add_argument("--queries", type=int, default=500, help="sentences asked (default: %(default)s)")
    parser.add_argument("--chains", type=int, default=200, help="of them, those searched with their connections")
    options = parser.parse_args()

    folder = CocoFolder(options.root, options.split)
    model = FIND.from_pretrained(options.weights).eval()
    asked = {mode: Asked.of(model, folder, mode, options.queries) for mode in MODES}
    with tempfile.TemporaryDirectory() as work:
        album = Album.build(model, folder.images.path, Path(work) / "float16.album", progress=False)
        measured = [measure(converted(album, name, Path(work)), asked, options.chains) for name in VECTOR_TYPES]
    RESULTS.write_text(report(measured, options.weights, len(folder), options.queries, options.chains))


def converted(album: Album, vector_type: VectorType, work: Path) -> Album:
    """An album of the same rows, in one commit, whose vectors are stored otherwise."""
    stamp = replace(album.stamp, vector_type=vector_type)
    rows = album.table.search().to_arrow()
    columns = {name: rows[name].combine_chunks() for name in rows.column_names}
    schema = album_schema(stamp, "")
    stored, boxes = schema.field("image").type, columns["boxes"]
    vectors = {"image": columns["image"], "objects": columns["objects"].values}
    codes = {name: fixed_lists(encode(codes_of(lists).astype(np.float32), stored)) for name, lists in vectors.items()}
    columns |= {"image": codes["image"]}
    columns |= {"objects": pa.ListArray.from_arrays(columns["objects"].offsets, codes["objects"])}
    if vector_type != "float16":
        offsets = pa.array(4 * boxes.offsets.to_numpy(), pa.int32())
        columns |= {"boxes": pa.ListArray.from_arrays(offsets, boxes.values.flatten())}
    path = work / f"{vector_type}-converted.album"
    table = create_table(path, stamp, "")
    table.add(pa.table([columns.get(field.name, pa.nulls(len(rows), field.type)) for field in schema], schema=schema))
    return Album.open(path)


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

    def kept(self, number: int, names: Sequence[str]) -> list[str]:
        """The first K images without those that a query shows (the one that it is about stays)."""
        away = self.shown[number] - {self.targets[number]}
        return [name for name in names if name not in away][:K]


@dataclass(frozen=True)
class Measured:
    """One album: its bytes an image, by column as each takes alone; the best K images of every query by mode, once with
    chains solved and once by the published score; and how often the first of them is the right one."""

    stamp: Stamp
    bytes: float
    columns: dict[str, float]
    found: dict[tuple[str, EntityMode], list[list[str]]]
    at_1: dict[tuple[str, EntityMode], float]

    def recall(self, key: tuple[str, EntityMode], exact: Measured) -> float:
        """The mean share of the best K images of another album that are among these."""
        pairs = zip(self.found[key], exact.found[key], strict=True)
        return float(np.mean([len(set(mine) & set(theirs)) / len(theirs) for mine, theirs in pairs]))


def measure(album: Album, asked: dict[EntityMode, Asked], chains: int) -> Measured:
    names = dict(zip(*numbered(album), strict=True))
    ranking = Ranking(name=album.name, table=album.table, stamp=album.stamp, exact_rows=EXACT_ROWS, storage=None)
    vectors = Vectors.read(album.table, album.stamp.objects)
    found = {}
    for mode, some in asked.items():
        scores = vectors.scores(some.vectors)
        orders = scores.sort(descending=True, stable=True).indices[:, : K + 20].numpy()
        plain = [some.kept(number, [names[row] for row in vectors.rows[order]]) for number, order in enumerate(orders)]
        found["published", mode] = plain
        found["search", mode] = [answer(ranking, some, number, names) for number in range(chains)]
    at_1 = {
        (score, mode): 100 * float(np.mean([best[0] == asked[mode].targets[k] for k, best in enumerate(lists)]))
        for (score, mode), lists in found.items()
    }
    return Measured(album.stamp, disk_bytes(Path(album.name)) / len(album), column_bytes(album), found, at_1)


def numbered(album: Album) -> tuple[list[int], list[str]]:
    rows = album.table.search().select(["path"]).with_row_id(True).to_arrow()
    return rows["_rowid"].to_pylist(), rows["path"].to_pylist()


def answer(ranking: Ranking, asked: Asked, number: int, names: dict[int, str]) -> list[str]:
    """The best K images of a query, as a search ranks them."""
    rows, _ = ranking.best(
        asked.queries[number], asked.vectors[number : number + 1], K + len(asked.shown[number]), None, ranking.stamp.dim
    )
    return asked.kept(number, [names[row] for row in rows.tolist()])


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


def report(measured: Sequence[Measured], weights: str, images: int, queries: int, chains: int) -> str:
    exact = measured[0]
    large = [name for name, size in exact.columns.items() if size >= 1]
    others = [sum(size for name, size in one.columns.items() if name not in large) for one in measured]
    modes = [mode.value for mode in MODES]
    lines = [
        "# Albums with compressed vectors",
        "",
        "Generated by `python benchmark/compressed_albums.py`; do not edit. "
        f"{weights}, {images} images of a synthetic world that it was not trained on; queries of words, of regions of "
        "other images, and of both. IR@1: the image that a sentence is about is the first hit, percent (difference to "
        f"float16); recall@{K}: share of the first {K} hits of the float16 album that are among the album's own. Bytes "
        "are those of the album's folder for one image, its rows in one commit.",
    ]
    for score, title in (
        ("search", f"As `findvl search` ranks, with connections ({chains} queries of each kind)"),
        ("published", f"By the published score, without connections ({queries} queries of each kind)"),
    ):
        lines += [
            "",
            f"## {title}",
            "",
            f"| vectors | bytes an image | of float16 | {' | '.join(f'IR@1, {mode}' for mode in modes)} | "
            f"recall@{K}, {' / '.join(modes)} |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        for one in measured:
            scores = [_compared(one.at_1[score, mode], exact.at_1[score, mode], one is exact) for mode in MODES]
            recalls = " / ".join(f"{one.recall((score, mode), exact):.3f}" for mode in MODES)
            share = f"{one.bytes / exact.bytes:.1%}"
            lines.append(f"| {one.stamp.vector_type} | {one.bytes:.0f} | {share} | {' | '.join(scores)} | {recalls} |")
    lines += [
        "",
        "## Bytes an image of each column",
        "",
        "Each was written as a table of its own; the rest of an album is what its files tell of themselves.",
        "",
        f"| column | {' | '.join(one.stamp.vector_type for one in measured)} |",
        "|---|" + "---:|" * len(measured),
        *(f"| {name} | {' | '.join(f'{one.columns[name]:.1f}' for one in measured)} |" for name in large),
        f"| {len(exact.columns) - len(large)} others | {' | '.join(f'{rest:.1f}' for rest in others)} |",
        "",
    ]
    return "\n".join(lines)


def _compared(value: float, exact: float, is_exact: bool) -> str:
    return f"{value:.1f}" if is_exact else f"{value:.1f} ({value - exact:+.1f})"


if __name__ == "__main__":
    main()
