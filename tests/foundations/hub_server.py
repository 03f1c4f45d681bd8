"""A small server of models on 127.0.0.1 that speaks the Hugging Face hub's protocol for reading, for tests alone."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_test"


@dataclass
class Repository:
    """Commits by branch or tag, and a folder of files for each commit. `gated` ones want the token."""

    commits: dict[str, Path] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def commit(self, folder: Path, *branches: str) -> str:
        """Publishes a folder's files under these branches; gives the commit."""
        digest = hashlib.sha1()
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
        name = digest.hexdigest()
        self.commits[name] = folder
        self.branches |= dict.fromkeys(branches, name)
        return name

    def find(self, revision: str) -> str | None:
        return self.branches.get(revision, revision if revision in self.commits else None)


@dataclass
class Hub:
    """The repositories by name, and what was asked for: (method, path), and the ranges of files that were sent.

    `budget` is after how many more bytes of files the network fails; `cut` is how many bytes each file that is asked
    for lacks at its end.
    """

    url: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    budget: float = float("inf")
    cut: int = 0

    def downloads(self, file: str) -> int:
        """How many times the contents of a file were asked for."""
        return sum(method == "GET" and path.endswith("/" + file) for method, path in self.asked)

    def publish(self, name: str, folder: Path, *branches: str, gated: bool = False) -> str:
        repository = self.repositories.setdefault(name, Repository(gated=gated))
        return repository.commit(folder, *(branches or ("main",)))


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    FILE = re.compile(r"^/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)$")
    ABOUT = re.compile(r"^/api/models/(?P<name>[^/]+/[^/]+)(/revision/(?P<revision>[^/]+))?$")
    TREE = re.compile(r"^/api/models/(?P<name>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)$")

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None: ...

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.hub.budget <= 0:
            self.close_connection = True  # without an answer
            return
        self.hub.asked.append((self.command, path))
        for form, answer in ((self.FILE, self._file), (self.ABOUT, self._about), (self.TREE, self._tree)):
            if found := form.match(path):
                parts = found.groupdict()
                repository = self.hub.repositories.get(parts["name"])
                if repository is None:
                    self._refuse(401, "RepoNotFound", "Repository not found")
                elif repository.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    known = "Authorization" in self.headers
                    self._refuse(403 if known else 401, "GatedRepo", f"Access to model {parts['name']} is restricted")
                elif (commit := repository.find(parts["revision"] or "main")) is None:
                    self._refuse(404, "RevisionNotFound", f"Invalid rev id: {parts['revision']}")
                else:
                    answer(parts, commit, repository.commits[commit])
                return
        self._refuse(404, "EntryNotFound", f"nothing at {path}")

    def _file(self, parts: dict[str, str], commit: str, folder: Path) -> None:
        file = folder / parts["file"]
        if not file.is_file():
            self._refuse(404, "EntryNotFound", "Entry not found", commit)
            return
        data = file.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        about = {"X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        headers = {"X-Repo-Commit": commit, "ETag": f'"{digest}"', **about}
        status, size = 200, len(data)
        data = data[: size - self.hub.cut] if self.command == "GET" else data
        if asked := self.headers.get("Range"):
            self.hub.ranges.append(asked)
            first = int(asked.removeprefix("bytes=").rstrip("-"))
            if first >= len(data):
                self._refuse(416, "RangeNotSatisfiable", "there is no such range")
                return
            status, data = 206, data[first:]
            headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
        self._send(status, data, headers, "application/octet-stream")

    def _about(self, parts: dict[str, str], commit: str, folder: Path) -> None:
        files = [{"rfilename": name} for name in _names(folder)]
        about = {"id": parts["name"], "modelId": parts["name"], "sha": commit, "siblings": files, "tags": []}
        self._send_json({**about, "private": False, "gated": False, "downloads": 0, "likes": 0})

    def _tree(self, parts: dict[str, str], commit: str, folder: Path) -> None:
        self._send_json(
            [
                {"type": "file", "path": name, "size": (folder / name).stat().st_size, "oid": commit}
                for name in _names(folder)
            ]
        )

    def _refuse(self, status: int, code: str, message: str, commit: str | None = None) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": message}
        self._send(
            status, json.dumps({"error": message}).encode(), headers | ({"X-Repo-Commit": commit} if commit else {})
        )

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {})

    def _send(self, status: int, data: bytes, headers: dict[str, str], kind: str = "application/json") -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.hub.budget < len(data):
            data = data[: int(self.hub.budget)]
            self.close_connection = True
        self.hub.budget -= len(data)
        self.wfile.write(data)


def _names(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """A hub on a free port of the loopback, until the context ends."""
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield handler.hub
        finally:
            server.shutdown()
            thread.join(timeout=10)
