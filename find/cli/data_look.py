"""`findvl data look`: a picture of a data folder's pictures, to see whether masks and sentences are right."""

from __future__ import annotations

import argparse
from pathlib import Path

from find.cli.arguments import add_command, positive, save_picture
from find.errors import DataError, InputError, printable

EXPLANATION = """\
Every segment is outlined and labelled with its class. The caption of each picture is its first sentence, with phrases
in the colours of their segments; `*` marks phrases with a reference, a segment of another picture that can replace it.
Segments that the sentence does not mention are grey.

examples:
  findvl data look data/pets --png look.png
  findvl data look datasets/crack-seg --data yolo --png look.png
  findvl data look data/pets --split train -n 60 --seed 3 --png look.png
"""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def add_look(data: argparse._SubParsersAction) -> None:
    """Adds `look` to `findvl data`."""
    parser = add_command(
        data, "look", "draw a contact sheet of pictures with their masks and linked sentences", EXPLANATION
    )
    parser.add_argument("root", type=Path, help="a folder in COCO's layout with panoptic maps, or another's")
    parser.add_argument("--data", metavar="READER", default="coco", help="coco, yolo ... (default: %(default)s)")
    parser.add_argument("--png", type=Path, required=True, metavar="OUT", help="the picture to write")
    parser.add_argument("--split", help="such as train (default: train if there is one, else the first)")
    parser.add_argument("-n", type=positive, default=24, help="number of pictures (default: %(default)s)")
    parser.add_argument("--columns", type=positive, default=4, help="pictures per row (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, help="choose the pictures at random with this seed (default: the first ones)"
    )
    parser.set_defaults(run=data_look)


def data_look(arguments: argparse.Namespace) -> int:
    from find.data.coco import CocoFolder
    from find.data.data_split import load_reader
    from find.visualization.contact_sheet import contact_sheet

    if arguments.png.suffix.lower() not in SUFFIXES:
        raise InputError(f"--png {arguments.png}: give a file name that ends with one of {', '.join(SUFFIXES)}")
    reader = load_reader(arguments.data)
    split = arguments.split or (_first(arguments.root) if reader is CocoFolder else reader.train_split)
    folder = reader(arguments.root, split)
    sheet = contact_sheet(folder, n=arguments.n, columns=arguments.columns, seed=arguments.seed)
    save_picture(sheet, arguments.png)
    print(printable(f"{arguments.png}: {min(arguments.n, len(folder))} of {len(folder)} pictures of {split}"))
    return 0


def _first(root: Path) -> str:
    """The split to show of a folder in COCO's layout: that to train on, where there is one."""
    from find.data.coco import annotations_folder

    found = sorted(annotations_folder(root).glob("panoptic_*.json"))
    splits = [path.stem.removeprefix("panoptic_") for path in found]
    if not splits:
        raise DataError(f"{root}: it has no panoptic annotations; findvl data check {root} says what to do")
    return next((one for one in splits if one.startswith("train")), splits[0])
