"""What `findvl search` and `findvl more-like` do with hits: fold copies, export them, show pictures in a terminal."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from find.cli.arguments import check_target
from find.errors import FindError, InputError
from find.utils.extras import extra

if TYPE_CHECKING:
    from find.retrieval.hits import Hit

PICTURE_CELLS = 32
"""Columns of a terminal that a picture takes at most."""


def add_hit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--all-copies", action="store_true", help="list near-duplicates of a hit as separate hits, not under it"
    )
    parser.add_argument("--show", action="store_true", help="show the pictures in a terminal (kitty, sixel or blocks)")
    parser.add_argument("--export", type=Path, metavar="FOLDER", help="copy the hits' files into a new folder, by rank")
    parser.add_argument("--csv", type=Path, metavar="OUT", help="write the hits as a table: rank, score, path, ...")
    parser.add_argument(
        "--fiftyone",
        type=Path,
        metavar="FOLDER",
        help="write a new folder that FiftyOne imports: the pictures, and what the query found in them",
    )


def check_hit_options(arguments: argparse.Namespace) -> None:
    """Refuses what could not be written or shown, before any work is done for it."""
    check_target("csv", arguments.csv)
    for name in ("export", "fiftyone"):
        folder = getattr(arguments, name)
        if folder and folder.exists():
            raise InputError(f"--{name} {folder}: this exists already; give the name of a new folder")
    if arguments.export and arguments.fiftyone and arguments.export.absolute() == arguments.fiftyone.absolute():
        raise InputError(f"--export and --fiftyone both name {arguments.export}; give each its own folder")
    if arguments.show and _is_screen():
        _picture_class()


def write_hits(arguments: argparse.Namespace, hits: Sequence[Hit]) -> None:
    """Writes the outputs of --export, --csv and --fiftyone, and reports their sizes on stderr."""
    from find.retrieval.hit_export import copy_hits, write_csv, write_fiftyone

    for name, write in (("export", copy_hits), ("csv", write_csv), ("fiftyone", write_fiftyone)):
        target = getattr(arguments, name)
        if target:
            missing = write(hits, target)
            for file in missing:
                print(f"warning: {file} is gone or has changed, so it is not in {target}", file=sys.stderr)
            print(f"{target}: {len(hits) - len(missing)} hits", file=sys.stderr)


def print_below(hit: Hit, *, show: bool) -> None:
    """Below a hit's line: its near-duplicates, and its picture where the terminal can show it."""
    if hit.duplicates:
        print(f"     and {_copies(hit.duplicates)}")
    if show and _is_screen():
        from PIL import Image
        from rich.console import Console

        try:
            picture = Image.fromarray(hit.pixels())
        except FindError:
            print("     (the picture is gone or has changed)")
            return
        Console().print(_picture_class()(picture, width=PICTURE_CELLS, height="auto"))


def _copies(places: Sequence[str], most: int = 3) -> str:
    """ "2 near-duplicates: a.jpg, b.jpg", the first few by name."""
    more = f" and {len(places) - most} more" if len(places) > most else ""
    return f"{len(places)} near-duplicate{'' if len(places) == 1 else 's'}: {', '.join(places[:most])}{more}"


def _picture_class() -> type:
    """How this terminal shows pictures, which the library asks it when it is first imported."""
    logging.getLogger("textual_image").setLevel(
        logging.CRITICAL
    )  # terminals that do not answer: it guesses, with a trace
    with extra("terminal", "--show"):
        from textual_image.renderable import Image
    return Image


def _is_screen() -> bool:
    """Whether the output goes to a terminal that has a size."""
    return sys.stdout.isatty() and min(os.get_terminal_size(sys.stdout.fileno())) > 0
