"""`findvl map`: an album as a page on which similar pictures lie beside each other."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from find.cli.arguments import add_command, add_model, check_model, load_model, positive, read_query
from find.errors import InputError
from find.utils.extras import extra

HELP = """\
The page is one file that needs no network. Pictures with similar vectors lie beside each other: by UMAP where
umap-learn is installed (pip install 'findvl[map]'), else by principal components. They are grouped into clusters; with
--names each cluster is labelled with the query that fits its pictures better than the album's other pictures.

examples:
  findvl map pictures.album map.html
  findvl map pictures.album map.html --names "a beach" "a party" "{a dog}" --clusters 12
"""


def add_map(commands: argparse._SubParsersAction) -> None:
    parser = add_command(commands, "map", "write a page that shows an album as a map of similar pictures", HELP)
    parser.add_argument("album", help="an album written by findvl index")
    parser.add_argument("out", type=Path, metavar="OUT.html", help="the page to write")
    parser.add_argument("--names", nargs="+", default=[], metavar="QUERY", help="names for clusters, read as queries")
    parser.add_argument("--clusters", type=positive, help="how many (default: by the number of pictures, 3 to 24)")
    parser.add_argument(
        "--most",
        type=positive,
        default=2000,
        help="pictures on the map; of larger albums a sample (default: %(default)s)",
    )
    parser.add_argument(
        "--layout", choices=("auto", "umap", "pca"), default="auto", help="how places are found (default: %(default)s)"
    )
    add_model(parser)
    parser.set_defaults(run=album_map)


def album_map(arguments: argparse.Namespace) -> int:
    """`findvl map`: writes the page, and prints the clusters."""
    if arguments.out.suffix.lower() not in (".html", ".htm") or arguments.out.is_dir():
        raise InputError(f"{arguments.out}: give the name of a page to write, such as map.html")
    queries = [read_query(text) for text in arguments.names]
    from find.retrieval.connection import check_album, is_remote

    if not is_remote(arguments.album):
        check_album(arguments.album)
    if queries:
        check_model(arguments)
    with extra("album", "findvl map"):
        from find.retrieval.album import Album
        from find.retrieval.album_map import MapSettings, make_map

    album = Album.open(arguments.album, load_model(arguments) if queries else None)
    settings = MapSettings(clusters=arguments.clusters, most=arguments.most, layout=arguments.layout)
    if arguments.layout == "umap" or (arguments.layout == "auto" and find_spec("umap")):
        print("finding places by UMAP, which compiles for 15 seconds or more first", file=sys.stderr)
    found = make_map(album, names=queries, settings=settings)
    found.write(arguments.out)
    for file in found.unreadable:
        print(f"warning: {file} is gone or cannot be read, so it is not on the map", file=sys.stderr)
    for cluster in found.clusters:
        print(f"{cluster.size:5d}  {cluster.name}")
    print(f"{arguments.out}: {len(found.pictures)} of {len(album)} images by {found.layout}; open it in a browser")
    return 0
