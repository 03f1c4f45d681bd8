"""`findvl data import`: exports of annotation tools as folders to train on. Heavy libraries come when it runs."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from find.cli.arguments import add_command, seconds
from find.errors import printable

FORMATS = ("auto", "roboflow", "cvat", "label-studio", "coco", "labelme", "yolo", "masks")
EXPLANATION = """\
EXPORT is a folder or zip as a tool wrote it; which tool it was is found out by looking into it.

  Roboflow       "COCO Segmentation": train/, valid/, test/, each with _annotations.coco.json
  CVAT           "COCO 1.0" or "CVAT for images 1.1", with images
  Label Studio   "COCO", or "JSON" with the pictures beside it (for brushes)
  labelme        the folder of pictures and JSON files
  YOLO           segmentation: data.yaml, images/, labels/*.txt
  COCO           instances of any other tool: a JSON with images, annotations and categories
  masks          images/ and masks/: maps of class numbers or colours, or one black and white mask an object

OUT gets pictures, instances, panoptic maps and FIND-Bench sentences, by split. Where the export has no val, a share of
train is drawn for it. Whatever is lost is counted, with an example; when something goes wrong, OUT is not made at all.

examples:
  findvl data import pets.v3i.coco-segmentation.zip data/pets
  findvl data import labelme/ data/parts --val-fraction 0.1 --seed 1 --copy
"""


def add_import(data: argparse._SubParsersAction) -> None:
    """Adds `import` to `findvl data`."""
    parser = add_command(data, "import", "make a data folder of an annotation tool's export", EXPLANATION)
    parser.add_argument("export", type=Path, help="a folder or zip")
    parser.add_argument("out", type=Path, help="the folder to make")
    parser.add_argument("--format", choices=FORMATS, default="auto", help="(default: %(default)s)")
    parser.add_argument(
        "--val-fraction",
        type=float,
        default=0.2,
        metavar="X",
        help="share of the pictures for val, where the export has no val (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of that draw (default: %(default)s)")
    placing = parser.add_mutually_exclusive_group()
    placing.add_argument(
        "--link", dest="pictures", action="store_const", const="link", default="link",
        help="link to the pictures of EXPORT (default; those of a zip are taken out of it)",
    )  # fmt: skip
    placing.add_argument("--copy", dest="pictures", action="store_const", const="copy", help="copy the pictures")
    parser.add_argument(
        "--boxes",
        choices=("leave-out", "fill"),
        default="leave-out",
        help="objects with a box and no mask: leave them out, or take the whole box as mask (default: %(default)s)",
    )
    parser.add_argument(
        "--foundation",
        default="tiny",
        help="a vision encoder's spec, for the sentences' references, or none (default: %(default)s)",
    )
    parser.set_defaults(run=data_import)


def data_import(arguments: argparse.Namespace) -> int:
    """`findvl data import`: writes the folder, tells what was lost, and what to run next."""
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
