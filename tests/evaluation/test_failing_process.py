"""Whatever one process fails with, no other waits for it."""

import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from processes import start_method

from find.errors import FindError
from find.evaluation.distributed import in_order, rows_in_order

WAIT = 45
"""Seconds until a process that waits for another one gives up."""


class Cancelled(BaseException):
    """Like KeyboardInterrupt, no Exception; pytest and the launcher leave it alone."""


FAILURES = {
    "value": ValueError("no such colour\nin line 2"),
    "cancelled": Cancelled("by hand"),
    "assertion": AssertionError(),
}


def work_with(failure: BaseException, *, rows: bool):
    def work(chunk):
        if 3 in chunk:
            raise failure
        return [torch.tensor(list(chunk))] if rows else list(chunk)

    return work


def one_fails(rank: int, out: str) -> None:
    """The second process meets item 3; both write what they were told, and both go on to the next failure."""
    torch.set_num_threads(1)
    timeout = timedelta(seconds=WAIT)
    dist.init_process_group("gloo", init_method=f"file://{out}/meet", rank=rank, world_size=2, timeout=timeout)
    expected = []
    for failure in FAILURES.values():
        for run, rows in ((in_order, False), (rows_in_order, True)):
            try:
                run(range(4), work_with(failure, rows=rows), batch_size=1, title="failing")
            except BaseException as error:
                expected.append(f"{type(error).__name__}: {error}")
    Path(out, f"{rank}.txt").write_text("\n--\n".join(expected))
    dist.barrier()
    dist.destroy_process_group()


def test_the_others_are_told_and_the_one_keeps_its_own_error(tmp_path):
    begin = time.monotonic()
    mp.start_processes(one_fails, (str(tmp_path),), nprocs=2, start_method=start_method())
    assert time.monotonic() - begin < WAIT
    first, second = ((tmp_path / f"{rank}.txt").read_text().split("\n--\n") for rank in range(2))
    own = ["ValueError: no such colour\nin line 2", "Cancelled: by hand", "AssertionError: "]
    assert second == [error for error in own for _ in range(2)]
    expected = [
        "FindError: process 1 failed, see its own message: ValueError: no such colour",
        "FindError: process 1 failed, see its own message: Cancelled: by hand",
        "FindError: process 1 failed, see its own message: AssertionError",
    ]
    assert first == [error for error in expected for _ in range(2)]


def test_alone_an_error_is_what_it_was():
    for failure in FAILURES.values():
        with pytest.raises(type(failure)):
            in_order(range(4), work_with(failure, rows=False), batch_size=2, title="alone")
    with pytest.raises(FindError, match=r"^broken$"):
        in_order(range(4), work_with(FindError("broken"), rows=False), batch_size=2, title="alone")
