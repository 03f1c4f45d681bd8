"""The HTTP service: routes, one-line errors, limits on request bodies, health checks and metrics."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
import pathlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from find.errors import FindError
from find.retrieval.connection import UnreadableAlbum
from find.serving.budget import Budget, Share
from find.serving.drawing import objects_to_draw
from find.serving.hosts import AllowedHosts, check_same_origin
from find.serving.limits import COPIES, Limits, Refusal
from find.serving.messages import (
    EmbedAnswer,
    EmbedRequest,
    Error,
    FindAllAnswer,
    FindAllRequest,
    InteractAnswer,
    InteractRequest,
    PanopticAnswer,
    PanopticRequest,
    SampleAnswer,
    SearchAnswer,
    SearchRequest,
    SegmentAnswer,
    SegmentRequest,
    StoredPicture,
    StoreRequest,
)
from find.serving.metrics import CONTENT_TYPE, Metrics
from find.serving.service import FAULTY, Service
from find.serving.uploads import one_line
from find.utils.memory import OutOfMemory

if TYPE_CHECKING:
    from find.retrieval.album import Album

ERRORS = {
    status: {"model": Error, "description": text}
    for status, text in {
        403: "A request that the page of another site sends",
        410: "The handle of a picture that is not kept any more; send the picture again",
        413: "The body or a picture is too large",
        421: "A host name that the service does not accept",
        422: "A query, picture or number that cannot be used",
        429: "Too many requests are queued; try again",
        503: "The album cannot be read, too many requests are open, or the device has failed",
        504: "No answer in time",
    }.items()
}
PAGE = pathlib.Path(__file__).with_name("page")
POLICY = "default-src 'self'; img-src 'self' data:"
OPERATION = ("/healthz", "/readyz", "/metrics")
"""Routes for operators; they are answered under any load."""
OBJECTS = r"^(\d{1,4}(,\d{1,4})*)?$"
log = logging.getLogger(__name__)


def create_app(
    album: Album, *, limits: Limits | None = None, look_seconds: float = 10.0, hosts: AllowedHosts | None = None
) -> FastAPI:
    """The service of one album, to be run by an ASGI server.

    Every error is JSON `{"error": "one line"}`: 413 for a request that is too large, 422 for invalid content, 429 when
    the queue is full, 504 after `limits.seconds`; 503 when album files are missing, too many requests are open, or the
    device has failed; 421 for a host that `hosts` does not allow (default: this machine's own names), 403 for a request
    that another site's page sends. A re-indexed album is reloaded automatically; the service checks for changes every
    `look_seconds`.
    """
    limits = limits or Limits()
    service = Service(album, limits=limits, look_seconds=look_seconds)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = FastAPIOffline(  # its /docs page loads nothing from other hosts
        title="findvl",
        summary="Search an album with any mixture of words and image regions.",
        lifespan=lifespan,
        responses=ERRORS,
    )
    app.state.service = service
    _add_routes(app, service)
    guard(app, limits=limits, metrics=service.metrics, budget=service.budget, hosts=hosts or AllowedHosts())
    return app


def guard(app: FastAPI, *, limits: Limits, metrics: Metrics, budget: Budget, hosts: AllowedHosts) -> None:
    """Bounds requests, and answers errors in one line of JSON."""
    for kind, answer in (
        (Refusal, lambda error: (error.status, str(error))),
        (UnreadableAlbum, _unreadable),
        (OutOfMemory, _no_memory),
        (FindError, lambda error: (422, one_line(error))),
        (RequestValidationError, lambda error: (422, _invalid(error))),
        (HTTPException, _of_http),
    ):
        app.add_exception_handler(kind, _handler(answer))
    app.add_middleware(_Bounds, limits=limits, metrics=metrics, budget=budget, hosts=hosts)


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.post("/search")
    async def search(request: SearchRequest) -> SearchAnswer:
        """The album's images that match a query best, with the object that each entity matched."""
        return await service.search(request)

    @app.post("/segment")
    async def segment(request: SegmentRequest) -> SegmentAnswer:
        """A mask for each entity of a query in one picture."""
        return await service.segment(request)

    @app.post("/interact")
    async def interact(request: InteractRequest) -> InteractAnswer:
        """The mask of the object marked by points or a box. Encoded pictures are cached, so later requests are fast."""
        return await service.interact(request)

    @app.post("/find-all")
    async def find_all(request: FindAllRequest) -> FindAllAnswer:
        """A mask for every instance of what words or examples show, in one picture."""
        return await service.find_all(request)

    @app.post("/panoptic")
    async def panoptic(request: PanopticRequest) -> PanopticAnswer:
        """A picture divided into segments of classes with names of one's choice."""
        return await service.panoptic(request)

    @app.post("/pictures")
    async def keep(request: StoreRequest) -> StoredPicture:
        """Keeps a picture for further requests, which then carry its handle in the place of the file."""
        return await service.keep(request)

    @app.post("/embed")
    async def embed(request: EmbedRequest) -> EmbedAnswer:
        """Embeddings of queries and pictures, in one shared space."""
        return await service.embed(request)

    @app.get("/images")
    async def sample(
        count: Annotated[int, Query(ge=1, le=200, description="Maximum number of images")] = 12,
        name: Annotated[str | None, Query(description="Only this one, by its path below the folder of photos")] = None,
    ) -> SampleAnswer:
        """A sample of images, evenly spread over the album, or one of them by its name."""
        return await service.sample(count, name)

    @app.get("/images/{name:path}", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
    async def picture(
        name: Annotated[str, Path(description="Path below the album's folder of photos")],
        frame: Annotated[int, Query(ge=0, description="Number of a video's frame")] = 0,
        objects: Annotated[str, Query(pattern=OBJECTS, description="Objects to draw, such as 0,3")] = "",
        colors: Annotated[
            str, Query(pattern=OBJECTS, description="Of each object: the number of an entity, such as 0,1")
        ] = "",
        label: Annotated[list[str] | None, Query(max_length=16, description="Of each object to draw")] = None,
        side: Annotated[int, Query(ge=16, le=2048, description="Longer side in pixels")] = 480,
    ) -> Response:
        """An image of the album with masks of its objects."""
        data = await service.picture(name, frame, objects_to_draw(objects, colors, label or []), side)
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"})

    @app.get("/videos/{name:path}", response_class=FileResponse)
    async def video(
        name: Annotated[str, Path(description="Path below the album's folder of photos")],
    ) -> FileResponse:
        """The file of a video of the album, as a whole or a range of it."""
        headers = {"Cache-Control": "private, max-age=300", "X-Content-Type-Options": "nosniff"}
        file = await service.video(name)
        guessed = mimetypes.guess_type(file.name)[0] or ""  # a film may have any name, that of a page too
        media_type = guessed if guessed.startswith("video/") else "video/mp4"
        return FileResponse(file, media_type=media_type, headers=headers)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> HTMLResponse:
        html = (PAGE / "index.html").read_text(encoding="utf-8")
        return HTMLResponse(html, headers={"Content-Security-Policy": POLICY})

    app.mount("/page", StaticFiles(directory=PAGE))  # its scripts and styles

    @app.get("/healthz", tags=["operation"])
    async def healthz() -> dict[str, str]:
        """Liveness: the process runs and its device works. If this fails, restart the process."""
        if service.fault is not None:
            raise Refusal(503, FAULTY)
        return {"status": "ok"}

    @app.get("/readyz", tags=["operation"])
    async def readyz() -> dict[str, object]:
        """Readiness: the service accepts requests."""
        if service.fault is not None:
            raise Refusal(503, f"not ready: {FAULTY}")
        if not service.is_ready:
            raise Refusal(503, "not ready: starting or stopping")
        return {"status": "ready", "images": len(service.album), "model": service.fingerprint}

    @app.get("/metrics", tags=["operation"], response_class=Response)
    async def metrics() -> Response:
        """Counters in Prometheus' text format."""
        return Response(service.metrics_text(), media_type=CONTENT_TYPE)


def _handler(answer):
    async def handle(request: Request, error: Exception) -> JSONResponse:
        return _error(*answer(error))

    return handle


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status, {"Retry-After": "2"} if status in (429, 503) else None)


def _of_http(error: HTTPException) -> tuple[int, str]:
    if error.status_code == 400:  # raised while the framework parses a body; it carries no reason
        return 422, "the body cannot be read as JSON: it is nested too deeply, or has a number with too many digits"
    return error.status_code, str(error.detail)


def _unreadable(error: UnreadableAlbum) -> tuple[int, str]:
    log.error("%s", error)  # the exception's text contains server paths
    return 503, "the album cannot be read now; if it has just been re-indexed, try again in a few seconds"


def _no_memory(error: OutOfMemory) -> tuple[int, str]:
    log.error("%s", error)
    return 503, "the device has too little memory for this request now; try again, or send smaller pictures"


def _invalid(error: RequestValidationError) -> str:
    """The first validation error, such as 'k: Input should be a valid integer'."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return f"the body is not JSON ({first['ctx']['error']})"
    if first["type"] in ("unknown_field", "too_many", "no_unicode"):
        return first["msg"]
    place = ".".join(str(part) for part in first["loc"][1:]) or "body"
    return f"{place}: {first['msg']}"


class _Bounds:
    """Reads each request body up front, up to the size limit; counts and times responses.

    Requests beyond `limits.open` concurrent ones, to other hosts, and those that pages of other sites send are refused
    before they are read.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits, metrics: Metrics, budget: Budget, hosts: AllowedHosts) -> None:
        self.app, self.limits, self.metrics, self.budget, self.hosts = app, limits, metrics, budget, hosts
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._open += 1
        try:
            if scope["path"] not in OPERATION:
                headers = Headers(scope=scope)
                self.hosts.check(headers.get("host"))
                if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
                    check_same_origin(headers)
                if self._open > self.limits.open:
                    raise Refusal(503, f"{self.limits.open} requests are open already; try again in a few seconds")
            with self.budget.share() as share:
                body = await self._body(scope, receive, share)
                await self.app(scope, _replay(body, receive), watched)
        except Refusal as refusal:
            await _error(refusal.status, str(refusal))(scope, receive, watched)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if status == 500:  # nothing has been sent
                await _error(500, "internal error; see the server's log")(scope, receive, watched)
        finally:
            self._open -= 1
        route = scope.get("route")
        path = getattr(route, "path", "other")  # only known paths as labels, never client-supplied text
        self.metrics.requests.labels(path, str(status)).inc()
        self.metrics.seconds.labels(path).observe(time.perf_counter() - begin)

    async def _body(self, scope: Scope, receive: Receive, share: Share) -> bytes:
        try:
            return await asyncio.wait_for(self._read(scope, receive, share), self.limits.seconds)
        except asyncio.TimeoutError:
            raise Refusal(408, f"the request did not arrive within {self.limits.seconds:g} s") from None

    async def _read(self, scope: Scope, receive: Receive, share: Share) -> bytes:
        most = self.limits.body_bytes
        told = dict(scope["headers"]).get(b"content-length", b"0")
        too_large = Refusal(413, f"the request is larger than {most / (1 << 20):.3g} MiB; send smaller pictures")
        if told.isdigit() and int(told) > most:
            raise too_large
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(408, "the client left")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                raise too_large
            share.take(COPIES * len(parts[-1]))
            if not message.get("more_body", False):
                return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Returns the body once, then whatever the server sends (the client's disconnect)."""
    told = False

    async def replayed() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
