"""Claims about waiting together: one call for what waits, each its own answer, none too many."""

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from find.serving.batching import Batcher
from find.serving.limits import Refusal


class Worker:
    """Doubles numbers, cannot take negative ones, and works only when it may."""

    def __init__(self):
        self.may = threading.Event()
        self.batches = []

    def __call__(self, items):
        self.may.wait(5)
        self.batches.append(list(items))
        if min(items) < 0:
            raise ValueError(f"negative: {min(items)}")
        return [2 * item for item in items]


def _run(scenario, **options):
    async def run():
        worker = Worker()
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(worker, executor=executor, **({"most": 4, "waiting": 8} | options))
            batcher.start()
            result = await scenario(batcher, worker)
            worker.may.set()
            await batcher.stop()
        return result, worker.batches

    return asyncio.run(asyncio.wait_for(run(), 10))


async def _submit(batcher, items):
    """Tasks; the first one is with the worker already, the others wait."""
    first = asyncio.create_task(batcher.submit(items[0]))
    await asyncio.sleep(0.05)
    tasks = [first, *(asyncio.create_task(batcher.submit(item)) for item in items[1:])]
    await asyncio.sleep(0.05)
    return tasks


def test_what_waits_goes_into_one_call_of_bounded_size():
    async def scenario(batcher, worker):
        tasks = await _submit(batcher, [1, 2, 3, 4, 5, 6])
        worker.may.set()
        return await asyncio.gather(*tasks)

    answers, batches = _run(scenario)
    assert answers == [2, 4, 6, 8, 10, 12] and batches == [[1], [2, 3, 4, 5], [6]]


def test_one_that_fails_does_not_spoil_the_others():
    async def scenario(batcher, worker):
        tasks = await _submit(batcher, [1, 2, -3, 4])
        worker.may.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers, _ = _run(scenario)
    assert answers[:2] == [2, 4] and answers[3] == 8
    assert isinstance(answers[2], ValueError) and str(answers[2]) == "negative: -3"


def test_too_many_are_refused_at_once():
    async def scenario(batcher, worker):
        tasks = await _submit(batcher, [1, 2, 3])
        with pytest.raises(Refusal, match="2 requests are waiting") as refusal:
            await batcher.submit(4)
        worker.may.set()
        return refusal.value.status, await asyncio.gather(*tasks)

    (status, answers), _ = _run(scenario, waiting=2)
    assert status == 429 and answers == [2, 4, 6]


def test_who_left_is_not_worked_for():
    async def scenario(batcher, worker):
        tasks = await _submit(batcher, [1, 2, 3])
        tasks[1].cancel()
        worker.may.set()
        return await asyncio.gather(tasks[0], tasks[2])

    answers, batches = _run(scenario)
    assert answers == [2, 6] and batches == [[1], [3]]


def test_who_left_keeps_no_place():
    async def scenario(batcher, worker):
        tasks = await _submit(batcher, [1, 2, 3])
        tasks[1].cancel()
        await asyncio.sleep(0)
        assert batcher.waiting == 1
        late = asyncio.create_task(batcher.submit(4))
        await asyncio.sleep(0)
        worker.may.set()
        return await asyncio.gather(tasks[0], tasks[2], late)

    answers, batches = _run(scenario, waiting=2)
    assert answers == [2, 6, 8] and batches == [[1], [3, 4]]


def test_who_left_leaves_nothing_behind():
    """Pictures of requests that were given up would fill the memory while the model is at work."""

    class Picture(float):
        pass

    async def scenario(batcher, worker):
        pictures = [Picture(number) for number in range(3)]
        held = weakref.ref(pictures[2])
        tasks = await _submit(batcher, pictures)
        tasks[2].cancel()
        await asyncio.wait([tasks[2]])
        del pictures, tasks[2]
        gc.collect()
        is_held = held() is not None
        worker.may.set()
        return is_held, await asyncio.gather(*tasks)

    assert _run(scenario)[0] == (False, [0, 2])


def test_after_its_end_it_takes_no_more():
    async def scenario(batcher, worker):
        worker.may.set()
        await batcher.stop()
        with pytest.raises(Refusal, match="stopping"):
            await batcher.submit(1)

    _run(scenario)


def test_stop_answers_what_waits():
    async def scenario(batcher, worker):
        tasks = await _submit(batcher, [1, 2])
        worker.may.set()
        await batcher.stop()
        return [task.result() for task in tasks if task.done()] or await asyncio.gather(*tasks)

    answers, _ = _run(scenario)
    assert answers == [2, 4]
