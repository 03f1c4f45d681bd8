"""The service as a server process of one album, and other apps likewise."""

from __future__ import annotations

import errno
import socket
import threading
import webbrowser
from collections.abc import Sequence
from typing import TYPE_CHECKING

import uvicorn

from find.errors import FindError
from find.serving.app import create_app
from find.serving.hosts import AllowedHosts
from find.serving.limits import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

    from find.retrieval.album import Album


def listen(host: str, port: int) -> socket.socket:
    """Binds a port, 0 for a free one; clients that connect before `run` are queued. Raises FindError if it fails."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} of {host} is taken; give another --port, or 0 for a free one"
        else:
            message = f"cannot listen at {host}, port {port}: {error.strerror or error}"
        raise FindError(message) from error


def run(
    album: Album,
    *,
    listener: socket.socket,
    limits: Limits | None = None,
    show: bool = False,
    allowed_hosts: Sequence[str] = (),
) -> None:
    """Serves until the process is interrupted, then finishes queued requests; prints the address when ready.

    Args:
        listener: the socket from `listen`; closed at the end.
        show: open the page in a browser, if there is one.
        allowed_hosts: host names to accept besides loopback and the bound address.
    """
    limits = limits or Limits()
    album.load()
    name, _ = listener.getsockname()[:2]
    app = create_app(album, limits=limits, hosts=AllowedHosts(name, allowed_hosts))
    answer(app, f"{album.name}: {len(album)} images", listener=listener, seconds=limits.seconds, show=show)


def answer(app: FastAPI, title: str, *, listener: socket.socket, seconds: float, show: bool) -> None:
    """Serves an app as `run` does; `title` is printed before its address, requests have `seconds` at the end."""
    name, port = listener.getsockname()[:2]
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=round(seconds))
    with listener:
        address = f"http://[{name}]:{port}" if listener.family == socket.AF_INET6 else f"http://{name}:{port}"
        print(f"{title} at {address} (Ctrl-C ends)", flush=True)
        if show:
            # In a thread: a terminal browser blocks until it is closed. The socket is listening already.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        uvicorn.Server(config).run(sockets=[listener])
