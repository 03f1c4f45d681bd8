"""`findvl shell`: many queries to one album, whose model is loaded once."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from find.cli.album import WHERE_HELP, check_search
from find.cli.arguments import (
    DOUBT_HELP,
    QUERY_HELP,
    add_command,
    add_model,
    find_sought,
    load_model,
    positive,
    read_query,
    unknown_words,
)
from find.errors import FindError, InputError
from find.query.operators import JoinedQuery
from find.utils.extras import extra

if TYPE_CHECKING:
    from find.query.query import Query
    from find.retrieval.album import Album
    from find.retrieval.hits import Hit
    from find.visualization.uncertainty import UnknownWords

COMMANDS = """\
a line is a query, or a command:
  :k 5         number of hits
  :where SQL   filter the images (see --where below); :where alone removes the filter
  :explain     switch explanations of the scores on or off
  :help        show this text
  :quit        end the session, as does Ctrl-D
"""
PROMPT = "findvl> "


def add_shell(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "shell",
        "search an album with queries from standard input, without loading the model again",
        COMMANDS + "\n" + QUERY_HELP + "\n" + WHERE_HELP + "\n" + DOUBT_HELP + "\nexamples:\n"
        "  findvl shell pictures.album\n"
        "  findvl shell pictures.album --json < queries.txt > hits.jsonl\n",
    )
    parser.add_argument("album", help="an album written by findvl index")
    parser.add_argument("--where", metavar="SQL", help="filter on file attributes; see below")
    parser.add_argument("--dim", type=positive, help="compare only the first DIM values of each vector (default: all)")
    parser.add_argument("--explain", action="store_true", help="explain each score in words")
    parser.add_argument("-k", type=positive, default=10, help="number of hits (default: %(default)s)")
    parser.add_argument(
        "--json", action="store_true", help="write one line of JSON per query, in order: its hits or its error"
    )
    add_model(parser)
    parser.set_defaults(run=shell)


@dataclass
class Session:
    """The current settings of the session.

    Attributes:
        failures: how many lines were wrong.
    """

    album: Album
    k: int
    where: str | None
    dim: int | None
    explain: bool
    as_json: bool
    failures: int = 0

    def run(self, line: str) -> bool:
        """Runs a line and prints its errors; False at the end of the session."""
        try:
            if line.startswith(":"):
                return self.command(*line[1:].split(maxsplit=1))
            if line:
                self.search(line)
        except (FindError, OSError) as error:
            self.failures += 1
            message = " ".join(str(error).split())
            if self.as_json:
                print(json.dumps({"query": line, "error": message}), flush=True)
            else:
                print(f"error: {message}", file=sys.stderr, flush=True)
        return True

    def command(self, name: str = "", value: str = "") -> bool:
        """Raises FindError for an unknown command or an invalid value."""
        if name in ("quit", "q", "exit"):
            return False
        if name in ("help", "h"):
            print(COMMANDS, end="", file=sys.stderr if self.as_json else sys.stdout)
        elif name == "k":
            if not value.isdecimal() or int(value) < 1:
                raise InputError(f":k {value}: give how many images, such as :k 5")
            self.k = int(value)
        elif name == "where":
            from find.retrieval.filters import filter_sql

            if value:
                filter_sql(value)
            self.where = value or None
        elif name == "explain":
            self.explain = not self.explain
        else:
            raise InputError(f"there is no command :{name}; there are :k, :where, :explain, :help and :quit")
        return True

    def search(self, text: str) -> None:
        """Prints what is found."""
        from find.visualization.results import hit_line, hits_warning

        query = read_query(text)
        query.check()
        self.album = self.album.latest()
        joined = find_sought(self.album.model, JoinedQuery((query,)))
        query = joined.include[0]
        unknown = unknown_words(self.album.model, query)
        hits = self.album.search(joined, self.k, where=self.where, dim=self.dim)
        if self.as_json:
            found = [_record(rank, hit, query, unknown) for rank, hit in enumerate(hits, start=1)]
            record = {
                "query": text,
                "read_as": query.format(),
                "without": [one.format() for one in joined.exclude],
                "where": self.where,
                "unknown_words": list(unknown.query),
                "hits": found,
            }
            print(json.dumps(record), flush=True)
            return
        for rank, hit in enumerate(hits, start=1):
            print(hit_line(rank, hit, query, unknown))
            if self.explain:
                print(textwrap.indent(hit.explain(), "     "))
        if warning := hits_warning(hits):
            print(f"warning: {warning}", file=sys.stderr)
        if not hits:
            print("no image of the album fits the filter" if self.where else "the album is empty")
        sys.stdout.flush()


def _record(rank: int, hit: Hit, query: Query, unknown: UnknownWords) -> dict[str, object]:
    """A hit as `findvl search --json` has it, without masks: of each entity the box of the object that it found."""
    from find.visualization.results import doubts, shown

    boxes = hit.found.masks.boxes
    judged = zip(hit.present, doubts(hit, unknown), unknown.entities, strict=True)
    entities = zip(query.entity_names, hit.entity_terms, hit.objects, judged, strict=True)
    return {
        "rank": rank,
        "path": str(hit.path),
        "score": shown(hit.score),
        "relevance": None if hit.relevance is None else shown(hit.relevance),
        "image_term": None if hit.image_term is None else shown(hit.image_term),
        "entities": [
            {
                "text": name,
                "term": shown(term),
                "object": number,
                "box": boxes[number].tolist(),
                "present": None if present is None else shown(present),
                "doubtful": is_doubtful,
                "unknown_words": list(words),
            }
            for name, term, number, (present, is_doubtful, words) in entities
        ],
    }


def shell(arguments: argparse.Namespace) -> int:
    """`findvl shell`: status 0, or 1 where a line of piped input was wrong."""
    check_search(arguments)
    with extra("album", "findvl shell"):
        from find.retrieval.album import Album
    model = load_model(arguments)

    album = Album.open(arguments.album, model)
    album.load()
    session = Session(album, arguments.k, arguments.where, arguments.dim, arguments.explain, as_json=arguments.json)
    is_asked = sys.stdin.isatty()
    if is_asked:
        print(f"{len(album)} images; a query such as {{a red dog}}, or :help", file=sys.stderr)
    for line in _typed() if is_asked else sys.stdin:
        if not session.run(line.strip()):
            break
    return 1 if session.failures and not is_asked else 0


def _typed() -> Iterator[str]:
    """The lines that a user types, with the keys to edit and repeat them where the system has them."""
    from contextlib import suppress

    with suppress(ImportError):
        import readline  # noqa: F401  input() uses it
    while True:
        try:
            yield input(PROMPT)
        except EOFError:
            print()
            return
