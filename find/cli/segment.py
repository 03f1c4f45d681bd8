"""`findvl segment`: a mask for each entity of a query in one image."""

from __future__ import annotations

import argparse
from pathlib import Path

from find.cli.arguments import (
    DOUBT_HELP,
    QUERY_HELP,
    add_command,
    add_model,
    add_query,
    check_model,
    check_outputs,
    is_stdout,
    load_model,
    read_query,
    save_picture,
    unknown_words,
    write_json,
)
from find.errors import InputError

SCORE_HELP = """\
the score says which mask was chosen, not whether the thing is there at all: one that is absent often gets 0.9
"""


def add_segment(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "segment",
        "find the entities of a query in one image",
        QUERY_HELP + "\n" + SCORE_HELP + DOUBT_HELP + "\nexamples:\n"
        '  findvl segment photo.jpg --query "{a red dog} next to {a sofa}" --png found.png\n'
        '  findvl segment photo.jpg --query "the same as [other.jpg@120,80]" --json -\n',
    )
    parser.add_argument("image", type=Path, help="the image to look into")
    add_query(parser)
    add_model(parser)
    parser.set_defaults(run=segment)


def segment(arguments: argparse.Namespace) -> int:
    """`findvl segment`: a mask for each entity of a query in one image."""
    query = read_query(arguments.query)
    if not query.entities:
        raise InputError(
            f"the query {arguments.query!r} has no entity to segment; mark what to find with braces, "
            "such as {a red dog}, or show it with a region, such as [dog.jpg@120,80]"
        )
    check_outputs(arguments)
    check_model(arguments)
    from find.images.images import read_image

    picture = read_image(arguments.image)
    query.check()
    model = load_model(arguments)
    unknown = unknown_words(model, query)

    from find.visualization.results import draw_entities, entities_json, with_doubts
    from find.visualization.uncertainty import doubt

    masks = model.segment([picture], [query])[0]
    entities = entities_json(query, masks, unknown)
    if arguments.png:
        save_picture(with_doubts(draw_entities(picture, query, masks, unknown), masks, unknown), arguments.png)
    if arguments.json:
        record = {
            "image": str(arguments.image),
            "size": list(picture.shape[:2]),
            "query": arguments.query,
            "unknown_words": list(unknown.query),
            "entities": entities,
        }
        write_json(record, arguments.json)
    if not is_stdout(arguments.json):
        for entity, found, words in zip(entities, masks, unknown.entities, strict=True):
            why = doubt(found, words)
            share = 100 * found.mask.mean()
            print(
                f"{entity['text']}: score {entity['score']:.3f}, {share:.1f} % of the image, box {entity['box']}"
                + (f"  (doubtful: {why})" if why else "")
            )
    return 0
