"""What `--data` of the training commands means: a reader by its short name, or a data module by its class path."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from jsonargparse import SUPPRESS, ArgumentParser, Namespace

from find.data.data_split import DataSplit, check_options, load_reader, reader_names
from find.training.datamodule import FindDataModule

OF_MODEL = ("placeholder", "divisor", "resizing", "max_segments", "tasks")
"""Options of our data module that the model decides."""


def data_help() -> str:
    """The options of our data module, as `--help-all` shows them."""
    parser = ArgumentParser(usage=SUPPRESS, add_help=False)
    parser.add_class_arguments(FindDataModule, "data", skip=set(OF_MODEL))
    return parser.format_help().replace("options:\n", "", 1)


def check_data(options: Namespace) -> None:
    """Rejects a folder that is not a data set before anything is built; other data modules check their own."""
    settings = options.get("init_args") or Namespace()
    if settings.get("root") is not None and settings.get("reader") is not None:
        reader = load_reader(settings.reader)
        reader.check_root(Path(settings.root))
        check_options(reader, settings.reader_options or {})


def with_reader(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--data READER` spelt out as `--data.reader READER`, which leaves other settings as they are.

    A reader is a short name or a class path; `--data` with the class path of a data module stays.
    """
    found = list(arguments)
    for number, argument in enumerate(arguments):
        if argument == "--data" and number + 1 < len(arguments) and _is_reader(arguments[number + 1]):
            found[number] = "--data.reader"
        elif argument.startswith("--data=") and _is_reader(argument.partition("=")[2]):
            found[number] = f"--data.reader={argument.partition('=')[2]}"
    return found


def _is_reader(name: str) -> bool:
    if "." not in name or name in reader_names():
        return True  # `load_reader` reports a misspelt short name
    module, _, member = name.rpartition(".")
    try:
        found = getattr(import_module(module), member)
    except (ImportError, AttributeError, ValueError):
        return False  # LightningCLI reports it
    return isinstance(found, type) and issubclass(found, DataSplit)
