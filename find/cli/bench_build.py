"""`findvl bench build`: FIND-Bench for one's own data. Heavy libraries are imported when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from find.cli.arguments import add_command
from find.errors import printable

EXPLANATION = """\
ROOT is a folder in COCO's layout: annotations/panoptic_SPLIT.json with its PNGs, or at least instances_SPLIT.json.
Sentences are its captions (captions_SPLIT.json, or --captions FILE in the same format, for example from a language
model). Nouns are linked to segments where this is unambiguous; all others are skipped and counted. Images without a
linked caption get a sentence from a template. References are the most similar segments of the same class in other
images, by the features of --foundation.

examples:
  findvl bench build my/data --split val2017
  findvl bench build my/video --split val2017 --skip-near 5 --foundation timm:convnext_small.fb_in22k
  findvl bench build /read/only/data --split val2017 --out my/data
"""


def add_build(commands: argparse._SubParsersAction) -> None:
    """Adds `build` to `findvl bench`."""
    parser = add_command(commands, "build", "make FIND-Bench's entity files for your own COCO data set", EXPLANATION)
    parser.add_argument("root", type=Path, help="a folder in COCO's layout")
    parser.add_argument("--split", default="val2017", help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, help="a new folder for the result (default: ROOT/annotations)")
    parser.add_argument("--name", help="the file's name without .json (default: entity_SPLIT)")
    parser.add_argument("--captions", type=Path, metavar="FILE.json", help="captions in COCO's format")
    parser.add_argument(
        "--synonyms", type=Path, metavar="FILE.json", help='more nouns for a class, such as {"person": ["pilot"]}'
    )
    parser.add_argument("--foundation", default="tiny", help="a vision encoder's spec, or none (default: %(default)s)")
    parser.add_argument(
        "--skip-near",
        type=int,
        default=0,
        metavar="N",
        help="take no reference from images within N positions (video frames)",
    )
    parser.set_defaults(run=build)


def build(arguments: argparse.Namespace) -> int:
    """`findvl bench build`: writes the entity file, and reports what was linked and what was left out."""
    from find.annotation.build import build as build_files
    from find.annotation.lexicon import read_synonyms
    from find.foundations import load_vision

    built = build_files(
        arguments.root,
        split=arguments.split,
        out=arguments.out,
        captions=arguments.captions,
        synonyms=read_synonyms(arguments.synonyms) if arguments.synonyms else None,
        encoder=None if arguments.foundation == "none" else load_vision(arguments.foundation),
        skip_near=arguments.skip_near,
        name=arguments.name,
    )
    print(built.to_text())
    print(printable(f"next: findvl data check {arguments.out or arguments.root} --split {arguments.split}"))
    return 0
