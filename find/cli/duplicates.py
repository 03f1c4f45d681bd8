"""`findvl duplicates`: the images of an album that are copies of each other."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from find.cli.arguments import add_command, check_target, is_stdout, write_json
from find.utils.extras import extra

if TYPE_CHECKING:
    from find.retrieval.duplicates import AlbumImage

HELP = """\
Copies are images that show the same pixels: resized, compressed, brighter or darker, or cropped by some percent. The
album's vectors propose pairs, small versions of the files are then laid over each other and compared. The first image
of a group has the most pixels. Nothing is changed or deleted.

examples:
  findvl duplicates pictures.album
  findvl duplicates pictures.album --json copies.json
"""


def add_duplicates(commands: argparse._SubParsersAction) -> None:
    parser = add_command(commands, "duplicates", "list the near-duplicates of an album in groups", HELP)
    parser.add_argument("album", help="an album written by findvl index")
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.9,
        help="least cosine of two images' vectors, 0 to 1; their pixels decide (default: %(default)g)",
    )
    parser.add_argument("--json", metavar="OUT", help="write JSON; - for stdout")
    parser.set_defaults(run=duplicates)


def duplicates(arguments: argparse.Namespace) -> int:
    """`findvl duplicates`: prints the groups, and how many copies there are."""
    check_target("json", arguments.json)
    from find.retrieval.connection import check_album, is_remote

    if not is_remote(arguments.album):
        check_album(arguments.album)
    with extra("album", "findvl duplicates"):
        from find.retrieval.album import Album
    album = Album.open(arguments.album)
    found = album.duplicates(arguments.threshold)
    for file in found.unreadable:
        print(f"warning: {file} is gone or cannot be read, so it was not compared", file=sys.stderr)
    if arguments.json:
        record = {
            "album": arguments.album,
            "threshold": arguments.threshold,
            "groups": [[_record(image) for image in group] for group in found.groups],
            "unreadable": [str(file) for file in found.unreadable],
        }
        write_json(record, arguments.json)
    if not is_stdout(arguments.json):
        for number, group in enumerate(found.groups, start=1):
            for image in group:
                lead = f"{number:3d}. " if image is group[0] else "     "
                similarity = "" if image is group[0] else f", similarity {image.similarity:.3f}"
                size = f"{image.width}x{image.height} pixels, {image.bytes / 1000:.0f} kB"
                print(f"{lead}{image.path}{_time(image)}  ({size}{similarity})")
        copies = sum(len(group) - 1 for group in found.groups)
        print(f"{len(album)} images, {len(found.groups)} groups with {copies} near-duplicates")
    return 0


def _time(image: AlbumImage) -> str:
    return "" if image.seconds is None else f" at {image.seconds:.1f} s"


def _record(image: AlbumImage) -> dict[str, object]:
    return {
        "path": str(image.path),
        "width": image.width,
        "height": image.height,
        "bytes": image.bytes,
        "similarity": round(image.similarity, 3),
        "seconds": image.seconds,
    }
