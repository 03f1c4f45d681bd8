"""Measures what the connections of a query cost a search, and how rarely solving chains for the best few misses one.

    findvl data world data/many --images 10 --val-images 10000 --seed 41
    python benchmark/search_chains.py --world data/many --sizes 10000 1000000

The same queries are searched with their connections and without (the published score), one after the other in one
process, on synthetic albums (`synthetic_album.py`) and on a world's photographs, always with find-tiny's pair term. On
the photographs, chains are solved for every image, too: agreement is the share of queries whose ten best images, in
their order, are those of that. Figures go to benchmark/results/search.json and search.md.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from search import RESULTS, K, tell, write
from synthetic_album import SyntheticAlbum, album_rows

from find.data.coco import CocoFolder
from find.evaluation.queries import EntityMode, Interleaving
from find.model.model import FIND
from find.query.operators import JoinedQuery
from find.query.query import Query
from find.retrieval.album import Album
from find.retrieval.chains import match_chain
from find.retrieval.table import Stamp, album_schema, create_table
from find.retrieval.vectors import QueryVectors, Vectors
from find.retrieval.writing import compact_and_refresh
from find.tasks.structured_interaction import CHAINS

TEXTS = ("left of", "right of", "on", "under", "in front of", "and", "next to", "behind")
SOLVED = (50, 100, 200, CHAINS, 400, 800)
"""For how many images chains are solved, to see what would be missed."""


@dataclass
class Cost:
    """Milliseconds of searches of one album, by connections or not, and what was missed."""

    images: int
    queries: int
    way: str
    milliseconds: dict[str, dict[str, float]] = field(default_factory=dict)
    agreement: dict[str, float] = field(default_factory=dict)  # by the number of chains that are solved
    threads: int = field(default_factory=torch.get_num_threads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, help="a folder of `findvl data world`, whose sentences are searched for")
    parser.add_argument(
        "--photos", type=Path, help="what is indexed (default: the world's val2017, which it has to hold)"
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000], help="images of synthetic albums")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where albums are written while they are measured")
    parser.add_argument("--threads", type=int, default=1, help="of torch; more are slower beside other work")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = FIND.from_pretrained().eval()
    file = RESULTS / "search.json"
    record = json.loads(file.read_text())

    def keep(name: str, cost: Cost) -> None:
        record.setdefault("chains", {})[name] = asdict(cost)
        write(record, file)
        tell(f"{name}: {cost}")

    for size in options.sizes:
        folder = Path(tempfile.mkdtemp(prefix="album-", dir=options.folder))
        try:
            keep(
                f"synthetic {size}, best {CHAINS}",
                of_synthetic(model, SyntheticAlbum(size=size), folder / "album", options),
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    if options.world:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            photos = options.photos or options.world / "val2017"
            album = Album.build(model, photos, Path(folder) / "album", progress=False)
            tell(f"{len(album)} photographs indexed")
            for mode in (EntityMode.TEXT, EntityMode.MIXED):
                queries = sentences(options.world, Interleaving(mode), options.queries)
                keep(f"photographs by {mode.value}, best {CHAINS}", of_photographs(model, album, queries))


def sentences(world: Path, interleaving: Interleaving, count: int) -> list[Query]:
    """Of different images, each with several entities."""
    coco = CocoFolder(world, "val2017")
    found = [coco.sentences_of(number)[0] for number in coco.image_ids]
    several = [sentence for sentence in found if len(sentence.phrases) > 1][:count]
    return [interleaving.query(sentence, coco).query for sentence in several]


def of_photographs(model: FIND, album: Album, queries: Sequence[Query]) -> Cost:
    vectors = [QueryVectors.embed(model, [query], album.stamp.dim) for query in queries]
    cost = searched(album, queries, vectors)
    every = Vectors.read(album.table, album.stamp.objects)
    same = dict.fromkeys(SOLVED, 0)
    for asked in vectors:
        exact = match_chain(asked, every).score
        best = exact.sort(descending=True, stable=True).indices[:K]
        estimates = every.scores(asked)[0].sort(descending=True, stable=True).indices
        for solved in SOLVED:
            kept = estimates[:solved].sort().values
            found = kept[exact[kept].sort(descending=True, stable=True).indices[:K]]
            same[solved] += torch.equal(found, best)
    cost.agreement = {str(solved): count / len(queries) for solved, count in same.items()}
    return cost


def of_synthetic(model: FIND, drawn: SyntheticAlbum, path: Path, options: argparse.Namespace) -> Cost:
    stamp = Stamp(fingerprint="synthetic", model="synthetic", dim=drawn.dim, objects=drawn.objects)
    table = create_table(path, stamp, "photos")
    first = 0
    for chunk in drawn.chunks():
        table.add(album_rows(chunk, first, album_schema(stamp, "photos")))
        first += len(chunk.images)
    compact_and_refresh(path, table, stamp)
    chance = random.Random(0)
    counts = [chance.choice((2, 3)) for _ in range(options.queries)]
    queries = [
        Query.parse("{thing}" + "".join(f" {chance.choice(TEXTS)} {{thing}}" for _ in range(count - 1)))
        for count in counts
    ]
    said = QueryVectors.embed(model, queries, drawn.dim)
    asked = drawn.queries(options.queries)
    padding = torch.arange(asked.padding.shape[1]) >= torch.tensor(counts)[:, None]
    # find-tiny's connections with the album's own vectors, of which a query has all three
    every = drawn_entities(drawn, options.queries)
    vectors = QueryVectors(asked.sentences, every.masked_fill(padding[..., None], 0), padding, said.connections)
    return searched(Album.open(path), queries, [vectors[n : n + 1] for n in range(len(queries))])


def drawn_entities(drawn: SyntheticAlbum, count: int) -> torch.Tensor:
    """Entities of queries without padding: each time other ones are padded, so that a second and third are some
    query's."""
    found = drawn.queries(8 * count)
    whole = found.entities[~found.padding.any(dim=1)][:count]
    assert len(whole) == count
    return whole


def searched(album: Album, queries: Sequence[Query], vectors: Sequence[QueryVectors]) -> Cost:
    """With connections and without, in turns."""
    joined = [JoinedQuery.of(query) for query in queries]
    ways = {"without": [replace(one, connections=None) for one in vectors], "with": list(vectors)}
    for asked in ways.values():
        for number in range(min(5, len(queries))):
            album.search_vectors([joined[number]], [asked[number]], K)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number, query in enumerate(joined):
        for name in sorted(ways, reverse=number % 2 == 1):
            begin = time.perf_counter(), time.process_time()
            album.search_vectors([query], [ways[name][number]], K)
            taken[name].append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    cost = Cost(len(album), len(queries), "exact" if len(album) <= album.exact_rows else "two-stage")
    for name, times in taken.items():
        p50, p95 = np.quantile(1000 * np.array(times), (0.5, 0.95), axis=0).tolist()
        cost.milliseconds[name] = {"wall_p50": p50[0], "wall_p95": p95[0], "cpu_p50": p50[1], "cpu_p95": p95[1]}
    return cost


if __name__ == "__main__":
    main()
