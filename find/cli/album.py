"""`findvl index`, `search` and `more-like`: an album of photos and its answers."""

from __future__ import annotations

import argparse
import shlex
import sys
import textwrap
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from find.cli.arguments import (
    DEFAULT_WEIGHTS,
    DOUBT_HELP,
    QUERY_HELP,
    add_command,
    add_engine,
    add_include_query,
    add_model,
    add_query,
    check_model,
    check_outputs,
    find_sought,
    given_weights,
    is_exported,
    is_stdout,
    load_model,
    positive,
    probability,
    read_query,
    save_picture,
    seconds,
    unknown_words,
    write_json,
)
from find.cli.hints import hint_at_data_set, hint_at_photographs
from find.cli.hits import add_hit_options, check_hit_options, print_below, write_hits
from find.errors import FindError, InputError, printable
from find.query.operators import JoinedQuery
from find.utils.extras import extra

if TYPE_CHECKING:
    import numpy as np

    from find.model.model import FIND
    from find.model.predictions import EntityMask
    from find.query.query import Query
    from find.retrieval.hits import Hit
    from find.retrieval.indexing import IndexReport, IndexSettings

SCORE_HELP = """\
score of an image = sentence + 0.5 x mean of its entities' terms
  sentence: cosine of the whole query with the image; a term: cosine of an entity with the nearest object in the image
  models with a pair term, as find-tiny, also score connections ("left of"), with learned weights: --explain shows them
relevance: probability that everything that the query names is there; --min-relevance leaves out hits that have less
  a query of a single entity, "{a dog}", is scored by its term alone
--and takes the mean of the queries' scores; --without subtracts half of that query's score (of several: the highest)
"""

WHERE_HELP = """\
--where is an SQL condition on path (relative to the folder of photos), width, height, bytes, time (when taken),
modified, and, for videos, seconds and frame: "path LIKE 'holiday/%' AND width > 1000 AND time > timestamp '2024-05-01'"
of photos also on what their EXIF, IPTC and XMP tell: title, description, keywords and people (lists), make, camera
(model), lens, iso, exposure (seconds), aperture, focal_length (mm), latitude and longitude (degrees):
"camera = 'Canon EOS R5' AND 'beach' IN keywords AND iso < 800"
"""

INDEX_HELP = """\
Running it again adds new files, updates changed ones, drops deleted ones, and resumes an interrupted run. File types
are recognised by content, not by suffix; all formats that Pillow opens are read. Images and videos that cannot be read
are listed and skipped, as are camera raw files and vector graphics; other files and hidden ones are only counted. Paths
are stored relative to the album, so photos and album can move together. Optional formats: videos need
pip install 'findvl[video]', HEIC (iPhone photos) needs pip install 'findvl[heic]'

example:
  findvl index ~/Pictures pictures.album
"""


def add_index(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "index",
        "embed a folder of photos and videos into an album",
        INDEX_HELP,
    )
    parser.add_argument("photos", type=Path, help="folder of images and videos, including its sub-folders")
    parser.add_argument("album", help="the folder to write, or a URI of object storage (s3://...)")
    parser.add_argument("--batch-size", type=positive, default=32, help="images at a time (default: %(default)s)")
    parser.add_argument("--workers", type=positive, help="threads that read files (default: one per core, at most 8)")
    parser.add_argument(
        "--objects", type=positive, help="objects stored per image (default: 16, or those of the existing album)"
    )
    parser.add_argument(
        "--dim",
        type=positive,
        help="store only the first DIM values of each vector, for models trained for it (default: all)",
    )
    parser.add_argument(
        "--vector-type",
        choices=["float16", "int8", "int4", "int2", "binary"],
        help="how vectors are stored, in ever less space at ever less accuracy; see docs/search.md "
        "(default: float16, or that of the existing album)",
    )
    parser.add_argument(
        "--every",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="interval between the frames taken from a video (default: %(default)g)",
    )
    parser.add_argument(
        "--ray",
        action="store_true",
        help="embed on the Ray cluster at RAY_ADDRESS, or on a local one if that is not set",
    )
    parser.add_argument(
        "--actors",
        type=positive,
        default=1,
        help="with --ray: number of workers, each with a model (default: %(default)s)",
    )
    parser.add_argument("--gpus", type=float, default=0, help="with --ray: GPUs per worker (default: %(default)g)")
    add_engine(parser)
    add_model(parser)
    parser.set_defaults(run=index)


def add_search(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "search",
        "search an album with a query",
        QUERY_HELP + "\n" + SCORE_HELP + "\n" + WHERE_HELP + "\n" + DOUBT_HELP + "\nexamples:\n"
        '  findvl search pictures.album "{a blue car} on {the road}" --png hits.png\n'
        '  findvl search pictures.album "a spotted dog left of the red car"\n'
        '  findvl search pictures.album "{a dog}" --without "{a collar}" --where "path LIKE \'2024/%\'"\n'
        '  findvl search pictures.album "a dog like [rex.jpg@120,80,300,260]" -k 5 --json hits.json\n'
        '  findvl search pictures.album "{an orange sofa}" --min-relevance 0.5\n'
        '  findvl search pictures.album "{a beach}" -k 50 --export beaches --csv beaches.csv\n',
    )
    parser.add_argument("album", help="an album written by findvl index")
    add_query(parser)
    parser.add_argument(
        "--and", dest="others", action="append", default=[], metavar="QUERY", help="a query that must match as well"
    )
    parser.add_argument(
        "--without", "--not", action="append", default=[], metavar="QUERY", help="a query that must not match"
    )
    parser.add_argument("--where", metavar="SQL", help="filter on file attributes; see below")
    parser.add_argument("--dim", type=positive, help="compare only the first DIM values of each vector (default: all)")
    parser.add_argument("--explain", action="store_true", help="explain each score in words")
    add_include_query(parser)
    parser.add_argument(
        "--min-relevance",
        type=probability,
        metavar="P",
        help="keep only hits whose probability of being relevant is at least P (0 to 1); may leave none",
    )
    add_hit_options(parser)
    parser.add_argument("-k", type=positive, default=10, help="number of hits (default: %(default)s)")
    add_engine(parser)
    add_model(parser)
    parser.set_defaults(run=search)


def index(arguments: argparse.Namespace) -> int:
    """`findvl index`: makes an album equal to a folder of photos."""
    if arguments.every <= 0:
        raise InputError(f"--every {arguments.every:g}: give the seconds between frames, more than 0")
    check_model(arguments)
    if not arguments.photos.exists():
        raise InputError(f"{arguments.photos}: no such folder of photos")
    with extra("album", "findvl index"):
        from find.retrieval.connection import check_photos
        from find.retrieval.indexing import IndexSettings
        from find.retrieval.indexing import index as index_photos

    check_photos(arguments.photos)
    hint_at_data_set(arguments.photos)
    begin = time.perf_counter()
    settings = IndexSettings(
        batch_size=arguments.batch_size,
        objects=arguments.objects,
        dim=arguments.dim,
        vector_type=arguments.vector_type,
        frame_seconds=arguments.every,
        **({"workers": arguments.workers} if arguments.workers else {}),
    )
    if arguments.ray:
        report = _index_with_ray(arguments, settings)
    else:
        model = load_model(arguments)
        report = index_photos(model, arguments.photos, arguments.album, name=arguments.weights, settings=settings)
    for skipped in report.skipped:
        print(f"skipped {skipped.path}: {skipped.reason}", file=sys.stderr)
    if arguments.weights == DEFAULT_WEIGHTS and report.added + report.updated:
        hint_at_photographs(arguments.weights, _widths(arguments.album))
    print(f"{arguments.album}: {report} in {seconds(begin)}; next:")
    print(printable(f"  findvl search {shlex.quote(str(arguments.album))} {given_weights(arguments)}'{{a red dog}}'"))
    return 0


def _widths(album: str) -> list[int]:
    """The widths of an album's images, in pixels."""
    from find.retrieval.album import Album

    return Album.open(album).to_arrow(["width"])["width"].to_pylist()


def _index_with_ray(arguments: argparse.Namespace, settings: IndexSettings) -> IndexReport:
    with extra("ray", "findvl index --ray"):
        from find.integrations.ray_index import Cluster, index_with_ray
    return index_with_ray(
        partial(load_model, arguments),
        arguments.photos,
        arguments.album,
        name=arguments.weights,
        settings=settings,
        cluster=Cluster(actors=arguments.actors, gpus=arguments.gpus),
    )


def search(arguments: argparse.Namespace) -> int:
    """`findvl search`: the images of an album that fit a query, with its entities found in them."""
    asked = [read_query(text) for text in (arguments.query, *arguments.others, *arguments.without)]
    check_outputs(arguments)
    check_hit_options(arguments)
    for one in asked:
        one.check()
    check_search(arguments)
    with extra("album", "findvl search"):
        from find.retrieval.album import Album
    model = load_model(arguments)

    album = Album.open(arguments.album, model)
    included = 1 + len(arguments.others)
    joined = find_sought(model, JoinedQuery(tuple(asked[:included]), tuple(asked[included:])))
    query = joined.include[0]
    unknown, *_ = [unknown_words(model, one) for one in joined.queries]  # warns of all of them together
    hits = album.search(
        joined,
        arguments.k,
        where=arguments.where,
        dim=arguments.dim,
        include_query=arguments.include_query,
        min_relevance=arguments.min_relevance,
        fold_duplicates=not arguments.all_copies,
    )
    write_hits(arguments, hits)
    wants_masks = bool(query.entities) and bool(arguments.png or arguments.json)
    pictures = [_pixels(hit) for hit in hits] if wants_masks or arguments.png else []
    masks = _segment(model, query, pictures) if wants_masks else [[] for _ in hits]

    from find.visualization.results import draw_hits, hit_line, hits_json

    if arguments.png and hits:
        save_picture(draw_hits(query, hits, pictures, masks, unknown), arguments.png)
    if arguments.json:
        record = {
            "album": arguments.album,
            "query": arguments.query,
            "read_as": [one.format() for one in joined.queries],
            "and": arguments.others,
            "without": [*arguments.without, *(one.format() for one in joined.exclude[len(arguments.without) :])],
            "where": arguments.where,
            "min_relevance": arguments.min_relevance,
            "unknown_words": list(unknown.query),
            "hits": hits_json(query, hits, masks, unknown),
        }
        write_json(record, arguments.json)
    if not is_stdout(arguments.json):
        for rank, hit in enumerate(hits, start=1):
            print(hit_line(rank, hit, query, unknown))
            print_below(hit, show=arguments.show)
            if arguments.explain:
                print(textwrap.indent(hit.explain(), "     "))
        if not hits:
            print(nothing_found(arguments, len(album)))
    report_relevance(arguments, hits)
    return 0


def report_relevance(arguments: argparse.Namespace, hits: Sequence[Hit]) -> None:
    """On stderr: that the hits are probably not what was sought, or that others of the best were left out."""
    from find.visualization.results import hits_warning
    from find.visualization.uncertainty import ABSENT

    if hits and arguments.min_relevance is not None and len(hits) < arguments.k:
        least = f"{arguments.min_relevance:g}"
        print(f"relevance of {least} or more: {len(hits)} of the best {arguments.k} images", file=sys.stderr)
    elif warning := hits_warning(hits):
        print(f"warning: {warning}; --min-relevance {ABSENT:g} leaves such images out", file=sys.stderr)


def nothing_found(arguments: argparse.Namespace, images: int) -> str:
    """Why there is no hit."""
    if not images:
        return "the album is empty"
    if arguments.min_relevance is not None:
        filtered = " that fits the filter" if arguments.where else ""
        return f"nothing found: no image{filtered} has a relevance of {arguments.min_relevance:g} or more"
    return "no image of the album fits the filter"


def check_search(arguments: argparse.Namespace) -> None:
    """Refuses what the album's files and the arguments alone show to be wrong, before anything heavy is imported."""
    from find.model.location import check_dim
    from find.retrieval.connection import check_album, is_remote
    from find.retrieval.filters import filter_sql

    check_model(arguments)
    if not is_remote(arguments.album):
        check_album(arguments.album)
    if arguments.where is not None:
        filter_sql(arguments.where)
    if arguments.dim is not None and not is_exported(arguments):
        check_dim(arguments.weights, arguments.dim)


def _pixels(hit: Hit) -> np.ndarray | None:
    """The picture of a hit; None, reported on stderr, where it is no longer what was indexed."""
    try:
        return hit.pixels()
    except FindError:
        print(
            f"warning: {hit.path} is gone or has changed since it was indexed, so its picture and masks are left out; "
            "run findvl index again",
            file=sys.stderr,
        )
        return None


def _segment(model: FIND, query: Query, pictures: Sequence[np.ndarray | None]) -> list[list[EntityMask | None]]:
    """The masks of the query's entities in each picture, None for each where there is no picture."""
    there = [picture for picture in pictures if picture is not None]
    masks = iter(model.segment(there, [query] * len(there)))
    return [[None] * len(query.entities) if picture is None else next(masks) for picture in pictures]
