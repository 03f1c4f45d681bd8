"""Bars are for those who watch standard error: nothing of them in a pipe, in a file or on standard output."""

import os
import pty
import subprocess
import sys

import pytest

WORK = "from find.utils.progress import track; print(sum(track([1, 2, 3], 'adding', shown={shown})))"


def run(shown: bool, *, watched: bool) -> tuple[str, str]:
    """What a program with a bar writes to standard output and standard error."""
    command = [sys.executable, "-c", WORK.format(shown=shown)]
    environment = os.environ | {"TERM": "xterm"}
    if not watched:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
        return done.stdout, done.stderr
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment, timeout=60, check=True
        )
        os.write(theirs, b".")  # so that there is something to read
        return done.stdout, os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_bar_is_on_a_terminal_at_standard_error():
    out, seen = run(True, watched=True)
    assert out == "6\n"
    assert "adding" in seen and "100%" in seen


@pytest.mark.parametrize(("shown", "watched", "seen"), [(True, False, ""), (False, True, "."), (False, False, "")])
def test_nothing_is_written_where_nobody_watches(shown, watched, seen):
    assert run(shown, watched=watched) == ("6\n", seen)
