"""`findvl serve`: an album's search over HTTP; `findvl demo`: its page, over drawn scenes or a folder of photos."""

from __future__ import annotations

import argparse
import hashlib
import socket
from functools import partial
from pathlib import Path

from find.cli.arguments import add_command, add_model, load_model, positive
from find.errors import InputError
from find.utils.extras import extra

WORLD_IMAGES = 200


def add_serve(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "serve",
        "answer searches of an album over HTTP",
        "POST /search, /segment, /interact, /find-all, /panoptic, /pictures and /embed; GET /images, /images/NAME,\n"
        "/videos/NAME, /healthz, /readyz and /metrics.\n"
        "GET / is a page to search and segment with, GET /docs describes the API. A re-indexed album is reloaded\n"
        "within seconds.\n\n"
        "examples:\n"
        "  findvl serve pictures.album\n"
        '  curl localhost:8000/search --json \'{"query": "{a blue car} on {the road}", "k": 5}\'\n'
        '  curl localhost:8000/search --json \'{"query": "{a dog}", "without": ["{a collar}"]}\'\n',
    )
    parser.add_argument("album", help="an album written by findvl index, or a URI of object storage")
    add_address(parser)
    limits = parser.add_argument_group("limits", "requests beyond them are refused")
    limits.add_argument("--body-mb", type=positive, default=32, help="size of one request body (default: %(default)s)")
    limits.add_argument(
        "--memory-mb", type=positive, default=1024, help="memory of all open requests together (default: %(default)s)"
    )
    limits.add_argument("--waiting", type=positive, default=64, help="length of the queue (default: %(default)s)")
    limits.add_argument(
        "--batch", type=positive, default=16, help="requests per call of the model (default: %(default)s)"
    )
    limits.add_argument(
        "--features-mb",
        type=positive,
        default=512,
        help="cache of encoded images, for quick repeated requests (default: %(default)s)",
    )
    limits.add_argument(
        "--uploads-mb",
        type=positive,
        default=256,
        help="uploads that are kept for further requests, for an hour after their last use (default: %(default)s)",
    )
    limits.add_argument("--seconds", type=positive, default=30, help="timeout of a request (default: %(default)s)")
    add_model(parser)
    parser.set_defaults(run=serve)


def add_demo(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "demo",
        "try interleaved search in a browser, on synthetic scenes or a folder of photos",
        "Indexes the folder (one album per folder and weights) and opens a page to search and segment with, by words\n"
        f"and clicks. Without PHOTOS, {WORLD_IMAGES} synthetic scenes are generated, all that find-tiny knows; for\n"
        "photographs, give weights trained on photographs.\n\n"
        "examples:\n"
        "  findvl demo\n"
        "  findvl demo ~/Pictures --weights my-model\n",
    )
    parser.add_argument("photos", type=Path, nargs="?", help="folder of images and videos (default: synthetic scenes)")
    parser.add_argument(
        "--folder", type=Path, default=Path("outputs/page"), help="where the album is stored (default: %(default)s)"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address without opening a browser")
    add_address(parser)
    add_model(parser)
    parser.set_defaults(run=demo)


def add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine)")
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another host name to accept in requests, such as this machine's or a proxy's; may be repeated; "
        "*.example.org matches all its subdomains, * any name. Other names are refused, as protection against DNS "
        "rebinding",
    )
    parser.add_argument("--port", type=int, default=8000, help="0 chooses a free port (default: %(default)s)")


def serve(arguments: argparse.Namespace) -> int:
    """`findvl serve`: runs until it is interrupted, then answers the queued requests."""
    run = _server(arguments)
    from find.retrieval.album import Album
    from find.serving.limits import Limits

    limits = Limits(
        body_bytes=arguments.body_mb << 20,
        total_bytes=arguments.memory_mb << 20,
        waiting=arguments.waiting,
        open=4 * arguments.waiting,
        batch=arguments.batch,
        feature_bytes=arguments.features_mb << 20,
        upload_bytes=arguments.uploads_mb << 20,
        seconds=arguments.seconds,
    )
    album = Album.open(arguments.album, load_model(arguments))
    run(album, limits=limits)
    return 0


def demo(arguments: argparse.Namespace) -> int:
    """`findvl demo`: draws scenes if no photos are given, indexes, and shows the page."""
    run = _server(arguments)
    from find.retrieval.album import Album

    photos = (arguments.photos or _drawn(arguments.folder / "world")).resolve()
    model = load_model(arguments)
    key = hashlib.blake2b(f"{photos} {model.fingerprint}".encode(), digest_size=4).hexdigest()
    album = Album.build(model, photos, arguments.folder / f"{photos.name}-{key}.album", name=arguments.weights)
    for skipped in album.skipped:
        print(f"skipped {skipped.path}: {skipped.reason}")
    run(album, show=not arguments.no_browser)
    return 0


def listener_of(arguments: argparse.Namespace) -> socket.socket:
    """Takes the server's port, and reports missing extras, before anything is loaded."""
    if not 0 <= arguments.port < 1 << 16:
        raise InputError(f"--port {arguments.port}: ports are 1 to 65535; 0 takes a free one")
    with extra("serve", "the service"):
        from find.serving.server import listen
    return listen(arguments.host, arguments.port)


def _server(arguments: argparse.Namespace):
    """What runs a server of an album, at a port that is taken already."""
    listener = listener_of(arguments)
    from find.serving.server import run

    return partial(run, listener=listener, allowed_hosts=[arguments.host, *arguments.allowed_host])


def _drawn(world: Path) -> Path:
    """The scenes of a small world, drawn if they are not there."""
    from find.world import generate_world

    if not (world / "world.json").is_file():
        generate_world(world, images=1, val_images=WORLD_IMAGES, seed=2026)
    return world / "val2017"
