"""The command `findvl`. Heavy libraries are imported by the sub-command that needs them, so help is immediate."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from find.cli.album import add_index, add_search
from find.cli.album_map import add_map
from find.cli.arguments import Parser
from find.cli.bench import add_bench
from find.cli.convert import add_convert
from find.cli.data import add_data
from find.cli.duplicates import add_duplicates
from find.cli.export import add_export
from find.cli.label import add_label
from find.cli.more_like import add_more_like
from find.cli.review import add_review
from find.cli.segment import add_segment
from find.cli.serve import add_demo, add_serve
from find.cli.shell import add_shell
from find.errors import FindError, InputError, UnknownWordsWarning, printable
from find.utils.extras import extra

TRAINING_COMMANDS = {
    "fit": "train an interface (LightningCLI)",
    "validate": "losses of a checkpoint on the val split (LightningCLI)",
    "test": "evaluate on the FIND-Bench protocol; --out FILE.json",
    "predict": "predictions of a checkpoint for a data folder (LightningCLI)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status: 0, 1 where a check found errors, 2 for bad input."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # any name can be printed, in any terminal encoding
            stream.reconfigure(errors="backslashreplace")
    try:
        with _short_warnings():
            if argv and argv[0] in TRAINING_COMMANDS:
                return train(argv)
            arguments = build_parser().parse_args(argv)
            return arguments.run(arguments)
    except BrokenPipeError:  # the reader has closed the pipe: findvl search ... | head -1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in its buffer goes there
        return 141
    except (FindError, OSError) as error:
        print(f"error: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="findvl",
        description="FIND: search and segment images with any mixture of words and image regions.",
        epilog="findvl COMMAND --help shows the options and examples of a command",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, text in TRAINING_COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    add_segment(commands)
    add_index(commands)
    add_search(commands)
    add_more_like(commands)
    add_duplicates(commands)
    add_map(commands)
    add_shell(commands)
    add_label(commands)
    add_review(commands)
    add_demo(commands)
    add_serve(commands)
    add_export(commands)
    add_data(commands)
    add_bench(commands)
    add_convert(commands)
    return parser


def train(argv: Sequence[str]) -> int:
    """A command of LightningCLI; what can be checked without Lightning is checked before it is imported."""
    from find.cli.training_help import ALL, training_help

    command, *options = argv
    if any(option in ("-h", "--help") for option in options):
        print(training_help(command, TRAINING_COMMANDS[command]), end="")
        return 0
    has_config = any(option in ("-c", "--config") or option.startswith(("-c=", "--config=")) for option in options)
    if command == "fit" and not has_config and ALL not in options:
        from find.training.configs import config_names

        raise InputError(
            "fit needs a config, otherwise it would train a large default interface: findvl fit -c NAME "
            f"or FILE.yaml; those that ship with FIND are {', '.join(config_names())}"
        )
    with extra("train", f"findvl {command}"):
        from find.cli.training import main as training_main

    training_main([command, *("--help" if option == ALL else option for option in options)])
    return 0


class _Version(argparse.Action):
    """Looks the version up only when it is requested."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"findvl {version('findvl')}")
        parser.exit()


@contextmanager
def _short_warnings() -> Iterator[None]:
    """Users see a warning as a line, without the place in the source that gave it."""
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnknownWordsWarning)  # `unknown_words` reports them with the results
            warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # broken metadata of good pixels
            yield
    finally:
        warnings.formatwarning = usual


if __name__ == "__main__":
    sys.exit(main())
