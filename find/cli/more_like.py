"""`findvl more-like`: the images of an album that resemble photos or regions of photos."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from find.cli.album import WHERE_HELP, check_search
from find.cli.arguments import (
    add_command,
    add_include_query,
    add_model,
    check_outputs,
    is_stdout,
    load_model,
    positive,
    save_picture,
    write_json,
)
from find.cli.hits import add_hit_options, check_hit_options, print_below, write_hits
from find.utils.extras import extra

if TYPE_CHECKING:
    from PIL import Image

    from find.query.entity import Region
    from find.retrieval.hits import Hit

HELP = """\
an example is a photo, compared with whole images, or a region of one, compared with the objects of the album's images:
  rex.jpg                 a photo
  rex.jpg@120,80          a region by a point (pixels, x right, y down, origin top left)
  rex.jpg@120,80,300,260  a region by a box
  rex.jpg#mask.png        a region by a mask file
score of an image = mean of its cosines with the examples; --without subtracts half of its highest cosine with those
The examples themselves are left out of the hits unless --include-query is given.
"""


def add_more_like(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "more-like",
        "find the images of an album that resemble photos or regions of photos",
        HELP + "\n" + WHERE_HELP + "\nexamples:\n"
        "  findvl more-like pictures.album beach.jpg lake.jpg --png hits.png\n"
        "  findvl more-like pictures.album rex.jpg@120,80,300,260 --without cat.jpg@40,60 -k 5\n",
    )
    parser.add_argument("album", help="an album written by findvl index")
    parser.add_argument("examples", nargs="+", metavar="PHOTO", help="photos or regions of photos; see below")
    parser.add_argument(
        "--without",
        "--not",
        action="append",
        default=[],
        metavar="PHOTO",
        help="a photo or region that hits must not resemble",
    )
    parser.add_argument("--where", metavar="SQL", help="filter on file attributes; see below")
    parser.add_argument("--dim", type=positive, help="compare only the first DIM values of each vector (default: all)")
    parser.add_argument("--explain", action="store_true", help="explain each score in words")
    add_include_query(parser)
    add_hit_options(parser)
    parser.add_argument("-k", type=positive, default=10, help="number of hits (default: %(default)s)")
    parser.add_argument("--png", type=Path, metavar="OUT", help="write a picture of the hits")
    parser.add_argument("--json", metavar="OUT", help="write JSON; - for stdout")
    add_model(parser)
    parser.set_defaults(run=more_like)


def more_like(arguments: argparse.Namespace) -> int:
    """`findvl more-like`: the images of an album that are most like the examples."""
    check_outputs(arguments)
    check_hit_options(arguments)
    wanted, unwanted = (list(map(read_example, given)) for given in (arguments.examples, arguments.without))
    check_search(arguments)
    with extra("album", "findvl more-like"):
        from find.retrieval.album import Album
        from find.retrieval.exemplars import more_like as find_more_like
    model = load_model(arguments)
    from find.visualization.results import hit_line
    from find.visualization.uncertainty import UnknownWords

    hits = find_more_like(
        Album.open(arguments.album, model),
        wanted,
        arguments.k,
        unwanted=unwanted,
        where=arguments.where,
        dim=arguments.dim,
        include_query=arguments.include_query,
        fold_duplicates=not arguments.all_copies,
    )
    write_hits(arguments, hits)
    known = [UnknownWords((), ((),) * len(hit.parts[0].query.entities)) for hit in hits]
    if arguments.png and hits:
        save_picture(_sheet(hits), arguments.png)
    if arguments.json:
        record = {
            "album": arguments.album,
            "examples": arguments.examples,
            "without": arguments.without,
            "where": arguments.where,
            "hits": [_record(rank, hit) for rank, hit in enumerate(hits, start=1)],
        }
        write_json(record, arguments.json)
    if not is_stdout(arguments.json):
        for rank, (hit, words) in enumerate(zip(hits, known, strict=True), start=1):
            print(hit_line(rank, hit, hit.parts[0].query, words, whole=hit.parts[0].query.text))
            print_below(hit, show=arguments.show)
            if arguments.explain:
                print(textwrap.indent(hit.explain(), "     "))
        if not hits:
            print("no other image of the album fits")
    return 0


def read_example(text: str) -> str | Region:
    """The file of a photo, or a region of one as a query's brackets hold it. Raises InputError where it is neither."""
    from find.images.images import read_size
    from find.query.query import Query

    if Path(text).exists() or not any(sign in text for sign in "@#"):
        read_size(text)
        return text
    query = Query.parse(f"[{text}]")
    query.check()
    (region,) = query.parts
    return region


def _record(rank: int, hit: Hit) -> dict[str, object]:
    """A hit, with the cosine of each example and the box (x0, y0, x1, y1) of the object that fits a region."""
    from find.visualization.results import shown

    examples = [
        {
            "example": part.query.text,
            "is_excluded": part.is_excluded,
            "score": shown(part.score),
            "box": hit.box(part=number) if part.objects else None,
        }
        for number, part in enumerate(hit.parts)
    ]
    return {"rank": rank, "path": str(hit.path), "score": shown(hit.score), "examples": examples}


def _sheet(hits: Sequence[Hit]) -> Image.Image:
    from find.visualization.drawing import tile

    captions = [f"{rank}. {hit.score:.3f} {hit.path.name}" for rank, hit in enumerate(hits, start=1)]
    return tile([hit.draw() for hit in hits], columns=5, captions=captions)
