"""`findvl serve`: an album's search over HTTP."""

from __future__ import annotations

import argparse
import socket

from find.commands.arguments import add_command, add_model, load_model, positive
from find.errors import FindError


def add_serve(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "serve",
        "answer searches of an album over HTTP",
        "POST /search, /segment and /embed; GET /images/NAME, /healthz, /readyz, /metrics; GET / is a page to search\n"
        "with, /docs describes all\n\n"
        "examples:\n"
        "  findvl serve pictures.album\n"
        '  curl localhost:8000/search --json \'{"query": "{a blue car} on {the road}", "k": 5}\'\n',
    )
    parser.add_argument("album", help="what findvl index has written, or a URI of object storage")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    limits = parser.add_argument_group("limits", "what is more is refused")
    limits.add_argument("--body-mb", type=positive, default=32, help="of a request (default: %(default)s)")
    limits.add_argument("--waiting", type=positive, default=64, help="requests that wait (default: %(default)s)")
    limits.add_argument("--batch", type=positive, default=16, help="requests a model call (default: %(default)s)")
    limits.add_argument("--seconds", type=positive, default=30, help="until a request fails (default: %(default)s)")
    add_model(parser)
    parser.set_defaults(run=serve)


def serve(arguments: argparse.Namespace) -> int:
    """`findvl serve`: runs until it is interrupted, then answers what waits."""
    if not 0 <= arguments.port < 1 << 16:
        raise FindError(f"--port {arguments.port}: ports are 1 to 65535; 0 takes a free one")
    try:
        import uvicorn

        from find.serving.app import create_app
    except ModuleNotFoundError as error:
        raise FindError(f"findvl serve needs {error.name}; install it with: pip install 'findvl[serve]'") from error
    from find.retrieval.album import Album
    from find.serving.limits import Limits

    limits = Limits(
        body_bytes=arguments.body_mb << 20,
        waiting=arguments.waiting,
        batch=arguments.batch,
        seconds=arguments.seconds,
    )
    album = Album.open(arguments.album, load_model(arguments))
    config = uvicorn.Config(
        create_app(album, limits=limits),
        log_level="warning",
        limit_concurrency=4 * limits.waiting,
        timeout_graceful_shutdown=arguments.seconds,
    )
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    with socket.create_server((arguments.host, arguments.port), family=family) as listener:
        host, port = listener.getsockname()[:2]
        host = f"[{host}]" if family == socket.AF_INET6 else host
        print(f"{arguments.album}: {len(album)} images at http://{host}:{port} (Ctrl-C ends)", flush=True)
        uvicorn.Server(config).run(sockets=[listener])
    return 0
