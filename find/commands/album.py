"""`findvl index` and `findvl search`: an album of photos and its answers."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from find.commands.arguments import (
    DOUBT_HELP,
    QUERY_HELP,
    add_command,
    add_model,
    add_query,
    check_outputs,
    is_stdout,
    load_model,
    positive,
    read_query,
    save_picture,
    seconds,
    unknown_words,
    write_json,
)

SCORE_HELP = """\
score of an image = sentence + 0.5 x mean of its entities' terms
  sentence: cosine of the whole query with the image; a term: cosine of an entity with the nearest object in the image
"""


def add_index(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "index",
        "embed a folder of photos into an album, one file",
        "example:\n  findvl index ~/Pictures pictures.album\n",
    )
    parser.add_argument("photos", type=Path, help="folder of images, searched with its sub-folders")
    parser.add_argument("album", type=Path, help="the file to write")
    parser.add_argument("--batch-size", type=positive, default=32, help="images at a time (default: %(default)s)")
    add_model(parser)
    parser.set_defaults(run=index)


def add_search(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "search",
        "search an album with a query",
        QUERY_HELP + "\n" + SCORE_HELP + "\n" + DOUBT_HELP + "\nexamples:\n"
        '  findvl search pictures.album --query "{a blue car} on {the road}" --png hits.png\n'
        '  findvl search pictures.album --query "a dog like [rex.jpg@120,80,300,260]" -k 5 --json hits.json\n',
    )
    parser.add_argument("album", type=Path, help="a file that findvl index has written")
    add_query(parser)
    parser.add_argument("-k", type=positive, default=10, help="how many images (default: %(default)s)")
    add_model(parser)
    parser.set_defaults(run=search)


def index(arguments: argparse.Namespace) -> int:
    """`findvl index`: embeds a folder of photos into an album."""
    model = load_model(arguments)
    from find.retrieval.album import Album

    begin = time.perf_counter()
    album = Album.build(model, arguments.photos, arguments.album, batch_size=arguments.batch_size)
    for skipped in album.skipped:
        print(f"skipped {skipped.path}: {skipped.reason}", file=sys.stderr)
    print(
        f"{arguments.album}: {len(album)} images, {len(album.skipped)} skipped, in {seconds(begin)}; "
        f'next: findvl search {arguments.album} --query "{{a red dog}}"'
    )
    return 0


def search(arguments: argparse.Namespace) -> int:
    """`findvl search`: the images of an album that fit a query, with its entities found in them."""
    query = read_query(arguments.query)
    check_outputs(arguments)
    query.check()
    model = load_model(arguments)
    from find.retrieval.album import Album

    album = Album.open(arguments.album, model)
    unknown = unknown_words(model, query)
    hits = album.search(query, arguments.k)
    wants_masks = bool(query.entities) and bool(arguments.png or arguments.json)
    masks = album.ground(query, hits) if wants_masks else [[] for _ in hits]

    from find.demo.results import draw_hits, hit_line, hits_json

    if arguments.png:
        save_picture(draw_hits(query, hits, masks, unknown), arguments.png)
    if arguments.json:
        record = {
            "album": str(arguments.album),
            "query": arguments.query,
            "unknown_words": list(unknown.query),
            "hits": hits_json(query, hits, masks, unknown),
        }
        write_json(record, arguments.json)
    if not is_stdout(arguments.json):
        for rank, hit in enumerate(hits, start=1):
            print(hit_line(rank, hit, query, unknown))
    return 0
