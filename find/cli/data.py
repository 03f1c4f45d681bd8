"""`findvl data`: makes and checks data sets."""

from __future__ import annotations

import argparse
import json
import shlex
import time
import zipfile
from pathlib import Path

from find.cli.arguments import add_command, positive, seconds
from find.cli.data_import import add_import
from find.cli.data_look import add_look
from find.cli.prepare import add_prepare
from find.errors import DataError, printable
from find.training.encode_text import add_encode_text


def add_data(commands: argparse._SubParsersAction) -> None:
    data = commands.add_parser("data", help="make and check data sets").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    world = add_command(
        data,
        "world",
        "write a synthetic data set in COCO's and FIND-Bench's layout",
        "20,000 images take 0.5 GB and about 3 minutes on 2 cores\n\n"
        "example:\n  findvl data world worlds/seed7 --images 6000 --val-images 500 --seed 7\n",
    )
    world.add_argument("out", type=Path, help="the folder to write")
    world.add_argument("--images", type=positive, required=True, help="images of the train split")
    world.add_argument("--val-images", type=positive, help="images of the val split (default: as train, at most 500)")
    world.add_argument("--seed", type=int, default=0, help="the same seed gives the same world (default: %(default)s)")
    world.add_argument("--size", type=positive, default=160, help="side in pixels (default: %(default)s)")
    world.add_argument("--workers", type=positive, help="processes (default: all cores)")
    world.set_defaults(run=data_world)

    check = add_command(
        data,
        "check",
        "list what is wrong in a data folder: file, id and how to fix it; status 1 if there are errors",
        "examples:\n  findvl data check datasets/coco --split val2017 --json\n"
        "  findvl data check datasets/crack-seg --data yolo\n",
    )
    check.add_argument("root", type=Path, help="a folder in COCO's layout, or in the layout of the --data reader")
    check.add_argument("--data", metavar="READER", default="coco", help="coco, yolo ... (default: %(default)s)")
    check.add_argument("--split", help="such as val2017 (default: all)")
    check.add_argument("--json", action="store_true", help="write JSON")
    check.set_defaults(run=data_check)
    add_import(data)
    add_look(data)
    add_prepare(data)
    add_encode_text(data)


def data_world(arguments: argparse.Namespace) -> int:
    """`findvl data world`: writes a synthetic data set in COCO's and FIND-Bench's layout."""
    from find.world import generate_world

    begin = time.perf_counter()
    world = generate_world(
        arguments.out,
        images=arguments.images,
        val_images=arguments.val_images,
        seed=arguments.seed,
        size=arguments.size,
        workers=arguments.workers,
    )
    about = json.loads((world / "world.json").read_text(encoding="utf-8"))
    megabytes = sum(file.stat().st_size for file in world.rglob("*") if file.is_file()) / 1e6
    print(
        f"{world}: {about['images']} train and {about['val_images']} val images of seed {about['seed']}, "
        f"{megabytes:.0f} MB, in {seconds(begin)}; next:"
    )
    for command in world_commands(world, "val2017" if about["val_images"] else "train2017"):
        print(printable(f"  {command}"))
    return 0


def world_commands(world: Path, split: str) -> list[str]:
    """What to run after `findvl data world`: to look at it, to search it with the shipped weights, to train on it."""
    root, photos = shlex.quote(str(world)), shlex.quote(str(world / split))
    album = shlex.quote(f"outputs/{world.name}.album")
    return [
        f"findvl data check {root}",
        f"findvl data look {root} --split {split} --png {shlex.quote(f'outputs/{world.name}.png')}",
        f"findvl index {photos} {album}",
        f"findvl search {album} '{{an orange sofa}} left of {{a dog}}' --png outputs/hits.png",
        f"findvl fit -c tiny --data.root {root}",
    ]


def data_check(arguments: argparse.Namespace) -> int:
    """`findvl data check`: lists every issue of a data folder; status 1 if there are errors."""
    from find.annotation.importing.formats import unimported
    from find.data.coco import CocoFolder
    from find.data.data_split import load_reader, reader_names

    reader = load_reader(arguments.data)
    export = unimported(arguments.root) if reader is CocoFolder else None
    if export is not None or zipfile.is_zipfile(arguments.root):
        root, what = shlex.quote(str(arguments.root)), export[1] if export else "a zip"
        as_it_is = export[0].name if export and export[0].name in reader_names() and export[0].name != "coco" else None
        raise DataError(
            f"{arguments.root}: this is {what}. Convert it to FIND's layout first: findvl data import {root} NEW"
            + (f"; or read it as it is: findvl data check {root} --data {as_it_is}" if as_it_is else "")
        )
    report = reader.check(arguments.root, arguments.split)
    print(json.dumps(report.to_json(), indent=1) if arguments.json else report.to_text())
    return 1 if report.has_errors else 0
