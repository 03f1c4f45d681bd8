"""`findvl review`: a page in the browser on which a person goes through the labels of photos."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from find.cli.arguments import add_command, add_model, check_model, load_model
from find.cli.serve import add_address, listener_of
from find.errors import InputError, printable

if TYPE_CHECKING:
    import socket

    from find.annotation.labelling.review import Review
    from find.model.model import FIND

EXPLANATION = """\
Opens a page with the photos of LABELS one after the other: keep, drop or correct each object, by keys and by clicks,
and add what was not found. A click has the object segmented anew by the model; use --weights that know such photos.
Every decision is saved immediately. An object keeps its id, and gets "review": "kept", "corrected" or "added"; what is
dropped moves from "annotations" to "dropped". A review may be left and taken up again at any time.

examples:
  findvl review photos/labels.json
  findvl review instances.json photos --out corrected.json --weights my-model
"""


def add_review(commands: argparse._SubParsersAction) -> None:
    parser = add_command(commands, "review", "keep, drop and correct labels of photos in a browser", EXPLANATION)
    parser.add_argument("labels", type=Path, help="COCO JSON of instances, from findvl label or any tool")
    parser.add_argument("photos", type=Path, nargs="?", help="the folder of its photos (default: that of LABELS)")
    parser.add_argument("--out", type=Path, help="where to write the corrected file (default: LABELS itself)")
    parser.add_argument("--no-browser", action="store_true", help="print the address without opening a browser")
    add_address(parser)
    add_model(parser)
    parser.set_defaults(run=review)


def review(arguments: argparse.Namespace) -> int:
    """`findvl review`: runs until it is interrupted."""
    check_model(arguments)
    check_labels(arguments.labels)
    from find.annotation.labelling.review import Review

    opened = Review(arguments.labels, arguments.photos or arguments.labels.parent, arguments.out)
    listener = listener_of(arguments)
    serve_review(opened, load_model(arguments), listener, show=not arguments.no_browser, hosts=arguments.allowed_host)
    return 0


def check_labels(labels: Path) -> None:
    """Raises FindError for a folder or album in the place of the annotation file, and for a file that is not there."""
    from find.retrieval.connection import has_table

    if labels.is_file():
        return
    if not labels.exists():
        raise InputError(f"{labels}: there is no such file; give COCO JSON, as findvl label writes it")
    album = has_table(labels)
    what = "an album, which is searched, not reviewed" if album else "a folder"
    inside = [] if album else sorted(path.name for path in labels.glob("*.json"))
    if inside:
        raise InputError(
            f"{labels}: this is {what}; give its COCO JSON: findvl review {shlex.quote(str(labels / inside[0]))}"
        )
    photos = "PHOTOS" if album else shlex.quote(str(labels))
    raise InputError(
        f"{labels}: this is {what}; a review needs COCO JSON of the photos, which a model writes by: "
        f'findvl label {photos} --query "{{a dog}}" --out labels.json'
    )


def serve_review(
    review: Review, model: FIND, listener: socket.socket, *, show: bool, hosts: list[str] | None = None
) -> None:
    """Serves the page until interrupted, then prints a summary of the decisions."""
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
        again = f"findvl review {shlex.quote(str(review.out))} {shlex.quote(str(review.folder))}"
        print(printable(f"to continue: {again}"))
