"""Ids, names, links and texts as tools leave them, which no report named yet: right, or told in one line."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from broken_files import complete, predictions
from tiny_folder import TinyFolder

from find.annotation.build import build
from find.data.check import check_folder
from find.data.coco import CocoFolder
from find.errors import FindError
from find.evaluation.prediction_files.score import FileTask, find_files, score, validate
from find.evaluation.systems.run import Settings
from find.retrieval.photos import find_files as find_photos

PHOTO = "000000000001.jpg"


@pytest.mark.parametrize("id", [0, -1, -(2**63), 2**63 - 1])
def test_any_whole_number_is_an_image_id(tiny: TinyFolder, id: int):
    """The COCO library takes no negative ones."""
    tiny.files = complete(tiny)
    for content in tiny.files.values():
        for image in content.get("images", ()):  # one list, which the files share
            image["id"] = id if image["file_name"] == PHOTO else image["id"]
        for record in content["annotations"]:
            record["image_id"] = id if record["image_id"] == 1 else record["image_id"]
    results = predictions()["instances.json"]
    results[0]["image_id"] = id
    root = tiny.write()
    (root / "instances.json").write_text(json.dumps(results))
    files = find_files(root / "instances.json", FileTask.INSTANCES)
    found = score(files, root, Settings(split="val2017", clicked_images=1), progress=False)
    assert found.to_json()["panoptic"]["AP"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("listed", "there", "difference"),
    [
        ("a%20dog.jpg", "a dog.jpg", "its spaces or in how they are written"),
        ("a dog.jpg", "a%20dog.jpg", "its spaces or in how they are written"),
        ("a+dog.jpg", "a dog.jpg", "its spaces or in how they are written"),
        ("dog.jpg ", "dog.jpg", "its spaces or in how they are written"),
        ("dog.jpg", "dog.png", "its suffix"),
        ("DOG.jpeg", "dog.JPG", "its suffix"),
    ],
)
def test_the_file_that_a_name_was_written_for_is_named(tiny: TinyFolder, listed: str, there: str, difference: str):
    tiny.files["panoptic_val2017.json"]["images"][0]["file_name"] = listed
    pictures = tiny.write() / "val2017"
    (pictures / PHOTO).rename(pictures / there)
    with pytest.raises(FindError, match=f"; {there} is there, which differs in {difference}"):
        CocoFolder(tiny.root, "val2017")[0]


def test_a_name_with_codes_that_is_there_is_read(tiny: TinyFolder):
    tiny.files["panoptic_val2017.json"]["images"][0]["file_name"] = "a%20dog+1.jpg"
    pictures = tiny.write() / "val2017"
    (pictures / PHOTO).rename(pictures / "a%20dog+1.jpg")
    assert CocoFolder(tiny.root, "val2017").image(1).shape == (48, 64, 3)


def _link(file: Path) -> None:
    file.symlink_to("/gone/photo.jpg")


def _loop(file: Path) -> None:
    file.symlink_to(file.name)


@pytest.mark.parametrize(
    ("put", "reason"),
    [
        pytest.param(_link, "a link to a file that is gone", id="link to nothing"),
        pytest.param(_loop, "a link to a file that is gone", id="link to itself"),
        pytest.param(os.mkfifo, "this is not a regular file", id="pipe"),
        pytest.param(os.mkdir, "this is a folder", id="folder"),
    ],
)
@pytest.mark.parametrize("place", [f"val2017/{PHOTO}", "panoptic_val2017/000000000001.png"])
def test_what_is_no_file_is_told_and_waits_for_nobody(
    tiny: TinyFolder, place: str, put: Callable[[Path], None], reason: str
):
    file = tiny.write() / place
    file.unlink()
    put(file)
    folder = CocoFolder(tiny.root, "val2017")
    with pytest.raises(FindError, match=reason) as caught:
        folder.image(1), folder.segment_map(1)
    assert str(file) in str(caught.value) and "differs" not in str(caught.value)
    issues = [issue for issue in check_folder(tiny.root).issues if issue.kind == "unreadable file"]
    assert len(issues) == 1 and reason in str(issues[0])


@pytest.mark.parametrize("text", ["\u200b", " \ufeff\u2060\n", "\u202e\u202c"])
def test_texts_that_nobody_sees_have_no_words(tiny: TinyFolder, text: str):
    tiny.files["captions_val2017.json"]["annotations"][0]["caption"] = text
    tiny.files["referring_val2017.json"]["annotations"][0]["sentence"] = text
    folder = CocoFolder(tiny.write(), "val2017")
    assert folder.captions_of(1) == ("A dog.",)
    assert folder.skipped == {"empty caption": 1, "empty sentence": 1}


def test_words_between_signs_without_width_stay(tiny: TinyFolder):
    tiny.files["captions_val2017.json"]["annotations"][0]["caption"] = "\u200f\u05db\u05dc\u05d1 \U0001f415"
    assert len(CocoFolder(tiny.write(), "val2017").captions_of(1)) == 2


def test_a_wrong_span_is_told_once(tiny: TinyFolder):
    tiny.phrase()["end_idx"] = 4000
    with pytest.raises(FindError) as caught:
        CocoFolder(tiny.write(), "val2017")
    assert str(caught.value).count("entity_val2017.json") == 1 and "a field is wrong" not in str(caught.value)


def test_a_build_from_objects_without_classes_names_the_list_that_is_empty(tiny: TinyFolder, tmp_path: Path):
    tiny.files = complete(tiny)
    tiny.files["instances_val2017.json"]["categories"] = []
    del tiny.files["panoptic_val2017.json"]
    root = tiny.write()
    (root / "annotations" / "panoptic_val2017.json").unlink()
    shutil.rmtree(root / "panoptic_val2017")
    with pytest.raises(FindError, match=r'instances_val2017\.json: its "categories" name no class'):
        build(root, out=tmp_path / "out", progress=False)


def test_folders_that_systems_put_among_photos_are_left_alone_and_counted(tiny: TinyFolder):
    photo = (tiny.root / "val2017" / PHOTO).read_bytes()
    for place in ("@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "#recycle/old.jpg", "$RECYCLE.BIN/$R1.jpg", "mine/new.jpg"):
        file = tiny.root / "val2017" / place
        file.parent.mkdir(parents=True)
        file.write_bytes(photo)
    found = find_photos(tiny.root / "val2017")
    assert found.files[-1].path == "mine/new.jpg" and len(found.files) == 4
    assert found.hidden == 3


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir])
def test_a_predicted_map_that_is_no_file_is_told(tiny: TinyFolder, put: Callable[[Path], None]):
    (tiny.root / "panoptic.json").write_text(json.dumps(predictions()["panoptic.json"]))
    shutil.copytree(tiny.root / "panoptic_val2017", tiny.root / "panoptic")
    file = tiny.root / "panoptic" / "000000000001.png"
    file.unlink()
    put(file)
    files = find_files(tiny.root / "panoptic.json", FileTask.PANOPTIC)
    (issue,) = validate(files, tiny.root, Settings(split="val2017")).issues
    assert "panoptic/000000000001.png" in str(issue) and "not a file" in str(issue)


def test_vectors_of_neither_texts_nor_queries_are_told(tiny: TinyFolder):
    (tiny.root / "mine").mkdir()
    np.savez(tiny.root / "mine" / "embeddings.npz", vectors=np.ones((3, 8), np.float32))
    files = find_files(tiny.root / "mine", None)
    issues = validate(files, tiny.root, Settings(split="val2017")).issues
    assert issues and all("embeddings.npz" in str(issue) for issue in issues)
