"""`findvl export`: albums for Qdrant, models for other runtimes."""

from __future__ import annotations

import argparse
import os
from urllib.parse import urlsplit

from find.cli.arguments import add_command
from find.cli.export_model import add_model_export
from find.errors import InputError
from find.utils.extras import extra


def add_export(commands: argparse._SubParsersAction) -> None:
    export = commands.add_parser(
        "export", help="export an album to Qdrant, or a model to ONNX or torch.export"
    ).add_subparsers(title="what", metavar="WHAT", required=True)
    add_model_export(export)
    qdrant = add_command(
        export,
        "qdrant",
        "write an album into a new collection of Qdrant, object vectors as multivectors",
        "an API key is read from the environment variable QDRANT_API_KEY\n\n"
        "example:\n  findvl export qdrant pictures.album http://localhost:6333 --collection pictures\n",
    )
    qdrant.add_argument("album", help="an album written by findvl index")
    qdrant.add_argument("url", help="address of Qdrant, http or https")
    qdrant.add_argument("--collection", default="find", help="name of the collection (default: %(default)s)")
    qdrant.add_argument("--replace", action="store_true", help="delete an existing collection of that name first")
    qdrant.set_defaults(run=export_qdrant)


def export_qdrant(arguments: argparse.Namespace) -> int:
    """`findvl export qdrant`: writes an album into a collection."""
    _check_address(arguments.url)
    with extra("qdrant", "findvl export qdrant"):
        from qdrant_client import QdrantClient

        from find.integrations.qdrant import export
        from find.retrieval.album import Album

    album = Album.open(arguments.album)
    client = QdrantClient(arguments.url, api_key=os.environ.get("QDRANT_API_KEY"), check_compatibility=False)
    count = export(album, client, arguments.collection, replace=arguments.replace)
    print(f"{arguments.url}: {count} points in the collection {arguments.collection}")
    return 0


def _check_address(url: str) -> None:
    """Refuses what Qdrant's client would take for a database in memory, a host's name or a folder."""
    try:
        address = urlsplit(url)
        is_server = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:  # of a port or of brackets
        is_server = False
    if not is_server:
        raise InputError(f"{url!r} is not the address of a Qdrant server; give one such as http://localhost:6333")
