"""What findvl's commands share: the parser, the options of queries and models, and the files they write."""

from __future__ import annotations

import argparse
import difflib
import json
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from find.errors import InputError
from find.query.operators import JoinedQuery

if TYPE_CHECKING:
    from PIL.Image import Image

    from find.integrations.export.running import OnnxModel
    from find.model.model import FIND
    from find.model.requests import Reading
    from find.query.query import Query
    from find.visualization.uncertainty import UnknownWords

DEFAULT_WEIGHTS = "find-tiny"
QUERY_HELP = """\
a query:
  a {red dog} next to [sofa.jpg@120,80]

  {words}             a phrase: words that describe something to find
  [image@x,y]         a region by a point (pixels, x right, y down, origin top left)
  [image@x0,y0,x1,y1] a region by a box
  [image#mask.png]    a region by a mask file
  other text          links the entities; a backslash escapes the next character
  without braces and brackets, the model's tagger (if it has one) finds the phrases, and the result is printed:
  "a red dog left of the sofa" is read as: {a red dog} left of {the sofa}
"""

DOUBT_HELP = """\
an entity is marked as doubtful if it has words unknown to the language model, an empty mask, a score below 0.4, or is
probably not in the image (present below 0.5); the lines that search prints ("?") know nothing of masks, which are made
for --png and --json
"""


class Parser(argparse.ArgumentParser):
    """Reports an error in one line and suggests the closest valid word; accepts no abbreviations."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **(kwargs | {"allow_abbrev": False}))

    def parse_known_args(self, args=None, namespace=None):
        """Checks for unknown options first: argparse would report missing arguments instead."""
        if self._subparsers is None:
            for word in args or ():
                if word == "--":
                    break
                option = word.partition("=")[0]
                if option.startswith("--") and option not in self._option_string_actions:
                    self.error(f"unknown option {option}{nearest(option, self._option_string_actions)}")
        found, others = super().parse_known_args(args, namespace)
        if "query_text" in vars(found):
            self._take_query(found, others)
        return found, others

    def _take_query(self, found: argparse.Namespace, others: list[str]) -> None:
        """Puts the query, given by its place or as an option, into `query`; argparse leaves one behind options over."""
        given = [text for text in (found.query_text, found.query) if text is not None]
        if not given and others and not others[0].startswith("-"):
            given = [others.pop(0)]
        del found.query_text
        if not given:
            self.error('the query is missing: what to find, such as "{a red dog}"')
        if len(given) > 1:
            self.error("the query is given twice, as an argument and by --query")
        found.query = given[0]

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '([^']*)'", message)
        if wrong and self._subparsers is not None:
            commands = list(self._subparsers._group_actions[0].choices)
            message = f"unknown command {wrong[1]}{nearest(wrong[1], commands) or ': ' + ', '.join(commands)}"
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


class NamesAction(argparse.Action):
    """Some of the known names, separated by spaces or commas; `known` is called where the option is given."""

    def __init__(self, *args: object, known: Callable[[], Sequence[str]], **kwargs: object) -> None:
        super().__init__(*args, nargs="+", **kwargs)
        self.known = known

    def __call__(self, parser, namespace, values, option_string=None):
        names = [name for value in values for name in value.split(",") if name]
        known = self.known()
        for name in names:
            if name not in known:
                parser.error(f"{option_string}: there is no {name!r}{nearest(name, known)}; {', '.join(known)}")
        setattr(namespace, self.dest, names)


def nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def add_command(commands: argparse._SubParsersAction, name: str, text: str, epilog: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=text, description=text, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_query(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query_text", nargs="?", metavar="QUERY", help="what to find; see below")
    parser.add_argument("--query", metavar="QUERY", help="what to find, as an option instead of an argument")
    parser.add_argument("--png", type=Path, metavar="OUT", help="write an image with masks, phrases and scores")
    parser.add_argument("--json", metavar="OUT", help="write JSON with masks as COCO run-length codes; - for stdout")


def add_include_query(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--include-query", action="store_true", help="allow the images that the query shows among the hits"
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        default=DEFAULT_WEIGHTS,
        help="a shipped name, a saved folder, a model of the hub, or official/find-focalt-llama, which the paper's "
        "authors have published (default: %(default)s)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: %(default)s)")


def add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        choices=("torch", "onnx"),
        default="torch",
        help="onnx: ONNX Runtime, with --weights a folder written by findvl export model (default: %(default)s)",
    )


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


def probability(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a probability, which lies between 0 and 1")
    return value


def read_query(text: str) -> Query:
    from find.query.query import Query

    return Query.parse(text)


def find_entities(model: FIND | OnnxModel, queries: Sequence[Query]) -> list[Query]:
    """Queries with the entities of those that are plain sentences, whose reading is printed on stderr."""
    from find.model.requests import read_things

    reading = read_things(model, JoinedQuery(tuple(queries)))
    report_reading(reading)
    return list(reading.query.include)


def find_sought(model: FIND | OnnxModel, asked: JoinedQuery) -> JoinedQuery:
    """What an album is searched for; how plain sentences were read is printed on stderr."""
    from find.model.requests import read_search

    reading = read_search(model, asked)
    report_reading(reading)
    return reading.query


def report_reading(reading: Reading) -> None:
    for line in (*reading.lines, *(f"warning: {warning}" for warning in reading.warnings)):
        print(line, file=sys.stderr)


def check_model(arguments: argparse.Namespace) -> None:
    """Refuses a device or weights that cannot be, before anything heavy is imported."""
    from find.utils.device_names import check_device_name

    check_device_name(arguments.device)
    if is_exported(arguments):
        from find.integrations.export.manifest import Manifest

        Manifest.read(Path(arguments.weights))
        return
    from find.model.location import model_folder

    model_folder(arguments.weights)


def given_weights(arguments: argparse.Namespace) -> str:
    """The option --weights of a command to run next, with a space behind it; nothing for those that are the default."""
    return "" if arguments.weights == DEFAULT_WEIGHTS else f"--weights {shlex.quote(arguments.weights)} "


def is_exported(arguments: argparse.Namespace) -> bool:
    """Whether --weights names a folder that findvl export model has written."""
    return getattr(arguments, "engine", "torch") == "onnx"


def load_model(arguments: argparse.Namespace) -> FIND | OnnxModel:
    if is_exported(arguments):
        from find.integrations.export.running import OnnxModel

        return OnnxModel(arguments.weights)
    from find.model.model import FIND
    from find.utils.device import choose_device

    device = choose_device(arguments.device)
    return FIND.from_pretrained(arguments.weights, device=device).eval()


def unknown_words(model: FIND, query: Query) -> UnknownWords:
    """The query's unknown words, printed on stderr if there are any."""
    from find.visualization.uncertainty import UnknownWords

    unknown = UnknownWords.read(model.language, query)
    if unknown.warning:
        print(f"warning: {unknown.warning}", file=sys.stderr)
    return unknown


def check_outputs(arguments: argparse.Namespace) -> None:
    """Refuses what could not be written before any work is done for it."""
    suffixes = (".png", ".jpg", ".jpeg", ".webp")
    if arguments.png and arguments.png.suffix.lower() not in suffixes:
        raise InputError(f"--png {arguments.png}: give a file name that ends with one of {', '.join(suffixes)}")
    for name in ("png", "json"):
        check_target(name, getattr(arguments, name))


def check_target(option: str, target: str | Path | None) -> None:
    """Refuses a folder as the file to write."""
    if target and Path(target).is_dir():
        raise InputError(f"--{option} {target}: this is a folder; give the name of a file to write")


def seconds(begin: float) -> str:
    return f"{time.perf_counter() - begin:.0f} s"


def save_picture(picture: Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def is_stdout(target: str | None) -> bool:
    return target == "-"


def write_json(record: dict[str, object], target: str) -> None:
    text = json.dumps(record, indent=1)
    if is_stdout(target):
        print(text)
        return
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
