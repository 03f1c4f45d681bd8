"""`findvl convert official`: the command line of the conversion. Heavy libraries are imported when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_convert(commands: argparse._SubParsersAction) -> None:
    """Adds `convert` to findvl's commands."""
    convert = commands.add_parser("convert", help="convert published checkpoints to FIND's format").add_subparsers(
        title="sources", metavar="SOURCE", required=True
    )
    text = "convert a published FIND checkpoint (.pt) into a folder for --weights and FIND.from_pretrained"
    official = convert.add_parser(
        "official",
        help=text,
        description=text,
        epilog="examples:\n"
        "  findvl convert official find_focalt_llama_x640.pt models/find-focalt --llama huggyllama/llama-7b\n"
        "  findvl convert official find_focall_llama_x640.pt models/find-focall --llama /data/llama-7b\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    official.add_argument("checkpoint", type=Path, help="the .pt file, with or without LLaMA's weights inside")
    official.add_argument("out", type=Path, help="the folder to write")
    official.add_argument("--llama", required=True, help="a Hugging Face LLaMA folder, or a name of the hub")
    other = official.add_argument_group("models of other sizes", "hyperparameters that the checkpoint does not record")
    other.add_argument("--heads", type=int, default=8, help="attention heads (default: %(default)s)")
    other.add_argument(
        "--region-points", type=int, default=512, help="points sampled per image and level (default: %(default)s)"
    )
    other.add_argument(
        "--feature-layer", type=int, default=-12, help="which of LLaMA's hidden states is read (default: %(default)s)"
    )
    official.set_defaults(run=convert_official)


def convert_official(arguments: argparse.Namespace) -> int:
    from find.integrations.official.convert import convert
    from find.integrations.official.published import Unwritten

    unwritten = Unwritten(
        heads=arguments.heads, region_points=arguments.region_points, feature_layer=arguments.feature_layer
    )
    print(convert(arguments.checkpoint, arguments.out, llama=arguments.llama, unwritten=unwritten))
    return 0
