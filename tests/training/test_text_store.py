"""The store of texts' features: exact, shared by processes, whole whenever one of them is killed, bounded."""

import hashlib
import multiprocessing
import os
import random
import signal
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from find.training.text_store import STALE_AFTER, StoredText, TextStore


def digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def features(text: str, *, pooled: bool = True) -> StoredText:
    """What can only be of this text."""
    generator = torch.Generator().manual_seed(int.from_bytes(digest(text)[:6], "little"))
    tokens = torch.randn(len(text), 4, generator=generator).to(torch.bfloat16)
    return StoredText(tokens, torch.randn(3, generator=generator) if pooled else None)


def check(store: TextStore, texts: list[str], *, pooled: bool = True) -> int:
    """Every text that is there is right; gives how many are there."""
    found = store.get([digest(text) for text in texts])
    for text, stored in zip(texts, found, strict=True):
        if stored is not None:
            wanted = features(text, pooled=pooled)
            assert torch.equal(stored.tokens, wanted.tokens) and stored.tokens.dtype == torch.bfloat16
            assert (stored.pooled is None) == (not pooled)
            assert not pooled or torch.equal(stored.pooled, wanted.pooled)
    return sum(stored is not None for stored in found)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.text(min_size=1, max_size=5), max_size=5), max_size=4), st.booleans())
def test_what_was_added_is_there_in_any_order_after_any_number_of_flushes(tmp_path_factory, parts, pooled):
    folder = tmp_path_factory.mktemp("store")
    store = TextStore(folder)
    texts = [text for part in parts for text in part]
    for part in parts:
        for text in part:
            store.add(digest(text), features(text, pooled=pooled))
        assert check(store, part, pooled=pooled) == len(part)  # before it is written, too
        store.flush()
    shuffled = [*random.Random(0).sample(texts, len(texts)), "never added"]
    for reader in (store, TextStore(folder)):
        assert check(reader, shuffled, pooled=pooled) == len(texts)
    assert store.get([]) == []


def _write(folder, seed):
    torch.set_num_threads(1)
    store = TextStore(folder, flush_at=200)
    for number in range(100_000):
        text = f"{seed} text {number}"
        store.add(digest(text), features(text))


@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_writers_that_are_killed_at_any_time_leave_a_store_that_opens_and_is_right(tmp_path):
    chance = random.Random(0)
    context = multiprocessing.get_context("fork")
    for round_ in range(4):
        writers = [context.Process(target=_write, args=(tmp_path, f"{round_}-{k}"), daemon=True) for k in range(2)]
        for writer in writers:
            writer.start()
        begun = time.monotonic()
        while len(list(tmp_path.iterdir())) < 10 * (round_ + 1) and time.monotonic() - begun < 20:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.05))
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
        store = TextStore(tmp_path)
        there = check(store, [f"{n}-{k} text {i}" for n in range(round_ + 1) for k in range(2) for i in range(3000)])
        assert there == len(store) > 0


def test_processes_that_add_the_same_texts_disturb_each_other_in_nothing(tmp_path):
    first, second = TextStore(tmp_path), TextStore(tmp_path)
    for store in (first, second):
        for text in ("a", "b"):
            store.add(digest(text), features(text))
        store.flush()
        store.flush()  # nothing more to write
    third = TextStore(tmp_path)
    assert check(third, ["a", "b"]) == 2 == len(third)
    assert len(list(tmp_path.iterdir())) == 2


def test_broken_files_are_passed_over_and_told_and_old_unfinished_ones_removed(tmp_path):
    store = TextStore(tmp_path)
    for text in ("a", "b"):
        store.add(digest(text), features(text))
        store.flush()
    broken = sorted(tmp_path.iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:-3])
    young, old = (tmp_path / f"{name}.unfinished" for name in ("young", "old"))
    for file in (young, old):
        file.write_bytes(b"half of a")
    long_ago = time.time() - STALE_AFTER - 60
    os.utime(old, (long_ago, long_ago))
    with pytest.warns(UserWarning, match=broken.name):
        again = TextStore(tmp_path)
    assert check(again, ["a", "b"]) == 1
    assert young.exists() and not old.exists()


def test_a_full_store_takes_no_more_and_counts(tmp_path):
    store = TextStore(tmp_path, limit=100)
    for text in ("abcd", "efgh", "a much longer text"):
        store.add(digest(text), features(text))
    assert check(store, ["abcd", "efgh", "a much longer text"]) == 2 and store.left_out == 1
    store.flush()
    store.add(digest("more"), features("more"))
    assert store.left_out == 2
