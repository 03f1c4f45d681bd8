"""`findvl label`: photos annotated with what a model finds, to be corrected by people. Heavy libraries come later."""

from __future__ import annotations

import argparse
import shlex
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from find.cli.arguments import (
    DEFAULT_WEIGHTS,
    add_command,
    add_model,
    check_model,
    given_weights,
    load_model,
    probability,
    seconds,
    unknown_words,
)
from find.errors import InputError, printable
from find.query.operators import JoinedQuery

if TYPE_CHECKING:
    from find.annotation.labelling.labels import Labels
    from find.query.query import Query

THRESHOLD = 0.5
EXPLANATION = """\
Each --query is a class, called what its phrase says ("{a red car}" is the class "red car") or NAME. Examples show what
words cannot say; all examples of a class are one more query, "like all of these". Several queries of a class find what
any of them finds. --not is subtracted: from one class by its NAME, else from all.

  {words}, or words       a phrase
  photo.jpg@x0,y0,x1,y1   an example by a box (pixels, x right, y down, origin top left), in any photo
  photo.jpg@x,y           an example by a point
  photo.jpg#mask.png      an example by a mask file

An instance is kept from a match probability of --threshold. An object that two classes find is kept once, as the
likelier one, and counted. COCO JSON has a category for each class, and a mask, box, area and score for each instance;
where it lies among the photos, `findvl data import PHOTOS OUT` makes a data folder of both. YOLO folders have links to
the photos, and polygons along the masks' pixels.

examples:
  findvl label photos --query "{a red car}" --query "{a bus}" --out photos/labels.json
  findvl label photos --exemplar "crack=a.jpg@40,20,90,60" --exemplar "crack=b.jpg@12,80" --not "{a joint}" \\
      --out photos/labels.json
  findvl label photos --query "car={a red car}" --query "car={a white van}" --format yolo --out cars
"""


def add_label(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands, "label", "annotate photos with what the model finds, as COCO JSON or a YOLO folder", EXPLANATION
    )
    parser.add_argument("photos", type=Path, help="a photo, or a folder of them")
    sought = parser.add_argument_group("what is sought")
    sought.add_argument("--query", action="append", default=[], metavar="[NAME=]QUERY", help="a class by a phrase")
    sought.add_argument(
        "--exemplar",
        action="append",
        default=[],
        metavar="[NAME=]PHOTO@PLACE",
        help="an example of a class (without NAME: of the only --query, or of a class called object)",
    )
    sought.add_argument(
        "--not",
        "--without",
        dest="unlike",
        action="append",
        default=[],
        metavar="[NAME=]QUERY",
        help="what is not meant",
    )
    sought.add_argument(
        "--threshold",
        type=probability,
        default=THRESHOLD,
        metavar="P",
        help="minimum probability that an instance matches (default: %(default)s)",
    )
    sought.add_argument("--one", action="store_true", help="only the likeliest instance of each class in a photo")
    sought.add_argument(
        "--keep-duplicates", action="store_true", help="keep an object that two classes find under both"
    )
    written = parser.add_argument_group("what is written")
    written.add_argument("--out", type=Path, required=True, help="a JSON file, or a folder for YOLO")
    written.add_argument("--format", choices=("coco", "yolo"), default="coco", help="(default: %(default)s)")
    written.add_argument("--polygons", action="store_true", help="in COCO JSON: polygons instead of run-length codes")
    written.add_argument(
        "--review", action="store_true", help="then open the page that findvl review opens, to correct what was found"
    )
    written.add_argument("--overwrite", action="store_true", help="replace --out, a JSON file that is already there")
    written.add_argument(
        "--val-fraction",
        type=float,
        default=0.2,
        metavar="X",
        help="fraction of the photos for the val split of YOLO (default: %(default)s)",
    )
    written.add_argument("--seed", type=int, default=0, help="seed of that random split (default: %(default)s)")
    add_model(parser)
    parser.set_defaults(run=label)


def label(arguments: argparse.Namespace) -> int:
    """`findvl label`: annotates the photos and reports what was found and what was not."""
    classes = classes_of(arguments.query, arguments.exemplar, arguments.unlike)
    _check_out(arguments)
    check_model(arguments)
    listener = _review_listener() if arguments.review else None
    for sought in classes.values():
        for query in sought:
            for one in query.queries:
                one.check()
    begin = time.perf_counter()
    model = load_model(arguments)
    from find.annotation.labelling.labelling import label as label_photos

    printed: set[str] = set()
    for one in [one for sought in classes.values() for query in sought for one in query.queries]:
        if one.text not in printed:
            printed.add(one.text)
            unknown_words(model, one)
    labels = label_photos(
        model,
        arguments.photos,
        classes,
        threshold=arguments.threshold,
        only_best=arguments.one,
        keep_duplicates=arguments.keep_duplicates,
    )
    if arguments.format == "yolo":
        made = labels.save_yolo(arguments.out, val_fraction=arguments.val_fraction, seed=arguments.seed)
        splits = ", ".join(f"{count} {split}" for split, count in made.pictures.items() if count)
        where = f"{arguments.out}: a YOLO folder ({splits})"
    else:
        labels.save_coco(arguments.out, polygons=arguments.polygons)
        where = f"{arguments.out}: COCO JSON"
    for skipped in labels.skipped:
        print(printable(f"skipped {skipped.path}: {skipped.reason}"), file=sys.stderr)
    for line in summary(labels, keep_duplicates=arguments.keep_duplicates):
        print(printable(line))
    if labels.photos and len(labels.empty) == len(labels.photos):
        print(printable(nothing_found(arguments)))
    print(printable(f"{where}, in {seconds(begin)}; next:"))
    for line in next_commands(arguments, labels):
        print(printable(f"  {line}"))
    if listener is not None:
        from find.annotation.labelling.review import Review
        from find.cli.review import serve_review

        serve_review(Review(arguments.out, labels.root), model, listener, show=True)
    return 0


def _review_listener() -> socket.socket:
    """A free port of this machine, taken before there is anything to lose."""
    from find.cli.serve import listener_of

    return listener_of(argparse.Namespace(host="127.0.0.1", port=0))


def classes_of(queries: Sequence[str], exemplars: Sequence[str], unlike: Sequence[str]) -> dict[str, list[JoinedQuery]]:
    """The queries of each class. Raises InputError for an example or exclusion without a class, or a syntax error."""
    from find.annotation.labelling.names import UNNAMED, check_class, class_name

    sought: dict[str, list[Query]] = {}
    examples: dict[str, list[Query]] = {}
    for text in queries:
        name, rest = _named(text)
        query = _read_thing(rest)
        sought.setdefault(name or class_name(JoinedQuery((query,))), []).append(query)
    for text in exemplars:
        name, rest = _named(text)
        if name is None and len(sought) > 1:
            fix = shlex.quote(f"{next(iter(sought))}={text}")
            raise InputError(f"--exemplar {text}: say which class it shows, such as --exemplar {fix}")
        examples.setdefault(name or next(iter(sought), UNNAMED), []).append(_read_example(rest))
    names = list(dict.fromkeys([*sought, *examples]))
    if not names:
        raise InputError('nothing to find: give --query "{a red car}", or --exemplar photo.jpg@x0,y0,x1,y1')
    without: dict[str, list[Query]] = {name: [] for name in names}
    for text in unlike:
        name, rest = _named(text)
        if name is not None and name not in without:
            raise InputError(f"--not {text}: there is no class {name!r}; the classes are {', '.join(names)}")
        for one in names if name is None else [name]:
            without[one].append(_read_thing(rest))
    classes = {
        name: [JoinedQuery((query,), tuple(without[name])) for query in sought.get(name, ())]
        + ([JoinedQuery(tuple(examples[name]), tuple(without[name]))] if name in examples else [])
        for name in names
    }
    for query in [query for asked in classes.values() for query in asked]:
        check_class(query)
    return classes


def _named(text: str) -> tuple[str | None, str]:
    """NAME=QUERY in two; a file's name may have the sign, too."""
    name, sign, rest = text.partition("=")
    is_name = sign and name.strip() and rest.strip() and not any(bracket in name for bracket in "{}[]@#")
    if not is_name or Path(text.partition("@")[0].partition("#")[0]).exists():
        return None, text
    return " ".join(name.split()), rest


def _read_thing(text: str) -> Query:
    """A phrase or a region, with or without its brackets."""
    from find.query.entity import Phrase
    from find.query.query import Query

    if any(bracket in text for bracket in "{}[]"):
        return Query.parse(text)
    if "@" in text or "#" in text:
        return _read_example(text)
    return Query(Phrase(text))


def _read_example(text: str) -> Query:
    from find.query.query import Query

    if "@" not in text and "#" not in text:
        raise InputError(f"--exemplar {text}: say where in the photo it is: {text}@x0,y0,x1,y1, {text}@x,y")
    return Query.parse(text if text.startswith("[") else f"[{text}]")


def _check_out(arguments: argparse.Namespace) -> None:
    out: Path = arguments.out
    if arguments.format == "yolo":
        from find.annotation.labelling.yolo_folder import check_val_fraction

        if arguments.review:
            raise InputError(
                "--review goes through COCO JSON; label without --format yolo, and convert when it is corrected"
            )
        if arguments.polygons:
            raise InputError("--polygons belongs to COCO JSON; YOLO's labels always are polygons")
        check_val_fraction(arguments.val_fraction)
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"--out {out}: this already exists and is not an empty folder; give another one")
    elif out.is_dir() or out.suffix.lower() != ".json":
        raise InputError(f"--out {out}: give the name of a JSON file, such as {arguments.photos / 'labels.json'}")
    elif out.exists() and not arguments.overwrite:
        raise InputError(f"--out {out}: this already exists, perhaps with corrections; --overwrite replaces it")


def summary(labels: Labels, *, keep_duplicates: bool) -> list[str]:
    """What was found, in lines: photos, instances of each class, empty photos, duplicates."""
    lines = [f"{_count(len(labels.photos), 'photo')}, {_count(len(labels.skipped), 'skipped', 'skipped')}"]
    for name, count in labels.counts.items():
        photos = sum(any(one.category == name for one in photo.labels) for photo in labels.photos)
        lines.append(f"  {name}: {_count(count, 'instance')} in {_count(photos, 'photo')}")
    if labels.empty:
        shown = ", ".join(labels.empty[:3]) + (", ..." if len(labels.empty) > 3 else "")
        lines.append(f"nothing found in {_count(len(labels.empty), 'photo')}: {shown}")
    if labels.duplicates:
        pairs = ", ".join(f"{count} {one}/{other}" for (one, other), count in labels.duplicates.most_common())
        done = "labelled as both" if keep_duplicates else "kept as the likelier class, which stands first"
        lines.append(f"{_count(labels.duplicates.total(), 'object')} found as two classes, {done}: {pairs}")
    return lines


def nothing_found(arguments: argparse.Namespace) -> str:
    """What to try where no photo has anything."""
    hint = f"nothing was found at all: try a lower --threshold (it was {arguments.threshold:g})"
    if arguments.weights == DEFAULT_WEIGHTS:
        known = f"{DEFAULT_WEIGHTS} knows drawn scenes only"
        return f"{hint}; {known}, for photographs give --weights of a model that knows them"
    return f"{hint}, other words, or an --exemplar"


def next_commands(arguments: argparse.Namespace, labels: Labels) -> list[str]:
    folder = labels.root if Path(arguments.photos).is_file() else arguments.photos
    out, photos = shlex.quote(str(arguments.out)), shlex.quote(str(folder))
    if arguments.format == "yolo":
        return [f"findvl data check {out} --data yolo", f"findvl fit -c own --data yolo --data.root {out}"]
    review = f"findvl review {out} {photos} {given_weights(arguments)}".rstrip()
    data = shlex.quote(f"data/{labels.root.name}")
    if arguments.out.resolve().parent.is_relative_to(labels.root):
        return [review, f"findvl data import {photos} {data}"]
    return [review, f"cp {out} {photos}  # an import wants them together", f"findvl data import {photos} {data}"]


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
