"""`findvl data prepare`: lists which files of a published data set are present and which to download, and derives the
others."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from find.cli.arguments import add_command
from find.cli.bench_captions import NAMES as CAPTION_SETS

EXPLANATION = """\
This command downloads nothing. It lists the files and prints the commands that fetch the missing ones from their
publishers, COCO (http://images.cocodataset.org) and FIND-Bench (https://huggingface.co/datasets/xueyanz/FIND-Bench),
whose terms you have to accept. Run it before and after the download, and whenever a download was interrupted.

  ROOT/train2017.zip, val2017.zip              photographs; stay zipped, or unpacked as ROOT/train2017/
  ROOT/panoptic_annotations_trainval2017.zip   segments; its PNGs stay in the zips inside it, or unpacked as
                                               ROOT/panoptic_train2017/
  ROOT/annotations_trainval2017.zip            captions, and instances (to check the categories)
  ROOT/annotations/entity_*.json               FIND-Bench's sentences
  ROOT/annotations/*.json                      unpacked from the zips by this command
  ROOT/annotations/interleave_*.json           made by this command if missing: the val sentences, with a segment of
                                               another image for each phrase

Semantic maps need no files: they are derived from the panoptic ones.

examples:
  findvl data prepare coco datasets/coco
  findvl data prepare coco datasets/coco --split val2017     to evaluate only: 1.9 GB instead of 21.3
  findvl data prepare sugarcrepe datasets/sugarcrepe         captions; likewise sugarcrepe-pp, vsr, whatsup
"""


def add_prepare(data: argparse._SubParsersAction) -> None:
    """Adds `prepare` to `findvl data`."""
    text = "check which files of a published data set are present and how to get the rest; status 1 if incomplete"
    parser = add_command(data, "prepare", text, EXPLANATION)
    parser.add_argument(
        "dataset",
        choices=["coco", *CAPTION_SETS],
        help="coco: COCO 2017 with FIND-Bench; the others are captions for `findvl bench captions`",
    )
    parser.add_argument("root", type=Path, help="the data set's folder, as for `findvl fit --data.root`")
    parser.add_argument("--split", action="append", help="train2017 or val2017; may be given twice (default: both)")
    parser.add_argument("--checksums", action="store_true", help="also compare the SHA-256 of the archives")
    parser.add_argument("--json", action="store_true", help="write JSON")
    parser.set_defaults(run=data_prepare)


def data_prepare(arguments: argparse.Namespace) -> int:
    if arguments.dataset != "coco":
        return _prepare_captions(arguments)
    from find.data.prepare import prepare
    from find.data.prepare_coco import COCO_2017

    found = prepare(
        arguments.root,
        COCO_2017,
        splits=arguments.split,
        checksums=arguments.checksums,
        tell=lambda text: print(text, file=sys.stderr),
    )
    if arguments.json:
        print(json.dumps(found.to_json(), indent=1))
        return 0 if found.is_complete else 1
    again = f"findvl data prepare {arguments.dataset} {arguments.root}"
    following = f"complete; next: findvl fit -c coco/dinov3l_qwen3 --data.root {arguments.root}"
    print(f"{found.to_text()}\n\n{following if found.is_complete else f'then: {again}'}")
    return 0 if found.is_complete else 1


def _prepare_captions(arguments: argparse.Namespace) -> int:
    from find.data.caption_sets import CAPTION_SETS as SETS
    from find.data.caption_sets import prepare_captions

    release = SETS[arguments.dataset]
    found = prepare_captions(arguments.root, release)
    if arguments.json:
        print(json.dumps({**found.to_json(), "pictures": release.pictures, "terms": release.terms}, indent=1))
        return 0 if found.is_complete else 1
    root = arguments.root
    following = f"complete; next: findvl bench captions {release.name} --root {root} --pictures FOLDER --out OUT.json"
    print(f"{found.to_text()}\n\npictures: {release.pictures}\nterms: {release.terms}\n")
    print(following if found.is_complete else f"then: findvl data prepare {release.name} {root}")
    return 0 if found.is_complete else 1
