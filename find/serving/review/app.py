"""The review service of an annotation file: its photos, decisions, and masks by clicks."""

from __future__ import annotations

import asyncio
import io
import pathlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi_offline import FastAPIOffline
from jaxtyping import Bool, UInt8
from PIL import Image
from starlette.staticfiles import StaticFiles

from find.annotation.labelling.review import Review, state
from find.errors import InputError
from find.images.images import read_image
from find.query.entity import Region
from find.serving.app import PAGE, POLICY, guard
from find.serving.budget import Budget
from find.serving.hosts import AllowedHosts
from find.serving.limits import Limits, Refusal
from find.serving.messages import Mask
from find.serving.metrics import Metrics
from find.serving.review.messages import (
    Category,
    Change,
    NewObject,
    Overview,
    PhotoLine,
    PhotoState,
    Restore,
    ReviewedObject,
    Strokes,
)

if TYPE_CHECKING:
    from find.model.features import ImageFeatures
    from find.model.model import FIND

T = TypeVar("T")
OWN_PAGE = pathlib.Path(__file__).with_name("page")
ENCODED = 3
"""Number of cached encoded photos: the current one and its neighbours."""
SIDE = 2048
"""The longer side of a photo on the page; masks and clicks are in the photo's own pixels."""
JPEG_QUALITY = 90


def create_review_app(review: Review, model: FIND, *, hosts: AllowedHosts | None = None) -> FastAPI:
    """The review page of a file, to be run by an ASGI server. Errors are as those of `find.serving.app`."""
    limits = Limits()
    desk = Desk(review, model)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        desk.close()

    app = FastAPIOffline(title="findvl review", lifespan=lifespan)
    guard(app, limits=limits, metrics=Metrics(), budget=Budget(limits.total_bytes), hosts=hosts or AllowedHosts())

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> HTMLResponse:
        html = (OWN_PAGE / "index.html").read_text(encoding="utf-8")
        return HTMLResponse(html, headers={"Content-Security-Policy": POLICY})

    app.mount("/page", StaticFiles(directory=PAGE))  # modules that both pages use
    app.mount("/review", StaticFiles(directory=OWN_PAGE))

    @app.get("/photos")
    async def photos() -> Overview:
        """The photos and classes to review."""
        return await desk.work(desk.overview)

    @app.get("/photos/{photo}")
    async def one_photo(photo: int) -> PhotoState:
        """The objects of a photo, which is encoded in the background so that the first click is fast."""
        return await desk.work(lambda: desk.photo(photo))

    @app.get("/photos/{photo}/picture", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
    async def picture(photo: int) -> Response:
        """A photo as JPEG, upright."""
        data = await asyncio.get_running_loop().run_in_executor(None, desk.picture, photo)
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"})

    @app.post("/photos/{photo}/finish")
    async def finish(photo: int) -> PhotoState:
        """Keeps all undecided objects."""
        return await desk.work(lambda: desk.finish(photo))

    @app.post("/photos/{photo}/objects")
    async def add(photo: int, request: NewObject) -> PhotoState:
        """Adds the object marked by points or a box."""
        return await desk.work(lambda: desk.add(photo, request))

    @app.post("/photos/{photo}/objects/{number}")
    async def change(photo: int, number: int, request: Change) -> PhotoState:
        """Keeps or drops an object, or gives it another class."""
        return await desk.work(lambda: desk.change(photo, number, request))

    @app.post("/photos/{photo}/objects/{number}/mask")
    async def correct(photo: int, number: int, request: Strokes) -> PhotoState:
        """Segments an object again, by points and a box."""
        return await desk.work(lambda: desk.correct(photo, number, request))

    @app.post("/photos/{photo}/objects/{number}/restore")
    async def restore(photo: int, number: int, request: Restore) -> PhotoState:
        """Undoes the changes of an object since a version."""
        return await desk.work(lambda: desk.restore(photo, number, request))

    return app


class Desk:
    """A review and the model that corrects it; both work in one thread."""

    def __init__(self, review: Review, model: FIND) -> None:
        self.review, self.model = review, model
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="review")
        self._encoded: OrderedDict[int, tuple[UInt8[np.ndarray, "h w 3"], ImageFeatures]] = OrderedDict()
        self._wanted: deque[int] = deque(maxlen=2)  # the photo on the page, and the next one

    async def work(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    def overview(self) -> Overview:
        review = self.review
        return Overview(
            file=review.out.name,
            categories=[Category(id=number, name=name) for number, name in review.categories.items()],
            photos=[
                PhotoLine(id=number, name=photo.name, width=photo.size[1], height=photo.size[0],
                          is_reviewed=review.is_reviewed(number))
                for number, photo in review.photos.items()
            ],
            missing=review.missing,
        )  # fmt: skip

    def photo(self, photo: int) -> PhotoState:
        shown = self._state(photo)
        self._wanted.append(photo)
        self._thread.submit(self._encode_if_wanted, photo)  # after the requests that are queued already
        return shown

    def picture(self, photo: int) -> bytes:
        if photo not in self.review.photos:
            raise Refusal(404, f"there is no photo {photo}")
        image = Image.fromarray(read_image(self.review.photos[photo].path))
        image.thumbnail((SIDE, SIDE))
        stream = io.BytesIO()
        image.save(stream, format="JPEG", quality=JPEG_QUALITY)
        return stream.getvalue()

    def finish(self, photo: int) -> PhotoState:
        self.review.finish(photo)
        return self._state(photo)

    def add(self, photo: int, request: NewObject) -> PhotoState:
        number = self.review.add(photo, request.category, self._mask(photo, request))
        return self._state(photo, number)

    def change(self, photo: int, number: int, request: Change) -> PhotoState:
        if (request.decision is None) == (request.category is None):
            raise Refusal(422, "give a decision or a category")
        if request.decision is not None:
            self.review.decide(number, request.decision)
        else:
            self.review.rename(number, request.category)
        return self._state(photo)

    def correct(self, photo: int, number: int, request: Strokes) -> PhotoState:
        self.review.correct(number, self._mask(photo, request))
        return self._state(photo)

    def restore(self, photo: int, number: int, request: Restore) -> PhotoState:
        self.review.restore(number, request.version)
        return self._state(photo)

    def _mask(self, photo: int, shown: Strokes) -> Bool[np.ndarray, "h w"]:
        """The mask of the object marked by points and a box, from the encoded photo."""
        if not shown.points and shown.box is None:
            raise Refusal(422, "nothing is pointed at: click the object, or drag a box around it")
        picture, features = self._features(photo)
        stroke = np.zeros(picture.shape[:2], dtype=bool)
        if shown.points:
            stroke |= Region(picture, points=shown.points).bitmap()
        if shown.box is not None:
            stroke |= Region(picture, box=shown.box).bitmap()
        negative = Region(picture, points=shown.negatives).bitmap() if shown.negatives else None
        negatives = None if negative is None else [negative[None]]
        return self.model.interact(features, [stroke[None]], negatives)[0][0].mask

    def _encode_if_wanted(self, photo: int) -> None:
        if photo in self._wanted:
            self._features(photo)

    def _features(self, photo: int) -> tuple[UInt8[np.ndarray, "h w 3"], ImageFeatures]:
        if photo not in self._encoded:
            place = self.review.photos.get(photo)
            if place is None:
                raise InputError(f"there is no photo {photo}")
            picture = read_image(place.path)
            self._encoded[photo] = picture, self.model.encode_images([picture])
        self._encoded.move_to_end(photo)
        while len(self._encoded) > ENCODED:
            self._encoded.popitem(last=False)
        return self._encoded[photo]

    def _state(self, photo: int, added: int | None = None) -> PhotoState:
        objects = [
            ReviewedObject(
                id=one["id"],
                category=one["category_id"],
                score=one["score"] if isinstance(one.get("score"), (int, float)) else None,
                state=state(one),
                segmentation=None if one["segmentation"] is None else Mask(**one["segmentation"]),
                version=self.review.version(one["id"]),
            )
            for one in self.review.objects(photo)
        ]
        counts = dict(self.review.counts())
        reviewed = self.review.is_reviewed(photo)
        return PhotoState(id=photo, is_reviewed=reviewed, objects=objects, counts=counts, object=added)
