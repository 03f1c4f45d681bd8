"""`findvl convert official`: the command line of the conversion. Heavy libraries are imported when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_convert(commands: argparse._SubParsersAction) -> None:
    """Adds `convert` to findvl's commands."""
    convert = commands.add_parser("convert", help="convert published checkpoints to FIND's format").add_subparsers(
        title="sources", metavar="SOURCE", required=True
    )
    text = "convert a published FIND checkpoint into a folder for --weights and FIND.from_pretrained"
    official = convert.add_parser(
        "official",
        help=text,
        description=f"{text}. `--weights official/find-focalt-llama` does so automatically, into the hub's cache; this "
        "command is for files that you have, and for a folder of your own.",
        epilog="examples:\n"
        "  findvl convert official official/find-focalt-llama models/find-focalt       # fetches the file and LLaMA\n"
        "  findvl convert official find_focalt_llama_x640.pt models/find-focalt --llama huggyllama/llama-7b\n"
        "  findvl convert official find_focall_llama_x640.pt models/find-focall --llama /data/llama-7b\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    official.add_argument(
        "checkpoint",
        help="the .pt file, with or without LLaMA's weights inside; or official/find-focalt-llama or "
        "official/find-focall-llama, which are fetched",
    )
    official.add_argument("out", type=Path, help="the folder to write")
    official.add_argument(
        "--llama",
        help="LLaMA-7B: a Hugging Face folder, or a name of the hub (default: what the environment variable FIND_LLAMA "
        "names, else huggyllama/llama-7b)",
    )
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
    from find.errors import InputError
    from find.integrations.official.convert import convert
    from find.integrations.official.fetching import OWNER, default_llama, fetch_published
    from find.integrations.official.published import Unwritten

    unwritten = Unwritten(
        heads=arguments.heads, region_points=arguments.region_points, feature_layer=arguments.feature_layer
    )
    owner, _, name = arguments.checkpoint.partition("/")
    if owner == OWNER and not Path(arguments.checkpoint).exists():
        if unwritten != Unwritten():
            raise InputError(
                f"{arguments.checkpoint} has known hyperparameters; leave out --heads, --region-points and "
                "--feature-layer"
            )
        print(fetch_published(name, llama=arguments.llama, out=arguments.out))
        return 0
    llama = arguments.llama or default_llama()
    print(convert(arguments.checkpoint, arguments.out, llama=llama, unwritten=unwritten))
    return 0
