"""`findvl segment --all`: every instance of a thing, by words or by examples, in an image or a folder of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from find.cli.arguments import find_entities, is_stdout, probability, read_query, save_picture
from find.errors import InputError
from find.query.operators import JoinedQuery

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from jaxtyping import UInt8

    from find.model.model import FIND
    from find.model.predictions import EntityMask
    from find.query.query import Query

ALL_HELP = """\
--all finds every instance of one thing, most likely first, or none if there is none. The thing is a phrase or an
example, which may be a region of another image; --and adds an example, --without a counter-example
"""
THRESHOLD = 0.5


def add_all(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="find every instance of the query's only entity")
    parser.add_argument(
        "--threshold",
        type=probability,
        metavar="P",
        help=f"with --all: minimum probability that an instance matches (default: {THRESHOLD:g})",
    )
    parser.add_argument(
        "--and", dest="others", action="append", default=[], metavar="QUERY", help="with --all: another example"
    )
    parser.add_argument("--without", action="append", default=[], metavar="QUERY", help="with --all: a counter-example")


def read_sought(arguments: argparse.Namespace, query: Query) -> JoinedQuery | None:
    """The queries of --all; None without it."""
    if not arguments.all:
        given = [
            name
            for name, value in (
                ("--and", arguments.others),
                ("--without", arguments.without),
                ("--threshold", arguments.threshold is not None),
            )
            if value
        ]
        if given:
            raise InputError(f"{given[0]} belongs to --all, which finds every instance; add --all, or leave it out")
        return None
    return JoinedQuery((query, *map(read_query, arguments.others)), tuple(map(read_query, arguments.without)))


def find_things(model: FIND, sought: JoinedQuery) -> JoinedQuery:
    """The queries, with the entities of plain text. Raises InputError if a query is not a single thing."""
    found = find_entities(model, sought.queries)
    for one in found:
        if len(one.entities) != 1:
            raise InputError(
                f"--all seeks one thing; the query {one.text[:60]!r} has {len(one.entities)} entities: give one phrase "
                "or region, such as {a striped dog} or [dog.jpg@120,80]"
            )
    return JoinedQuery(tuple(found[: len(sought.include)]), tuple(found[len(sought.include) :]))


def report_instances(
    arguments: argparse.Namespace,
    sought: JoinedQuery,
    file: str,
    picture: UInt8[np.ndarray, "h w 3"],
    found: Sequence[EntityMask],
    target: Path | None,
) -> dict[str, object]:
    """Draws (to `target`) and prints the instances of an image; returns its record."""
    from find.visualization.drawing import Overlay, add_title, draw_overlays
    from find.visualization.results import encode_mask, shown

    name = sought.include[0].entity_names[0]
    if target is not None:
        overlays = [Overlay(mask=one.mask, label=name, score=one.score) for one in found]
        drawn = draw_overlays(picture, overlays)
        save_picture(drawn if found else add_title(drawn, [f"nothing found: {name}"]), target)
    if not is_stdout(arguments.json):
        print(f"{file}: {name}: {len(found) or 'none'} found")
        for one in found:
            print(f"  {one.score:.3f}, {100 * one.mask.mean():.1f} % of the image, box {one.box}")
    return {
        "image": file,
        "size": list(picture.shape[:2]),
        "query": arguments.query,
        "and": arguments.others,
        "without": arguments.without,
        "instances": [
            {"score": shown(one.score), "box": one.box, "segmentation": encode_mask(one.mask)} for one in found
        ],
    }
