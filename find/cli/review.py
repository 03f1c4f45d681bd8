"""`findvl review`: a page in the browser on which a person goes through the labels of photos."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from find.cli.arguments import add_command, add_model, check_model, load_model
from find.cli.serve import add_address, listener_of
from find.errors import printable

if TYPE_CHECKING:
    import socket

    from find.annotation.labelling.review import Review
    from find.model.model import FIND

EXPLANATION = """\
Opens a page with the photos of LABELS one after the other: keep, drop or correct each object, by keys and by clicks,
and add what was not found. A click has the object segmented anew by the model; use --weights that know such photos.
Every decision is written at once. An object keeps its id, and gets "review": "kept", "corrected" or "added"; what is
dropped moves from "annotations" to "dropped". A review may be left and taken up again at any time.

examples:
  findvl review photos/labels.json photos
  findvl review instances.json photos --out corrected.json --weights my-model
"""


def add_review(commands: argparse._SubParsersAction) -> None:
    parser = add_command(commands, "review", "keep, drop and correct labels of photos in a browser", EXPLANATION)
    parser.add_argument("labels", type=Path, help="COCO JSON of instances, from findvl label or any tool")
    parser.add_argument("photos", type=Path, help="the folder of its photos")
    parser.add_argument("--out", type=Path, help="where to write the corrected file (default: LABELS itself)")
    parser.add_argument("--no-browser", action="store_true", help="print the address without opening a browser")
    add_address(parser)
    add_model(parser)
    parser.set_defaults(run=review)


def review(arguments: argparse.Namespace) -> int:
    """`findvl review`: runs until it is interrupted."""
    check_model(arguments)
    from find.annotation.labelling.review import Review

    opened = Review(arguments.labels, arguments.photos, arguments.out)
    listener = listener_of(arguments)
    serve_review(opened, load_model(arguments), listener, show=not arguments.no_browser, hosts=arguments.allowed_host)
    return 0


def serve_review(
    review: Review, model: FIND, listener: socket.socket, *, show: bool, hosts: list[str] | None = None
) -> None:
    """The page until it is interrupted; then what was decided is told."""
    from find.serving.hosts import AllowedHosts
    from find.serving.limits import Limits
    from find.serving.review.app import create_review_app
    from find.serving.server import answer

    for name in review.missing[:3]:
        print(printable(f"missing: {name}"))
    if len(review.missing) > 3:
        print(f"missing: {len(review.missing)} photos in all")
    app = create_review_app(review, model, hosts=AllowedHosts(listener.getsockname()[0], hosts or ()))
    title = f"{review.file}: {len(review.photos)} photos, {sum(review.counts().values())} objects"
    answer(app, printable(title), listener=listener, seconds=Limits().seconds, show=show)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(review.counts().items()))
    done = sum(map(review.is_reviewed, review.photos))
    print(printable(f"{review.out}: {done} of {len(review.photos)} photos reviewed; objects: {counts or 'none'}"))
    if done < len(review.photos):
        again = f"findvl review {shlex.quote(str(review.out))} PHOTOS"
        print(printable(f"to go on: {again}"))
