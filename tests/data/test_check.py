"""The check lists every fault with file, item and fix, counts them, and finds none in sound data."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tiny_folder import CROWD, dog, paint_ids, segment_ids

from find.data.check import check_folder
from find.data.coco import CocoFolder
from find.errors import FindError
from find.images.images import read_image


def found(tiny) -> dict[str, str]:
    """Kind -> the last such issue as text, after writing the folder."""
    return {issue.kind: str(issue) for issue in check_folder(tiny.write()).issues}


def test_sound_data_has_no_errors(tiny):
    report = check_folder(tiny.root)
    assert not report.has_errors and report.counts == {"image without caption": 1}
    assert report.splits == ("val2017",)
    assert report.checked == {"images": 3, "segments": 9, "captions": 3, "sentences": 2, "phrases": 4, "expressions": 1}


@pytest.mark.parametrize("folder", ["coco-sample/coco", "camvid-coco"])
def test_real_data_has_no_anomalies_at_all(shared, folder):
    assert check_folder(shared / folder, "val2017").issues == ()


def test_all_faults_of_a_folder_are_found_at_once(tiny):
    (tiny.root / "val2017" / "000000000001.jpg").write_bytes(b"")
    Image.new("RGB", (64, 40)).save(tiny.root / "val2017" / "000000000002.jpg")
    (tiny.root / "val2017" / "000000000003.jpg").unlink()
    ids = segment_ids(2)
    ids[ids == dog(2)] = 987
    paint_ids(ids).save(tiny.root / "panoptic_val2017" / "000000000002.png")
    shutil.copy(tiny.root / "panoptic_val2017" / "000000000002.png", tiny.root / "panoptic_val2017" / "extra.png")
    segments = tiny.files["panoptic_val2017.json"]["annotations"][2]["segments_info"]
    segments[0]["area"], segments[1]["bbox"] = 1, [0, 0, 5, 5]
    tiny.phrase(1, 0)["annotation_id"] = "4242"
    tiny.phrase(1, 1)["end_idx"] = 99
    tiny.phrase(2, 0)["annotation_id"] = CROWD
    tiny.files["referring_val2017.json"]["annotations"][0]["segment_id"] = 4243
    tiny.files["captions_val2017.json"]["annotations"][0]["image_id"] = 77
    tiny.files["instances_val2017.json"]["categories"] = [{"id": 18, "name": "cat"}]
    tiny.write()
    report = check_folder(tiny.root)
    assert report.has_errors
    assert report.counts == {
        "unreadable file": 2,
        "wrong size": 1,
        "PNG id not in segments_info": 1,
        "segment without pixels": 1,
        "file without annotation": 1,
        "wrong area": 1,
        "wrong box": 1,
        "unknown annotation id": 2,
        "span outside its sentence": 1,
        "crowd annotation id": 1,
        "caption of unknown image": 1,
        "image without caption": 1,
        "categories differ": 1,
    }
    assert report.errors == 9 and report.warnings == 6


def test_an_issue_names_file_item_and_fix(tiny):
    tiny.phrase()["annotation_id"] = "4242"
    assert found(tiny)["unknown annotation id"] == (
        "entity_val2017.json, sentence 10 of image 1, phrase 1: 4242 is not a segment of the image. "
        "Correct the annotation id, or take the phrase out."
    )


def test_references_of_another_category_are_doubtful(tiny):
    tiny.phrase()["reference"]["annotation_id"] = 7
    assert "the reference is a sky" in found(tiny)["reference of another category"]


def test_the_entity_file_of_another_split_is_one_error(tiny):
    for entry in tiny.files["entity_val2017.json"]["annotations"]:
        entry["image_id"] += 100
    report = check_folder(tiny.write())
    assert report.counts["entity file of another split"] == 1 and report.errors == 1


def test_missing_pictures_and_files_are_told(tiny):
    shutil.rmtree(tiny.root / "panoptic_val2017")
    (tiny.root / "annotations" / "captions_val2017.json").unlink()
    del tiny.files["captions_val2017.json"]
    issues = found(tiny)
    assert "panoptic PNGs of val2017 not found. Put the folder" in issues["unreadable file"]
    assert "no captions" in issues


def test_small_images_are_told(tiny):
    tiny.files["panoptic_val2017.json"]["images"][0]["height"] = 30
    assert "64 x 30 pixels are smaller" in found(tiny)["small image"]


def test_a_split_that_is_not_there_is_an_error(tiny):
    report = check_folder(tiny.root, "val2018")
    assert report.counts == {"unreadable file": 1} and "panoptic_val2018.json" in str(report.issues[0])


def test_a_folder_without_any_split_is_refused(tmp_path):
    (tmp_path / "annotations").mkdir()
    with pytest.raises(FindError, match="no panoptic_SPLIT"):
        check_folder(tmp_path)
    with pytest.raises(FindError, match="no such folder"):
        check_folder(tmp_path / "nowhere")


def test_json_and_text_say_the_same(tiny):
    tiny.phrase()["annotation_id"] = "4242"
    report = check_folder(tiny.write())
    data = json.loads(json.dumps(report.to_json()))
    assert data["errors"] == 1 and data["warnings"] == 1
    assert data["counts"] == {"unknown annotation id": 1, "image without caption": 1}
    assert data["issues"][1]["file"] == "entity_val2017.json" and data["issues"][1]["severity"] == "error"
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(report.render())
    for text in (report.to_text(), console.export_text()):
        assert "4242 is not a segment" in text and "1 errors, 1 warnings" in text


@pytest.mark.parametrize(
    ("expected", "words"), [(6, "before its EXIF orientation turns it"), (1, "Put the original file")]
)
def test_a_size_of_the_photo_as_it_is_stored_is_told(expected, words, tiny):
    path = tiny.root / "val2017" / "000000000002.jpg"
    pixels, exif = read_image(path), Image.Exif()
    exif[0x0112] = expected
    # Read, it lies on its side: turned by its EXIF, or stored so.
    sideways = pixels if expected == 6 else np.ascontiguousarray(pixels.swapaxes(0, 1))
    Image.fromarray(sideways).save(path, exif=exif)
    (problem,) = [str(one) for one in check_folder(tiny.root).issues if one.kind == "wrong size"]
    assert words in problem
    with pytest.raises(FindError, match=words):
        CocoFolder(tiny.root, "val2017").image(2)
