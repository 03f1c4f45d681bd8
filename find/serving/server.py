"""The service as a server process of one album."""

from __future__ import annotations

import socket
import threading
import webbrowser
from typing import TYPE_CHECKING

import uvicorn

from find.serving.app import create_app
from find.serving.limits import Limits

if TYPE_CHECKING:
    from find.retrieval.album import Album


def run(album: Album, *, host: str, port: int, limits: Limits | None = None, show: bool = False) -> None:
    """Answers until the process is interrupted, then what waits; prints the address once it can be reached.

    Args:
        port: 0 takes a free one.
        show: open the page in a browser, where there is one.
    """
    limits = limits or Limits()
    album.load()
    config = uvicorn.Config(
        create_app(album, limits=limits), log_level="warning", timeout_graceful_shutdown=round(limits.seconds)
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        name, port = listener.getsockname()[:2]
        address = f"http://[{name}]:{port}" if family == socket.AF_INET6 else f"http://{name}:{port}"
        print(f"{album.name}: {len(album)} images at {address} (Ctrl-C ends)", flush=True)
        if show:
            # Beside the server, which a browser in the terminal waits for; the socket listens already.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        uvicorn.Server(config).run(sockets=[listener])
