"""The command `findvl`. Heavy libraries are imported by the sub-command that needs them, so help is immediate."""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from find.errors import FindError, UnknownWordsWarning
from find.official.command import add_convert
from find.training.encode_text import add_encode_text

if TYPE_CHECKING:
    from PIL.Image import Image

    from find.demo.doubts import UnknownWords
    from find.model import FIND
    from find.query import Query

TRAINING_COMMANDS = {
    "fit": "train an interface (LightningCLI)",
    "validate": "losses of a checkpoint on the val split (LightningCLI)",
    "test": "evaluate on the FIND-Bench protocol; --out FILE.json",
    "predict": "predictions of a checkpoint for a data folder (LightningCLI)",
}

QUERY_HELP = """\
a query:
  a {red dog} next to [sofa.jpg@120,80]

  {words}             a phrase: words that stand for something to be found
  [image@x,y]         a region by a point (pixels, x right, y down, origin top left)
  [image@x0,y0,x1,y1] a region by a box
  [image#mask.png]    a region by a mask file
  all other text connects them; a backslash takes the next character literally
"""

SCORE_HELP = """\
score of an image = sentence + 0.5 x mean of its entities' terms
  sentence: cosine of the whole query with the image; a term: cosine of an entity with the nearest object in the image
"""

DOUBT_HELP = """\
doubtful are entities with words that the language model has never seen, and those whose mask was chosen with a
probability (score, 0 to 1) below 0.4: they are marked in terminal, picture and JSON
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status: 0, 1 where a check found errors, 2 for bad input."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        with _short_warnings():
            if argv and argv[0] in TRAINING_COMMANDS:
                from find.training.cli import main as training_main

                training_main(argv)
                return 0
            arguments = build_parser().parse_args(argv)
            return arguments.run(arguments)
    except (FindError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


class Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line, with the nearest word that would be right; takes no abbreviations."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **(kwargs | {"allow_abbrev": False}))

    def parse_known_args(self, args=None, namespace=None):
        """Looks for unknown options first: argparse would complain of what is missing instead."""
        if self._subparsers is None:
            for word in args or ():
                if word == "--":
                    break
                option = word.partition("=")[0]
                if option.startswith("--") and option not in self._option_string_actions:
                    self.error(f"there is no option {option}{_nearest(option, self._option_string_actions)}")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '([^']*)'", message)
        if wrong and self._subparsers is not None:
            commands = list(self._subparsers._group_actions[0].choices)
            message = f"there is no command {wrong[1]}{_nearest(wrong[1], commands) or ': ' + ', '.join(commands)}"
        self.exit(2, f"error: {message} ({self.prog} --help tells more)\n")


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


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
    _add_segment(commands)
    _add_index(commands)
    _add_search(commands)
    _add_data(commands)
    add_convert(commands)
    return parser


def segment(arguments: argparse.Namespace) -> int:
    """`findvl segment`: a mask for each entity of a query in one image."""
    query = _read_query(arguments.query)
    if not query.entities:
        raise FindError(
            f"the query {arguments.query!r} has no entity to segment; mark what to find with braces, "
            "such as {a red dog}, or show it with a region, such as [dog.jpg@120,80]"
        )
    _check_outputs(arguments)
    from find.images import read_image

    picture = read_image(arguments.image)
    query.check()
    model = _load_model(arguments)
    unknown = _unknown_words(model, query)

    from find.demo.doubts import doubt
    from find.demo.results import draw_entities, entities_json, with_doubts

    masks = model.segment([picture], [query])[0]
    entities = entities_json(query, masks, unknown)
    if arguments.png:
        _save_picture(with_doubts(draw_entities(picture, query, masks, unknown), masks, unknown), arguments.png)
    if arguments.json:
        record = {
            "image": str(arguments.image),
            "size": list(picture.shape[:2]),
            "query": arguments.query,
            "unknown_words": list(unknown.query),
            "entities": entities,
        }
        _write_json(record, arguments.json)
    if not _is_stdout(arguments.json):
        for entity, found, words in zip(entities, masks, unknown.entities, strict=True):
            why = doubt(found.score, words)
            share = 100 * found.mask.mean()
            print(
                f"{entity['text']}: score {entity['score']:.3f}, {share:.1f} % of the image, box {entity['box']}"
                + (f"  (doubtful: {why})" if why else "")
            )
    return 0


def index(arguments: argparse.Namespace) -> int:
    """`findvl index`: embeds a folder of photos into an album."""
    model = _load_model(arguments)
    from find.retrieval.album import Album

    begin = time.perf_counter()
    album = Album.build(model, arguments.photos, arguments.album, batch_size=arguments.batch_size)
    for skipped in album.skipped:
        print(f"skipped {skipped.path}: {skipped.reason}", file=sys.stderr)
    print(
        f"{arguments.album}: {len(album)} images, {len(album.skipped)} skipped, in {_seconds(begin)}; "
        f'next: findvl search {arguments.album} --query "{{a red dog}}"'
    )
    return 0


def search(arguments: argparse.Namespace) -> int:
    """`findvl search`: the images of an album that fit a query, with its entities found in them."""
    query = _read_query(arguments.query)
    _check_outputs(arguments)
    query.check()
    model = _load_model(arguments)
    from find.retrieval.album import Album

    album = Album.open(arguments.album, model)
    unknown = _unknown_words(model, query)
    hits = album.search(query, arguments.k)
    wants_masks = bool(query.entities) and bool(arguments.png or arguments.json)
    masks = album.ground(query, hits) if wants_masks else [[] for _ in hits]

    from find.demo.results import draw_hits, hit_line, hits_json

    if arguments.png:
        _save_picture(draw_hits(query, hits, masks, unknown), arguments.png)
    if arguments.json:
        record = {
            "album": str(arguments.album),
            "query": arguments.query,
            "unknown_words": list(unknown.query),
            "hits": hits_json(query, hits, masks, unknown),
        }
        _write_json(record, arguments.json)
    if not _is_stdout(arguments.json):
        for rank, hit in enumerate(hits, start=1):
            print(hit_line(rank, hit, query, unknown))
    return 0


def data_world(arguments: argparse.Namespace) -> int:
    """`findvl data world`: writes a synthetic data set in COCO's and FIND-Bench's layout."""
    from find.data.world import generate_world

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
        f"{megabytes:.0f} MB, in {_seconds(begin)}; next: findvl fit -c tiny --data.root {world}"
    )
    return 0


def data_check(arguments: argparse.Namespace) -> int:
    """`findvl data check`: lists every anomaly of a data folder; status 1 if there are errors."""
    from find.data.check import check_folder

    report = check_folder(arguments.root, arguments.split)
    print(json.dumps(report.to_json(), indent=1) if arguments.json else report.to_text())
    return 1 if report.has_errors else 0


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"findvl {version('findvl')}")
        parser.exit()


def _add_command(commands: argparse._SubParsersAction, name: str, text: str, epilog: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=text, description=text, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _add_segment(commands: argparse._SubParsersAction) -> None:
    parser = _add_command(
        commands,
        "segment",
        "find the entities of a query in one image",
        QUERY_HELP + "\n" + DOUBT_HELP + "\nexamples:\n"
        '  findvl segment photo.jpg --query "{a red dog} next to {a sofa}" --png found.png\n'
        '  findvl segment photo.jpg --query "the same as [other.jpg@120,80]" --json -\n',
    )
    parser.add_argument("image", type=Path, help="the image to look into")
    _add_query(parser)
    _add_model(parser)
    parser.set_defaults(run=segment)


def _add_index(commands: argparse._SubParsersAction) -> None:
    parser = _add_command(
        commands,
        "index",
        "embed a folder of photos into an album, one file",
        "example:\n  findvl index ~/Pictures pictures.album\n",
    )
    parser.add_argument("photos", type=Path, help="folder of images, searched with its sub-folders")
    parser.add_argument("album", type=Path, help="the file to write")
    parser.add_argument("--batch-size", type=_positive, default=32, help="images at a time (default: %(default)s)")
    _add_model(parser)
    parser.set_defaults(run=index)


def _add_search(commands: argparse._SubParsersAction) -> None:
    parser = _add_command(
        commands,
        "search",
        "search an album with a query",
        QUERY_HELP + "\n" + SCORE_HELP + "\n" + DOUBT_HELP + "\nexamples:\n"
        '  findvl search pictures.album --query "{a blue car} on {the road}" --png hits.png\n'
        '  findvl search pictures.album --query "a dog like [rex.jpg@120,80,300,260]" -k 5 --json hits.json\n',
    )
    parser.add_argument("album", type=Path, help="a file that findvl index has written")
    _add_query(parser)
    parser.add_argument("-k", type=_positive, default=10, help="how many images (default: %(default)s)")
    _add_model(parser)
    parser.set_defaults(run=search)


def _add_data(commands: argparse._SubParsersAction) -> None:
    data = commands.add_parser("data", help="make and check data sets").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    world = _add_command(
        data,
        "world",
        "write a synthetic data set in COCO's and FIND-Bench's layout",
        "20,000 images take 0.5 GB and about 3 minutes on 2 cores\n\n"
        "example:\n  findvl data world worlds/seed7 --images 6000 --val-images 500 --seed 7\n",
    )
    world.add_argument("out", type=Path, help="the folder to write")
    world.add_argument("--images", type=_positive, required=True, help="images of the train split")
    world.add_argument("--val-images", type=_positive, help="images of the val split (default: as train, at most 500)")
    world.add_argument("--seed", type=int, default=0, help="equal seeds give equal worlds (default: %(default)s)")
    world.add_argument("--size", type=_positive, default=160, help="side in pixels (default: %(default)s)")
    world.add_argument("--workers", type=_positive, help="processes (default: all cores)")
    world.set_defaults(run=data_world)

    check = _add_command(
        data,
        "check",
        "list every anomaly of a data folder, with file, id and mend; status 1 if there are errors",
        "example:\n  findvl data check datasets/coco --split val2017 --json\n",
    )
    check.add_argument("root", type=Path, help="a folder in COCO's layout")
    check.add_argument("--split", help="such as val2017 (default: all that are there)")
    check.add_argument("--json", action="store_true", help="write JSON")
    check.set_defaults(run=data_check)
    add_encode_text(data)


def _add_query(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--query", required=True, help="what to find; see below")
    parser.add_argument("--png", type=Path, metavar="OUT", help="write a picture with masks, phrases and scores")
    parser.add_argument("--json", metavar="OUT", help="write JSON with masks as COCO run-length codes; - for stdout")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", default="find-tiny", help="a shipped name or a saved folder (default: %(default)s)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: %(default)s)")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


def _read_query(text: str) -> Query:
    from find.query import Query

    return Query.parse(text)


def _load_model(arguments: argparse.Namespace) -> FIND:
    from find.device import choose_device
    from find.model import FIND

    device = choose_device(arguments.device)
    return FIND.from_pretrained(arguments.weights).to(device).eval()


def _unknown_words(model: FIND, query: Query) -> UnknownWords:
    """The query's unknown words, told on stderr if there are any."""
    from find.demo.doubts import UnknownWords

    unknown = UnknownWords.read(model.language, query)
    if unknown.warning:
        print(f"warning: {unknown.warning}", file=sys.stderr)
    return unknown


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Refuses what could not be written before any work is done for it."""
    suffixes = (".png", ".jpg", ".jpeg", ".webp")
    if arguments.png and arguments.png.suffix.lower() not in suffixes:
        raise FindError(f"--png {arguments.png}: give a file name that ends with one of {', '.join(suffixes)}")
    for name in ("png", "json"):
        target = getattr(arguments, name)
        if target and Path(target).is_dir():
            raise FindError(f"--{name} {target}: this is a folder; give the name of a file to write")


@contextmanager
def _short_warnings() -> Iterator[None]:
    """Users see a warning as a line, without the place in the source that gave it."""
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnknownWordsWarning)  # `_unknown_words` tells them beside the answers
            yield
    finally:
        warnings.formatwarning = usual


def _seconds(begin: float) -> str:
    return f"{time.perf_counter() - begin:.0f} s"


def _save_picture(picture: Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def _is_stdout(target: str | None) -> bool:
    return target == "-"


def _write_json(record: dict[str, object], target: str) -> None:
    text = json.dumps(record, indent=1)
    if _is_stdout(target):
        print(text)
        return
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
