"""Claims about hits in other programs: files by rank, a table, FiftyOne's layout, and pictures in a terminal."""

import csv
import json
import os
import subprocess
import sys

import pytest
from colors import ColorModel, paint
from PIL import Image

from find.errors import FindError
from find.query.query import Phrase, Query
from find.retrieval.album import Album
from find.retrieval.exemplars import more_like
from find.retrieval.hit_export import copy_hits, write_csv, write_fiftyone

QUERY = Query(Phrase("green"), " beside ", Phrase("blue"))


@pytest.fixture
def hits(tmp_path):
    """b.png has green and blue; the same name is in two folders."""
    paint(tmp_path / "photos" / "a.png", "red", "green")
    paint(tmp_path / "photos" / "b.png", "green", "blue", size=(16, 10))
    paint(tmp_path / "photos" / "deep" / "a.png", "red", "blue")
    return Album.build(ColorModel(), tmp_path / "photos", tmp_path / "my.album", progress=False).search(QUERY)


def test_files_are_copied_by_rank(hits, tmp_path):
    assert copy_hits(hits, tmp_path / "out") == []
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["001_b.png", "002_a.png", "003_a.png"]
    for name, hit in zip(names, hits, strict=True):
        assert (tmp_path / "out" / name).read_bytes() == hit.path.read_bytes()
    with pytest.raises(FindError, match="exists already"):
        copy_hits(hits, tmp_path / "out")


def test_a_file_that_is_gone_is_told(hits, tmp_path):
    hits[1].path.unlink()
    assert copy_hits(hits, tmp_path / "out") == [hits[1].path]
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert write_fiftyone(hits, tmp_path / "fiftyone") == [hits[1].path]
    assert len(json.loads((tmp_path / "fiftyone" / "labels.json").read_text())["labels"]) == 2


def test_the_table_reads_back(hits, tmp_path):
    write_csv(hits, tmp_path / "deep" / "hits.csv")
    with open(tmp_path / "deep" / "hits.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["rank"], row["name"]) for row in rows] == [(str(k), hit.name) for k, hit in enumerate(hits, start=1)]
    assert [float(row["score"]) for row in rows] == pytest.approx([hit.score for hit in hits], abs=1e-3)
    assert rows[0]["entities"] == "green 1.000; blue 1.000" and rows[0]["width"] == "16"


def test_the_folder_for_fiftyone_has_its_layout(hits, tmp_path):
    write_fiftyone(hits, tmp_path / "out")
    expected = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert set(expected) == {"classes", "labels"} and expected["classes"] == ["blue", "green"]
    assert set(expected["labels"]) == {path.stem for path in (tmp_path / "out" / "data").iterdir()}
    green, blue = expected["labels"]["001_b"]
    assert (green["label"], blue["label"]) == ("green", "blue") and green["confidence"] == pytest.approx(1, abs=1e-3)
    assert green["bounding_box"] == pytest.approx([0, 0, 0.5, 1], abs=0.11)
    assert blue["bounding_box"] == pytest.approx([0.5, 0, 0.5, 1], abs=0.11)


def test_copies_of_hits_are_folded_in_more_like(tmp_path):
    paint(tmp_path / "photos" / "a.png", "red", "green", size=(40, 30))
    Image.open(tmp_path / "photos" / "a.png").resize((20, 16)).save(tmp_path / "photos" / "half.png")
    paint(tmp_path / "photos" / "b.png", "green", "red", size=(40, 30))  # the same vector, other pixels
    paint(tmp_path / "example.png", "red", "green")
    album = Album.build(ColorModel(), tmp_path / "photos", tmp_path / "my.album", progress=False)
    assert len(more_like(album, tmp_path / "example.png")) == 3
    folded = more_like(album, tmp_path / "example.png", fold_duplicates=True)
    assert {(hit.name, *hit.duplicates) for hit in folded} in (
        {("a.png", "half.png"), ("b.png",)},
        {("half.png", "a.png"), ("b.png",)},
    )


SHOW = """
import sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from find.cli.hits import print_below
print_below(SimpleNamespace(duplicates=("copy.png",), pixels=lambda: np.full((8, 8, 3), 200, np.uint8)), show=True)
"""


def test_output_that_is_no_terminal_stays_plain():
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)
    assert done.stdout == "     and 1 near-duplicate: copy.png\n" and done.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
def test_a_terminal_that_says_that_it_knows_sixel_gets_a_picture():
    pytest.importorskip("textual_image", reason="needs: pip install 'findvl[terminal]'")
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 800, 480))  # rows, columns, pixels
    environment = os.environ | {"TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-c", SHOW], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment
    )
    os.close(theirs)
    said = b""
    while b"\x1b\\" not in said.partition(b"\x1bP")[2]:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end has closed
            break
        said += part
        if b"\x1b[c" in part:
            os.write(ours, b"\x1b[?62;4c")  # device attributes: 4 is sixel
    process.kill()
    error = process.stderr.read().decode()
    assert b"near-duplicate: copy.png" in said, error
    assert b"\x1bP" in said and b"q" in said.partition(b"\x1bP")[2][:12], (said[:300], error)
    os.close(ours)
