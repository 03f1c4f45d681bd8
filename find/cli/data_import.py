"""`findvl data import`: exports of annotation tools as folders to train on. Heavy libraries come when it runs."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from find.cli.arguments import add_command, seconds
from find.errors import printable

FORMATS = ("auto", "roboflow", "cvat", "label-studio", "coco", "labelme", "yolo", "masks")
EXPLANATION = """\
EXPORT is a folder or zip as the tool wrote it; the tool is recognised by the content.

  Roboflow       "COCO Segmentation": train/, valid/, test/, each with _annotations.coco.json
  CVAT           "COCO 1.0" or "CVAT for images 1.1", with images
  Label Studio   "COCO", or "JSON" with the pictures beside it (for brushes)
  labelme        the folder of pictures and JSON files
  YOLO           segmentation: data.yaml, images/, labels/*.txt
  COCO           instances from any other tool: a JSON file with images, annotations and categories
  masks          images/ and masks/: maps of class numbers or colours, or one black-and-white mask per object

OUT gets the pictures, instances, panoptic maps and FIND-Bench sentences of each split. If the export has no val split,
a random part of train becomes val. What cannot be converted is counted, with an example; a failed import writes
nothing.

examples:
  findvl data import pets.v3i.coco-segmentation.zip data/pets
  findvl data import labelme/ data/parts --val-fraction 0.1 --seed 1 --copy
"""


def add_import(data: argparse._SubParsersAction) -> None:
    """Adds `import` to `findvl data`."""
    parser = add_command(data, "import", "convert an annotation tool's export into a data folder", EXPLANATION)
    parser.add_argument("export", type=Path, help="a folder or zip")
    parser.add_argument("out", type=Path, help="the folder to create")
    parser.add_argument("--format", choices=FORMATS, default="auto", help="(default: %(default)s)")
    parser.add_argument(
        "--val-fraction",
        type=float,
        default=0.2,
        metavar="X",
        help="fraction of the pictures for val if the export has no val split (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of that random split (default: %(default)s)")
    placing = parser.add_mutually_exclusive_group()
    placing.add_argument(
        "--link", dest="pictures", action="store_const", const="link", default="link",
        help="link to the pictures of EXPORT (default; those of a zip are unpacked)",
    )  # fmt: skip
    placing.add_argument("--copy", dest="pictures", action="store_const", const="copy", help="copy the pictures")
    parser.add_argument(
        "--boxes",
        choices=("leave-out", "fill"),
        default="leave-out",
        help="objects with a box and no mask: leave them out, or use the box as the mask (default: %(default)s)",
    )
    parser.add_argument(
        "--foundation",
        default="tiny",
        help="vision encoder that chooses the references of sentences, or none (default: %(default)s)",
    )
    parser.set_defaults(run=data_import)


def data_import(arguments: argparse.Namespace) -> int:
    """`findvl data import`: writes the folder, reports what was lost, and prints the next commands."""
    from find.annotation.importing import import_export
    from find.annotation.importing.importer import next_commands
    from find.foundations import load_vision

    begin = time.perf_counter()
    result = import_export(
        arguments.export,
        arguments.out,
        kind=arguments.format,
        val_fraction=arguments.val_fraction,
        seed=arguments.seed,
        boxes=arguments.boxes,
        pictures=arguments.pictures,
        encoder=None if arguments.foundation == "none" else load_vision(arguments.foundation),
    )
    print(result.to_text())
    print(f"done in {seconds(begin)}; next:")
    for command in next_commands(result):
        print(printable(f"  {command}"))
    return 0
