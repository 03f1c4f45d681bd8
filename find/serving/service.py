"""The service without HTTP: validates a request, queues it for the model, builds the response."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import UInt8

from find.errors import FindError
from find.model.feature_cache import FeatureCache
from find.model.predictions import EntityMask
from find.model.requests import Reading, read_search, read_things
from find.query.operators import JoinedQuery
from find.query.query import Query
from find.retrieval.filters import filter_sql
from find.retrieval.relevance import check_relevance, match_head_of
from find.serving import messages
from find.serving.answers import album_image, found_image
from find.serving.batching import Batcher
from find.serving.budget import Budget, Share
from find.serving.drawing import ToDraw, drawn_image, named_image, video_file
from find.serving.embedding import ToEmbed, embed_all
from find.serving.everything import (
    Found,
    Sought,
    ToDivide,
    divide_each,
    find_each,
    instances_answer,
    read_classes,
    segments_answer,
)
from find.serving.limits import Limits, Refusal, check_count
from find.serving.metrics import Metrics
from find.serving.picture_store import PictureStore
from find.serving.pointing import Pointed, pointed_answer, read_pointed
from find.serving.searching import Group, ToSearch, relevant_groups, search_each
from find.serving.uploads import Pictures, one_line, read_joined, read_query
from find.utils.device import is_device_fault
from find.visualization.results import entities_json
from find.visualization.uncertainty import UnknownWords

if TYPE_CHECKING:
    from find.retrieval.album import Album

T = TypeVar("T")
log = logging.getLogger(__name__)
Pixels = UInt8[np.ndarray, "h w 3"]
FAULTY = "the device has failed; restart the service"


def _in_time(answer: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    """Aborts a request after `limits.seconds`."""

    @wraps(answer)
    async def bounded(service: Service, *args: object) -> T:
        seconds = service.limits.seconds
        try:
            return await asyncio.wait_for(answer(service, *args), seconds)
        except asyncio.TimeoutError:  # not the built-in one before Python 3.11
            raise Refusal(504, f"no answer within {seconds:g} s; try again later") from None

    return bounded


@dataclass(frozen=True)
class _Segment:
    picture: Pixels
    query: Query


def _read_as(text: str, asked: Query, read: Query) -> str:
    return text if asked.entities else read.format()


class Service:
    """An album and its model, shared by concurrent requests; model and album run in one thread.

    Args:
        album: the album to search, with the model that made it.
        limits: limits on requests.
        look_seconds: interval of the check whether the album has been re-indexed; it is then reloaded.
    """

    def __init__(self, album: Album, *, limits: Limits, look_seconds: float = 10.0) -> None:
        self.album, self.model, self.limits, self.look_seconds = album, album.model, limits, look_seconds
        self.fingerprint = self.model.fingerprint
        self._match_head = match_head_of(self.model)  # evaluated once, because reading it copies from a GPU
        self.model.feature_cache = FeatureCache(limits.feature_bytes)
        self.kept = PictureStore(limits.upload_bytes, limits.kept_seconds)
        self.metrics = Metrics()
        self.metrics.images.set(len(album))
        self.is_ready = False
        self.fault: str | None = None  # a device error; only a new process can use the device again
        self.budget = Budget(limits.total_bytes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="reader")  # decode and draw in parallel with the model
        self._search = self._batcher("search", self._search_all)
        self._segment = self._batcher("segment", self._segment_all)
        self._find_all = self._batcher("find-all", self._find_all_of)
        self._panoptic = self._batcher("panoptic", partial(divide_each, self.model))
        self._embed = self._batcher("embed", partial(embed_all, self.model, self.fingerprint))
        self._interact = self._batcher("interact", self._interact_all)
        self._batchers = {
            "search": self._search,
            "segment": self._segment,
            "embed": self._embed,
            "interact": self._interact,
            "find-all": self._find_all,
            "panoptic": self._panoptic,
        }
        self._follower: asyncio.Task[None] | None = None

    async def start(self) -> None:
        for batcher in self._batchers.values():
            batcher.start()
        self._follower = asyncio.create_task(self._follow())
        self.is_ready = True

    async def stop(self) -> None:
        """Answers the queued requests, then ends."""
        self.is_ready = False
        self._follower.cancel()
        await asyncio.gather(*(batcher.stop() for batcher in self._batchers.values()))
        self._thread.shutdown()
        self._readers.shutdown()

    # --- requests ---------------------------------------------------------------------------------------------------

    @_in_time
    async def search(self, request: messages.SearchRequest) -> messages.SearchAnswer:
        check_count("hits", request.k, self.limits.hits)
        if request.where is not None:
            check_count("characters of a filter", len(request.where), self.limits.characters)
            filter_sql(request.where)  # raises FindError, reported as 422
        if request.dim is not None and request.dim > self.album.stamp.dim:
            raise Refusal(422, f"dim: the album's vectors have {self.album.stamp.dim} values, not {request.dim}")
        with self.budget.share() as share:
            item = await self._read(lambda: self._to_search(request, share))
            reading, found = await self._search.submit(item)
            query = reading.query
            check_relevance(request.min_relevance, self._match_head, [query])
            groups = relevant_groups(found, request.min_relevance)
            texts = [request.query, *request.others, *request.without]
            read_as = [*map(_read_as, texts, item.query.queries, query.queries)]
            return await self._read(lambda: self._search_answer(reading, read_as, groups, request.masks))

    @_in_time
    async def sample(self, count: int, name: str | None) -> messages.SampleAnswer:
        return await self._read(lambda: self._sample(count, name))

    @_in_time
    async def segment(self, request: messages.SegmentRequest) -> messages.SegmentAnswer:
        with self.budget.share() as share:
            item = await self._read(lambda: self._to_segment(request, share))
            query, masks = await self._segment.submit(item)
            read_as = _read_as(request.query, item.query, query)
            return await self._read(lambda: self._segment_answer(item.picture, query, read_as, masks))

    @_in_time
    async def interact(self, request: messages.InteractRequest) -> messages.InteractAnswer:
        with self.budget.share() as share:
            item = await self._read(lambda: self._to_interact(request, share))
            found = await self._interact.submit(item)
            return await self._read(lambda: pointed_answer(found))

    @_in_time
    async def find_all(self, request: messages.FindAllRequest) -> messages.FindAllAnswer:
        with self.budget.share() as share:
            item = await self._read(lambda: self._to_find_all(request, share))
            query, found = await self._find_all.submit(item)
            texts = [request.query, *request.others, *request.without]
            read_as = [*map(_read_as, texts, item.query.queries, query.queries)]
            return await self._read(
                lambda: instances_answer(item.picture, query, read_as, found, self._unknown_words(query))
            )

    @_in_time
    async def panoptic(self, request: messages.PanopticRequest) -> messages.PanopticAnswer:
        with self.budget.share() as share:
            item = await self._read(lambda: self._to_divide(request, share))
            found = await self._panoptic.submit(item)
            return await self._read(lambda: segments_answer(self.model, item.classes, found))

    @_in_time
    async def keep(self, request: messages.StoreRequest) -> messages.StoredPicture:
        with self.budget.share() as share:
            return await self._read(lambda: self._keep(request, share))

    @_in_time
    async def embed(self, request: messages.EmbedRequest) -> messages.EmbedAnswer:
        check_count("queries", len(request.queries), self.limits.queries)
        check_count("pictures", len(request.pictures), self.limits.images)
        if not request.queries and not request.pictures:
            raise Refusal(422, "nothing to embed: give queries or pictures")
        with self.budget.share() as share:
            return await self._embed.submit(await self._read(lambda: self._to_embed(request, share)))

    @_in_time
    async def picture(self, name: str, frame: int, objects: Sequence[ToDraw], side: int) -> bytes:
        """A JPEG of an image of the album with the masks of some of its objects."""
        return await self._read(lambda: drawn_image(self.album, name, frame, objects, side))

    @_in_time
    async def video(self, name: str) -> Path:
        return await self._read(lambda: video_file(self.album, name))

    def metrics_text(self) -> bytes:
        for name, batcher in self._batchers.items():
            self.metrics.waiting.labels(name).set(batcher.waiting)
        return self.metrics.text()

    async def _follow(self) -> None:
        """Replaces the served album by its re-indexed version."""
        while True:
            await asyncio.sleep(self.look_seconds)
            try:
                album = await asyncio.to_thread(self._latest)
            except FindError as error:  # missing, partly copied, other weights: keep the open version
                log.warning("%s", error)
                continue
            except Exception:  # storage errors of any kind must not stop the service
                log.exception("%s: cannot check whether this album has been re-indexed", self.album.name)
                continue
            if album is not self.album:
                self.album = album
                self.metrics.images.set(len(album))

    def _latest(self) -> Album:
        album = self.album.latest()
        if album is not self.album:
            album.load()  # before the first request needs it
        return album

    # --- in the model's thread --------------------------------------------------------------------------------------

    def _by_model(self, answer: Callable[[Sequence[T]], Sequence[object]], items: Sequence[T]) -> Sequence[object]:
        """Calls `answer` while the device works: after a fault every further call would fail or hang."""
        if self.fault is None:
            try:
                return answer(items)
            except RuntimeError as error:
                if not is_device_fault(error):
                    raise
                self.fault = one_line(error)[:200]
                log.critical("the device has failed, restart this process", exc_info=True)
        raise Refusal(503, FAULTY)

    def _search_all(self, items: Sequence[ToSearch]) -> list[tuple[Reading, list[Group]]]:
        readings = [read_search(self.model, item.query) for item in items]
        queries = [reading.query for reading in readings]
        self._check_entities(queries)
        album = self.album  # which may be followed by another one meanwhile
        return list(zip(readings, search_each(album, items, queries), strict=True))

    def _segment_all(self, items: Sequence[_Segment]) -> list[tuple[Query, list[EntityMask]]]:
        queries = [read.include[0] for read in self._with_entities([JoinedQuery((item.query,)) for item in items])]
        if not all(query.entities for query in queries):
            raise Refusal(422, "the query has no entity to segment; mark one with braces, such as {a red dog}")
        return list(zip(queries, self.model.segment([item.picture for item in items], queries), strict=True))

    def _interact_all(self, items: Sequence[Pointed]) -> list[EntityMask]:
        strokes, negatives = [[item.stroke] for item in items], [[item.negative] for item in items]
        return [one for (one,) in self.model.interact([item.picture for item in items], strokes, negatives)]

    def _find_all_of(self, items: Sequence[Sought]) -> list[tuple[JoinedQuery, list[Found]]]:
        queries = self._with_entities([item.query for item in items])
        return list(zip(queries, find_each(self.model, items, queries), strict=True))

    def _with_entities(self, asked: Sequence[JoinedQuery]) -> list[JoinedQuery]:
        """Plain sentences with the entities that the model finds; raises Refusal for too many."""
        read = [read_things(self.model, joined).query for joined in asked]
        self._check_entities(read)
        return read

    def _check_entities(self, queries: Sequence[JoinedQuery]) -> None:
        for joined in queries:
            check_count("entities", sum(len(query.entities) for query in joined.queries), self.limits.entities)

    # --- in the reader threads ------------------------------------------------------------------------------------

    def _pictures(self, images: dict[str, str], share: Share) -> Pictures:
        return Pictures(images, self.limits, share, stored=self.album.image, kept=self.kept)

    def _keep(self, request: messages.StoreRequest, share: Share) -> messages.StoredPicture:
        picture = self._pictures({}, share).decode(request.image, "image")
        height, width = picture.shape[:2]
        return messages.StoredPicture(
            picture=self.kept.add(picture), width=width, height=height, seconds=self.limits.kept_seconds
        )

    def _to_search(self, request: messages.SearchRequest, share: Share) -> ToSearch:
        pictures = self._pictures(request.images, share)
        query = read_joined(request.query, request.others, request.without, pictures, self.limits)
        pictures.check_used()
        own = set() if request.include_query else pictures.of_album
        return ToSearch(query, request.k, request.where, request.dim, own, request.fold)

    def _to_find_all(self, request: messages.FindAllRequest, share: Share) -> Sought:
        pictures = self._pictures(request.images, share)
        query = read_joined(request.query, request.others, request.without, pictures, self.limits)
        pictures.check_used()
        return Sought(pictures.subject(request.image, request.name), query, request.threshold)

    def _to_divide(self, request: messages.PanopticRequest, share: Share) -> ToDivide:
        classes = read_classes(self.model, request, self.limits)
        return ToDivide(self._pictures({}, share).subject(request.image, request.name), classes)

    def _to_segment(self, request: messages.SegmentRequest, share: Share) -> _Segment:
        pictures = self._pictures(request.images, share)
        query = read_query(request.query, pictures, self.limits)
        pictures.check_used()
        return _Segment(pictures.subject(request.image, request.name), query)

    def _to_interact(self, request: messages.InteractRequest, share: Share) -> Pointed:
        picture = self._pictures({}, share).subject(request.image, request.name)
        return read_pointed(request, picture, share)

    def _to_embed(self, request: messages.EmbedRequest, share: Share) -> ToEmbed:
        pictures = self._pictures(request.images, share)
        queries = [read_query(text, pictures, self.limits) for text in request.queries]
        pictures.check_used()
        shown = [pictures.decode(text, f"pictures[{number}]") for number, text in enumerate(request.pictures)]
        return ToEmbed(queries, shown)

    def _search_answer(
        self, reading: Reading, read_as: list[str], groups: Sequence[Group], masks: bool
    ) -> messages.SearchAnswer:
        found = [found_image(rank, one.hit, one.moments, masks=masks) for rank, one in enumerate(groups, start=1)]
        return messages.SearchAnswer(
            read_as=read_as,
            notes=reading.notes,
            unwanted=[one.format() for one in reading.excluded],
            hits=found,
            unknown_words=self._unknown_words(reading.query),
        )

    def _unknown_words(self, query: JoinedQuery) -> list[str]:
        unknown = [word for one in query.queries for word in UnknownWords.read(self.model.language, one).query]
        return list(dict.fromkeys(unknown))

    def _sample(self, count: int, name: str | None) -> messages.SampleAnswer:
        album = self.album  # which may be followed by another one meanwhile
        hits = album.sample(count) if name is None else [named_image(album, name)]
        return messages.SampleAnswer(total=len(album), images=[album_image(hit) for hit in hits])

    def _segment_answer(
        self, picture: Pixels, query: Query, read_as: str, masks: Sequence[EntityMask]
    ) -> messages.SegmentAnswer:
        entities = entities_json(query, masks, UnknownWords.read(self.model.language, query))
        height, width = picture.shape[:2]
        return messages.SegmentAnswer(read_as=read_as, width=width, height=height, entities=entities)

    # --- waiting ----------------------------------------------------------------------------------------------------

    async def _read(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def _batcher(self, name: str, answer: Callable[[Sequence[T]], Sequence[object]]) -> Batcher:
        limits = self.limits
        return Batcher(
            partial(self._by_model, answer),
            executor=self._thread,
            most=limits.batch,
            waiting=limits.waiting,
            observe=self.metrics.batches.labels(name).observe,
        )
