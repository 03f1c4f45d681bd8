"""Damaged binary files are told in one sentence, wherever a bit is wrong; plain JSON files of other forms, too."""

import json
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_folder import TinyFolder

from find.annotation.lexicon import read_synonyms
from find.data.coco import CocoFolder
from find.data.panoptic import PanopticTable
from find.data.prepare_references import add_references
from find.data.source import ZipSource
from find.errors import FindError
from find.evaluation.held_out import HeldOut
from find.evaluation.prediction_files.vectors import Vectors, read_vectors, write_vectors
from find.evaluation.protocols.retrieval import read_image_ids

TRIES = 200


def damaged(data: bytes) -> Iterator[bytes]:
    """Half of them cut, half with one to four wrong bits; the same in every run."""
    rng = random.Random(0)
    for number in range(TRIES):
        if number % 2:
            yield data[: rng.randrange(len(data))]
            continue
        changed = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        yield bytes(changed)


def survived(path: Path, read: Callable[[Path], object]) -> int:
    """How many damaged files are told by a FindError; whatever else is raised fails the test."""
    reported = 0
    for data in list(damaged(path.read_bytes())):
        path.write_bytes(data)
        try:
            read(path)
        except FindError as error:
            assert path.name in str(error)
            reported += 1
    return reported


def test_damaged_vectors_are_told(tmp_path: Path):
    path, vector, parts = tmp_path / "embeddings.npz", np.float32([0.5, 1, 2]), np.float32([[1, 2, 3]])
    written = Vectors(
        images={1: (vector, parts), 2: (vector, parts)}, texts={"a dog": vector}, queries={"q": (vector, parts[:0])}
    )
    write_vectors(path, written)
    assert set(read_vectors(path, pytest.fail).images) == {1, 2}
    assert survived(path, lambda file: read_vectors(file, [].append)) >= TRIES // 2  # no cut file is taken for a whole


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_archives_of_pictures_are_told(tmp_path: Path, method: int):
    path, pixels = tmp_path / "val2017.zip", np.random.default_rng(0).bytes(300)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in ("a.jpg", "b.jpg"):
            archive.writestr(f"val2017/{name}", pixels)

    def read(file: Path) -> None:
        source = ZipSource(file)
        source.match(["a.jpg", "b.jpg"])
        assert source.read("a.jpg") == source.read("b.jpg") == pixels

    read(path)
    assert survived(path, read) >= TRIES // 2


@pytest.mark.parametrize(
    "content",
    ["", "[]", "null", '{"segments": []}', '{"segments": {"val2017": [1]}}', '{"segments": {"val2017": {"one": [1]}}}',
     '{"segments": {"val2017": {"1": 5}}}', '{"segments": {"val2017": {"1": [null]}}}',
     '{"segments": {"val2017": {"1": [1.5]}}}', '{"segments": {"val2017": {"1": [NaN]}}}', '{"other": {}}',
     '{"segments": {"val2017": {"1": "12"}}}', '{"segments": {"train2017": {"1": [true]}}}', "[" * 100_000],
    ids=lambda text: text[:50],
)  # fmt: skip
def test_a_broken_list_of_held_out_segments_is_refused(tiny: TinyFolder, content: str):
    (tiny.root / "held_out.json").write_text(content)
    with pytest.raises(FindError, match=r"held_out\.json: .*(expected|not valid JSON)"):
        HeldOut.read(CocoFolder(tiny.root, "val2017"))


def test_held_out_segments_are_read_as_numbers_or_their_digits(tiny: TinyFolder):
    (tiny.root / "held_out.json").write_text('\ufeff{"segments": {"val2017": {"1": ["301", 7]}}}', encoding="utf-8")
    assert HeldOut.read(CocoFolder(tiny.root, "val2017")).segments == {1: {301, 7}}
    (tiny.root / "held_out.json").write_text('{"segments": {"train2017": {}}}')
    assert HeldOut.read(CocoFolder(tiny.root, "val2017")).segments == {}


@pytest.mark.parametrize(
    "content",
    ["5", '["one"]', "[1.5]", "[null]", "[NaN]", "[[1]]", '{"images": 3}', '{"images": [3]}', '{"images": [{}]}',
     '{"images": [{"cocoid": null, "split": "test"}]}', '{"images": [{"cocoid": 1, "split": 7}]}'],
)  # fmt: skip
def test_a_broken_list_of_images_is_refused(tiny: TinyFolder, tmp_path: Path, content: str):
    (tmp_path / "ids.json").write_text(content)
    with pytest.raises(FindError, match=r"ids\.json: expected a list of image ids"):
        read_image_ids(tmp_path / "ids.json", CocoFolder(tiny.root, "val2017"))


def test_an_image_that_is_listed_twice_would_count_twice(tiny: TinyFolder, tmp_path: Path):
    (tmp_path / "ids.json").write_text('[1, "2", 1]')
    with pytest.raises(FindError, match="image 1 is listed twice"):
        read_image_ids(tmp_path / "ids.json", CocoFolder(tiny.root, "val2017"))
    (tmp_path / "ids.json").write_text('[3, "2", 1]')
    assert read_image_ids(tmp_path / "ids.json", CocoFolder(tiny.root, "val2017")) == (3, 2, 1)


@pytest.mark.parametrize("content", ["", "[1]", "null", '{"dog": "hound"}', '{"dog": [7]}', '{"dog": [null]}',
                                     '{"dog": [" "]}', '{"dog": {"hound": 1}}'])  # fmt: skip
def test_broken_synonyms_are_refused(tmp_path: Path, content: str):
    (tmp_path / "synonyms.json").write_text(content)
    with pytest.raises(FindError, match=r"synonyms\.json: .*(lists of words|not valid JSON)"):
        read_synonyms(tmp_path / "synonyms.json")


@pytest.mark.parametrize("value", [None, 7, "text", [7], [None], [{"phrase": 7}], {}], ids=str)
def test_references_are_not_added_to_broken_sentences(tiny: TinyFolder, tmp_path: Path, value: object):
    tiny.files["entity_val2017.json"]["annotations"][1]["phrase"] = value
    annotations = tiny.write() / "annotations"
    whole = PanopticTable.read(annotations / "panoptic_val2017.json", pytest.fail)
    with pytest.raises(FindError, match=r"entity_val2017\.json, sentence 11 of image 2"):
        add_references(annotations / "entity_val2017.json", tmp_path / "made.json", whole)
    assert not list(tmp_path.glob("made*"))


def test_references_are_added_to_sound_ones(tiny: TinyFolder, tmp_path: Path):
    annotations = tiny.root / "annotations"
    whole = PanopticTable.read(annotations / "panoptic_val2017.json", pytest.fail)
    add_references(annotations / "entity_val2017.json", tmp_path / "made.json", whole)
    phrases = [
        one for record in json.loads((tmp_path / "made.json").read_text())["annotations"] for one in record["phrase"]
    ]
    assert all(one["reference"]["image_id"] in (1, 2, 3) for one in phrases)
