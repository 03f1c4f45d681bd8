"""Measures albums of any size: writing, bytes an image, latency and what two-stage search misses, beside peers.

    python benchmark/search.py --sizes 10000 100000 --world data/world
    nice python benchmark/search.py --sizes 1000000 --folder /large/disk     # needs 10 GB of disk and 4 of memory

Synthetic albums (`synthetic_album.py` says how they are drawn) have 16 object vectors an image; `--world` adds
a world's photographs, embedded and searched with find-tiny. Figures of one size replace those of an earlier run in
benchmark/results/search.json, of which search.md is written. Latency is of a warm album, one query at a time.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from search_peers import build_index, faiss_search, lance_search, stored_vectors, union_search
from search_report import to_markdown
from synthetic_album import Queries, SyntheticAlbum, Vectors, album_rows, statistics

from find.query.operators import JoinedQuery
from find.query.query import Query
from find.retrieval.album import Album
from find.retrieval.connection import connect
from find.retrieval.table import Stamp, album_schema, create_table
from find.retrieval.vectors import QueryVectors
from find.retrieval.writing import compact_and_refresh
from find.tasks.late_interaction import late_interaction

RESULTS = Path(__file__).resolve().parent / "results"
K = 10


@dataclass(frozen=True)
class Latency:
    """Milliseconds of single queries, and recall@10 against exact scores."""

    wall_p50: float
    wall_p95: float
    cpu_p50: float
    cpu_p95: float
    recall: float
    queries: int


@dataclass
class Figures:
    """What was measured on one album."""

    images: int
    bytes_per_image: float = 0.0
    insert_per_second: float = 0.0  # images, of the store alone
    insert_cpu: float = 0.0  # seconds of it
    index_seconds: float = 0.0  # what comes after the last row: compaction, sketch
    index_cpu: float = 0.0
    searches: dict[str, Latency] = field(default_factory=dict)
    peers: dict[str, Latency] = field(default_factory=dict)
    peer_index_cpu: dict[str, float] = field(default_factory=dict)


class Stopwatch:
    """Sums wall and CPU time of what runs inside of it."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> Stopwatch:
        self._begin = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter() - self._begin[0]
        self.cpu += time.process_time() - self._begin[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000], help="images of synthetic albums")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--world", type=Path, help="a folder of `findvl data world`")
    parser.add_argument("--world-images", type=int, default=500)
    parser.add_argument("--folder", type=Path, help="where albums are written while they are measured")
    parser.add_argument("--threads", type=int, default=1, help="of torch; more are slower beside other work")
    parser.add_argument("--no-peers", action="store_true", help="leave FAISS and LanceDB's index out")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "search.json"
    record = json.loads(file.read_text()) if file.exists() else {"albums": {}}
    record["machine"] = {"processor": _processor(), "torch": torch.__version__, "threads": options.threads}
    if options.world:
        record["world"], record["statistics"] = measure_world(options.world, options.world_images, options.queries)
        write(record, file)
    for size in options.sizes:
        folder = Path(tempfile.mkdtemp(prefix="album-", dir=options.folder))
        try:
            for figures in measure(SyntheticAlbum(size=size), folder, options.queries, peers=not options.no_peers):
                record["albums"][str(size)] = asdict(figures)
                write(record, file)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def measure(drawn: SyntheticAlbum, folder: Path, count: int, *, peers: bool) -> Iterator[Figures]:
    """Writes and searches a synthetic album; gives its figures whenever some have come."""
    figures = Figures(drawn.size)
    queries = drawn.queries(count)
    path = folder / "album"
    exact = _Exact(queries)
    images: list[Float[torch.Tensor, "i d"]] = []
    stamp = Stamp(fingerprint="synthetic", model="synthetic", dim=drawn.dim, objects=drawn.objects)
    table = create_table(path, stamp, "photos")
    insert, settle = Stopwatch(), Stopwatch()
    for chunk in drawn.chunks():
        rows = album_rows(chunk, exact.seen, album_schema(stamp, "photos"))
        exact.add(chunk)
        if peers:
            images.append(chunk.images)
        with insert:
            table.add(rows)
    with settle:
        compact_and_refresh(path, table, stamp)
    figures.insert_per_second, figures.insert_cpu = drawn.size / insert.wall, insert.cpu
    figures.index_seconds, figures.index_cpu = settle.wall, settle.cpu
    figures.bytes_per_image = _bytes(path) / drawn.size
    tell(f"{drawn.size} images: written in {insert.wall:.0f} s, settled in {settle.wall:.0f} s")

    album = Album.open(path)
    ways = {"two-stage": 0} if len(album) > album.exact_rows else {"exact": len(album), "two-stage": 0}
    for name, exact_rows in ways.items():
        album = Album.open(path, exact_rows=exact_rows)
        figures.searches[name] = _latency(_album_search(album, queries), exact)
        tell(f"  {name}: {figures.searches[name]}")
        del album
    yield figures
    if peers:
        stacked = torch.cat(images)
        images.clear()
        figures.peers["FAISS flat, image vectors"] = _latency(faiss_search(stacked, queries, K), exact)
        tell(f"  FAISS: {figures.peers['FAISS flat, image vectors']}")
        del stacked
        yield figures
        for column in ("image", "objects"):
            built = Stopwatch()
            with built:
                build_index(table, column)
            figures.peer_index_cpu[f"LanceDB IVF_RQ, {column}"] = built.cpu
            tell(f"  LanceDB index of {column}: {built.wall:.0f} s, {built.cpu:.0f} s CPU")
        for name, way in (("LanceDB multivector index", lance_search), ("LanceDB indexes, union", union_search)):
            figures.peers[name] = _latency(way(table, queries, K), exact)
            tell(f"  {name}: {figures.peers[name]}")
            yield figures


def measure_world(root: Path, most: int, count: int) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    """Photographs of a world through find-tiny: the whole way, from files to hits."""
    from find.data.coco import CocoFolder
    from find.evaluation.gallery import embed_queries
    from find.evaluation.queries import Interleaving
    from find.model.model import FIND

    model = FIND.from_pretrained().eval()
    coco = CocoFolder(root, "val2017")
    numbers = coco.image_ids[:most]
    sentences = [coco.sentences_of(number)[0] for number in numbers[:count]]
    with tempfile.TemporaryDirectory() as folder:
        built = Stopwatch()
        with built:
            album = Album.build(model, root / "val2017", Path(folder) / "album", progress=False)
        asked = embed_queries(model, coco, sentences, Interleaving())
        queries = Queries(asked.query.float(), asked.entities.float(), asked.padding, torch.arange(len(sentences)))
        stored = album.to_arrow(["image", "objects"])
        vectors = stored_vectors(stored)
        exact = _Exact(queries)
        exact.add(vectors)
        begin, texts = time.perf_counter(), [Interleaving().query(sentence, coco).query for sentence in sentences]
        whole = Stopwatch()
        for query in texts:
            with whole:
                album.search(query, K)
        tell(f"world: {len(album)} images, {time.perf_counter() - begin:.0f} s of queries")
        figures = {
            "images": len(album),
            "index_per_second": len(album) / built.wall,
            "index_per_cpu_second": len(album) / built.cpu,
            "bytes_per_image": _bytes(Path(folder) / "album") / len(album),
            "objects_per_image": float(np.mean([len(row) for row in stored["objects"].to_pylist()])),
            "query_ms_with_model": 1000 * whole.wall / len(texts),
            "query_cpu_ms_with_model": 1000 * whole.cpu / len(texts),
            "search": asdict(_latency(_album_search(album, queries), exact)),
        }
    few = SyntheticAlbum(size=len(vectors.images))
    drawn = statistics(next(few.chunks()), few.queries(count))
    real = statistics(vectors, queries)
    return figures, {"real": real, "synthetic": drawn}


# --- ways to search ---------------------------------------------------------------------------------------------------


def _album_search(album: Album, queries: Queries) -> Callable[[int], Int64[np.ndarray, " k"]]:
    place = {name: number for number, name in enumerate(album.to_arrow(["path"])["path"].to_pylist())}
    counts = (~queries.padding).sum(dim=1).tolist()
    joined = [JoinedQuery.of(Query.parse("this " + "{thing} " * count)) for count in counts]

    def search(number: int) -> Int64[np.ndarray, " k"]:
        vectors = QueryVectors(
            *(x[number : number + 1] for x in (queries.sentences, queries.entities, queries.padding))
        )
        hits = album.search_vectors([joined[number]], [vectors], K)[0]
        return np.array([place[hit.name] for hit in hits])

    return search


# --- measuring --------------------------------------------------------------------------------------------------------


class _Exact:
    """The best images by exact scores, gathered while an album passes by."""

    def __init__(self, queries: Queries) -> None:
        self.queries = queries
        self.scores = torch.full((len(queries.sentences), K), -torch.inf)
        self.images = torch.zeros(len(queries.sentences), K, dtype=torch.int64)
        self.seen = 0

    def add(self, vectors: Vectors) -> None:
        queries = self.queries
        new = late_interaction(vectors.images, vectors.objects, queries.sentences, queries.entities, queries.padding)
        scores = torch.cat([self.scores, new], dim=1)
        numbers = torch.arange(self.seen, self.seen + new.shape[1]).expand(len(new), -1)
        images = torch.cat([self.images, numbers], dim=1)
        best = scores.topk(K, dim=1).indices
        self.scores, self.images = scores.gather(1, best), images.gather(1, best)
        self.seen += new.shape[1]


def _latency(search: Callable[[int], Int64[np.ndarray, " k"]], exact: _Exact) -> Latency:
    count = len(exact.images)
    for number in range(min(5, count)):  # reads what a first search reads
        search(number)
    wall, cpu, found = [], [], 0
    for number in range(count):
        begin = time.perf_counter(), time.process_time()
        hits = search(number)
        wall.append(1000 * (time.perf_counter() - begin[0]))
        cpu.append(1000 * (time.process_time() - begin[1]))
        found += len(set(hits.tolist()) & set(exact.images[number].tolist()))
    p50, p95 = (np.quantile([wall, cpu], share, axis=1) for share in (0.5, 0.95))
    return Latency(*(float(x) for x in (p50[0], p95[0], p50[1], p95[1])), found / (K * count), count)


def _bytes(album: Path) -> int:
    """Of the tables as they are; files of older versions, which compaction leaves to readers for an hour, apart."""
    database = connect(album)
    return sum(database.open_table(name).stats()["total_bytes"] for name in database.list_tables().tables)


def _processor() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return f"{names[0] if names else platform.processor()}, {len(names)} cores"


def tell(text: str) -> None:
    print(text, flush=True)


def write(record: dict[str, object], file: Path) -> None:
    file.write_text(json.dumps(record, indent=1) + "\n")
    file.with_suffix(".md").write_text(to_markdown(record))


if __name__ == "__main__":
    main()
