"""Claim: an index run that is killed at any moment leaves an album that opens, and that the next run completes."""

import multiprocessing
import os
import random
import signal
import time
from datetime import datetime, timedelta

import pytest
from colors import ColorModel, paint

from find.retrieval.album import Album
from find.retrieval.connection import has_table
from find.retrieval.indexing import IndexSettings, index
from find.retrieval.photos import EPOCH

SETTINGS = IndexSettings(batch_size=4, workers=1, commit_seconds=0)
NAMES = ("red", "green", "blue", "grey")


def _index(photos, album, started) -> None:
    started.set()
    index(ColorModel(), photos, album, settings=SETTINGS, progress=False)


def _change(photos, dice: random.Random) -> dict[str, datetime]:
    """Adds, changes and deletes files; returns what the album must hold."""
    files = sorted(photos.iterdir()) if photos.is_dir() else []
    for file in dice.sample(files, len(files) // 3):
        file.unlink()
    for number in dice.sample(range(40), 20):
        file = paint(photos / f"{number:02d}.png", dice.choice(NAMES), dice.choice(NAMES))
        stamp = time.time_ns() - dice.randrange(10**12)
        os.utime(file, ns=(stamp, stamp))
    return {file.name: EPOCH + timedelta(microseconds=file.stat().st_mtime_ns // 1000) for file in photos.iterdir()}


def _held(album) -> dict[str, datetime]:
    table = Album.open(album, ColorModel()).to_arrow(["path", "modified", "objects", "masks"])
    held = {row["path"]: row["modified"] for row in table.to_pylist() if row["objects"] and row["masks"]}
    assert len(held) == len(table), "a file has two rows, or one without objects"
    return held


@pytest.mark.parametrize("kills", [3, pytest.param(500, marks=pytest.mark.slow)])
def test_killed_at_random_moments_the_album_opens_and_completes(tmp_path, kills):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["find.retrieval.album", "lancedb"])  # else a run is mostly its imports
    photos, album, dice = tmp_path / "photos", tmp_path / "my.album", random.Random(0)
    wanted = _change(photos, dice)
    whole = 1.0  # seconds that a run takes; learned from those that come to their end
    killed, is_complete = 0, False
    while killed < kills or not is_complete:
        started = processes.Event()
        child = processes.Process(target=_index, args=(photos, album, started))
        child.start()
        assert started.wait(120)
        begin = time.monotonic()
        if killed < kills:
            child.join(dice.uniform(0, whole))
        else:
            child.join(120)
        child.kill()
        child.join()
        if child.exitcode == -signal.SIGKILL:
            killed += 1
            if has_table(album):
                assert _held(album).keys() <= {f"{number:02d}.png" for number in range(40)}
        else:
            assert child.exitcode == 0
            is_complete = True
            whole = 0.5 * whole + 0.5 * (time.monotonic() - begin)
            assert _held(album) == wanted
            if killed < kills:
                wanted, is_complete = _change(photos, dice), False
