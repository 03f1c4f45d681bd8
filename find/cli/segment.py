"""`findvl segment`: a mask for each entity of a query in an image, or in each image of a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from find.cli.arguments import (
    DOUBT_HELP,
    QUERY_HELP,
    add_command,
    add_model,
    add_query,
    check_model,
    check_outputs,
    find_entities,
    is_stdout,
    load_model,
    read_query,
    save_picture,
    unknown_words,
    write_json,
)
from find.cli.hints import hint_at_photographs
from find.cli.segment_all import ALL_HELP, THRESHOLD, add_all, find_things, read_sought, report_instances
from find.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from find.model.model import FIND
    from find.model.predictions import EntityMask
    from find.query.query import Query
    from find.visualization.uncertainty import UnknownWords

SCORE_HELP = """\
score: the probability (0 to 1) with which this mask was chosen among all proposals; present: the probability that the
thing is in the image at all, given by models with a match head, such as find-tiny
"""


FOLDER_HELP = """\
for a folder, all images in it and its sub-folders are segmented: --png is then a folder, and the JSON has a list
"""
BATCH = 16
"""Images that are read and segmented together."""


def add_segment(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "segment",
        "find the entities of a query in an image or in a folder of them",
        QUERY_HELP + "\n" + FOLDER_HELP + ALL_HELP + SCORE_HELP + DOUBT_HELP + "\nexamples:\n"
        '  findvl segment photo.jpg "{a red dog} next to {a sofa}" --png found.png\n'
        '  findvl segment photo.jpg "the person left of the red car"\n'
        '  findvl segment photo.jpg "the same as [other.jpg@120,80]" --json -\n'
        '  findvl segment photos/ "{a red dog}" --png found/ --json found.json\n'
        '  findvl segment photo.jpg "{a striped dog}" --all\n'
        '  findvl segment photos/ "[rex.jpg@120,80]" --and "[rex2.jpg@40,60]" --without "[cat.jpg@9,9]" --all\n',
    )
    parser.add_argument("image", help="an image, or a folder of images")
    add_query(parser)
    add_all(parser)
    add_model(parser)
    parser.set_defaults(run=segment)


def no_entity(text: str) -> InputError:
    return InputError(
        f"the query {text!r} has no entity to segment; mark what to find with braces, "
        "such as {a red dog}, or show it with a region, such as [dog.jpg@120,80]"
    )


def segment(arguments: argparse.Namespace) -> int:
    """`findvl segment`: a mask for each entity of a query in each image."""
    query = read_query(arguments.query)
    check_model(arguments)
    from find.model.location import may_have_tagger

    if not query.entities and not may_have_tagger(arguments.weights):
        raise no_entity(arguments.query)
    sought = read_sought(arguments, query)
    is_folder = Path(arguments.image).is_dir()
    if is_folder:
        check_folder_outputs(arguments)
        files, skipped = images_of(Path(arguments.image))
    else:
        check_outputs(arguments)
        files, skipped = [arguments.image], 0
    from find.images.images import read_image

    first = None if is_folder else read_image(arguments.image)
    for one in (query,) if sought is None else sought.queries:
        one.check()
    model = load_model(arguments)
    if sought is None:
        [query] = find_entities(model, [query])
    else:
        sought = find_things(model, sought)
        query = sought.include[0]
    if not query.entities:
        raise no_entity(arguments.query)
    unknown = unknown_words(model, query)
    records, longest = [], 0
    for start in range(0, len(files), BATCH):
        pictures = {}
        for file in files[start : start + BATCH]:
            try:
                pictures[file] = checked(model, file, read_image(file) if first is None else first)
            except InputError as error:
                if not is_folder:
                    raise
                print(f"skipped {error}", file=sys.stderr)
                skipped += 1
        if not pictures:
            answers = []
        elif sought is None:
            answers = model.segment(list(pictures.values()), query)
        else:
            threshold = THRESHOLD if arguments.threshold is None else arguments.threshold
            answers = model.find_all(list(pictures.values()), sought, threshold=threshold)
        for (file, picture), masks in zip(pictures.items(), answers, strict=True):
            longest = max(longest, *picture.shape[:2])
            target = _target(arguments, file, is_folder)
            if sought is None:
                records.append(_report(arguments, query, unknown, file, picture, masks, target, is_folder))
            else:
                records.append(report_instances(arguments, sought, file, picture, masks, target))
    if is_folder and not records:
        raise InputError(f"{arguments.image}: none of its {len(files)} images can be read")
    if arguments.json and is_folder:
        write_json(
            {"folder": arguments.image, "query": arguments.query, "skipped": skipped, "images": records}, arguments.json
        )
    elif arguments.json:
        write_json(records[0], arguments.json)
    if is_folder and not is_stdout(arguments.json):
        certainty = "" if arguments.all else ", without doubt"
        print(f"{count_found(records)} of {len(records)} images have what is sought{certainty}")
        print(f"{len(records)} images" + (f", {skipped} skipped" if skipped else ""))
    hint_at_photographs(arguments.weights, [longest])
    return 0


def count_found(records: Sequence[dict[str, Any]]) -> int:
    """Of how many images everything was found without doubt; with --all, of how many anything was."""
    return sum(
        bool(record["instances"]) if "instances" in record else not any(one["doubtful"] for one in record["entities"])
        for record in records
    )


def images_of(folder: Path) -> tuple[list[str], int]:
    """The image files of a folder with its sub-folders, in order, and how many media were skipped (listed on stderr).

    Raises InputError where there is no image.
    """
    from find.retrieval.photos import counted, find_files

    found = find_files(folder)
    left_out = (*found.unlisted, *found.refused)
    for skipped in left_out:
        print(f"skipped {skipped.path}: {skipped.reason}", file=sys.stderr)
    files = [str(photo.file) for photo in found.files if not photo.is_video]
    videos = len(found.files) - len(files)
    if not files:
        raise InputError(f"{folder}: no image in this folder, only {videos} video{'' if videos == 1 else 's'}")
    left_alone = found.others + videos
    if left_alone or found.hidden:
        print(f"left alone: {counted(left_alone, found.hidden)}", file=sys.stderr)
    return files, len(left_out)


def checked(model: FIND, file: str, picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """A picture that the model takes. Raises InputError for one that is too narrow."""
    try:
        model.resizing.fit(*picture.shape[:2])
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return picture


def check_folder_outputs(arguments: argparse.Namespace) -> None:
    """Refuses what could not be written of a folder's images."""
    if arguments.png and arguments.png.exists() and not arguments.png.is_dir():
        raise InputError(f"--png {arguments.png}: of a folder of images, give a folder to write their pictures into")
    if arguments.json and Path(arguments.json).is_dir():
        raise InputError(f"--json {arguments.json}: this is a folder; give the name of a file to write")


def _target(arguments: argparse.Namespace, file: str, is_folder: bool) -> Path | None:
    """Where the picture of an image is written."""
    if not arguments.png or not is_folder:
        return arguments.png
    inside = Path(file).relative_to(Path(arguments.image).resolve())
    return arguments.png / inside.with_name(inside.name + ".png")


def _report(
    arguments: argparse.Namespace,
    query: Query,
    unknown: UnknownWords,
    file: str,
    picture: UInt8[np.ndarray, "h w 3"],
    masks: Sequence[EntityMask],
    target: Path | None,
    is_folder: bool,
) -> dict[str, object]:
    """Draws and prints what was found in an image; returns its record."""
    from find.visualization.results import draw_entities, entities_json, with_doubts
    from find.visualization.uncertainty import doubt

    entities = entities_json(query, masks, unknown)
    if target is not None:
        save_picture(with_doubts(draw_entities(picture, query, masks, unknown), masks, unknown), target)
    if not is_stdout(arguments.json):
        for entity, found, words in zip(entities, masks, unknown.entities, strict=True):
            why = doubt(found, words)
            share = 100 * found.mask.mean()
            is_there = "" if found.present is None else f", present {found.present:.3f}"
            print(
                (f"{file}: " if is_folder else "")
                + f"{entity['text']}: score {entity['score']:.3f}{is_there}, "
                + f"{share:.1f} % of the image, box {entity['box']}"
                + (f"  (doubtful: {why})" if why else "")
            )
    return {
        "image": file,
        "size": list(picture.shape[:2]),
        "query": arguments.query,
        "read_as": query.format(),
        "unknown_words": list(unknown.query),
        "entities": entities,
    }
