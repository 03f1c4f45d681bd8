"""Dynamic batching: requests that are queued at the same time share one call of the model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from find.serving.limits import Refusal

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False)
class _Job(Generic[Item, Answer]):
    item: Item
    answer: asyncio.Future[Answer]


class Batcher(Generic[Item, Answer]):
    """Queues items while the model is busy; when it is free, its next call takes all queued items.

    There is no batching delay: a request that arrives while the model is idle is processed alone.

    Args:
        answer: returns one answer for each of several items, in a thread of `executor`. If it raises, each item is
            retried alone, so that a bad item does not fail the others.
        executor: must have one thread, also if several batchers share a model.
        most: maximum number of items per call.
        waiting: maximum queue length; items of disconnected callers do not count.
        observe: called with the number of items of each call.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Item]], Sequence[Answer]],
        *,
        executor: Executor,
        most: int,
        waiting: int,
        observe: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._answer, self._executor, self._most, self._observe = answer, executor, most, observe
        self._places = waiting
        self._waiting: dict[_Job[Item, Answer], None] = {}  # in order of arrival
        self._news = asyncio.Event()  # an item arrived, or `stop` was called
        self._is_ending = False
        self._worker: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Answers all queued items, then ends."""
        self._is_ending = True
        self._news.set()
        if self._worker is not None:
            await self._worker

    async def submit(self, item: Item) -> Answer:
        """The item's answer. If the caller is cancelled while it waits, the item is dropped at once.

        Raises:
            Refusal: 429 if the queue is full, 503 after `stop`.
            Exception: what `answer` raised for this item.
        """
        if self._is_ending:
            raise Refusal(503, "not ready: stopping")
        if self.waiting >= self._places:
            raise Refusal(429, f"{self.waiting} requests are waiting already; try again in a few seconds")
        job = _Job(item, asyncio.get_running_loop().create_future())
        self._waiting[job] = None
        self._news.set()
        try:
            return await job.answer
        finally:
            self._waiting.pop(job, None)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._news.wait()
            jobs = list(islice(self._waiting, self._most))
            if not jobs and self._is_ending:
                return
            if not jobs:
                self._news.clear()
            for job in jobs:
                del self._waiting[job]
            wanted = [job for job in jobs if not job.answer.cancelled()]
            if wanted:
                self._observe(len(wanted))
                items = [job.item for job in wanted]
                outcomes = await loop.run_in_executor(self._executor, self._outcomes, items)
                for job, outcome in zip(wanted, outcomes, strict=True):
                    if job.answer.cancelled():
                        continue
                    if isinstance(outcome, Exception):
                        job.answer.set_exception(outcome)
                    else:
                        job.answer.set_result(outcome)

    def _outcomes(self, items: Sequence[Item]) -> list[Answer | Exception]:
        try:
            answers = self._answer(items)
        except Exception as error:  # re-raised at the caller
            return [error] if len(items) == 1 else [outcome for item in items for outcome in self._outcomes([item])]
        if len(answers) != len(items):
            return [RuntimeError(f"{len(items)} items got {len(answers)} answers")] * len(items)
        return list(answers)
