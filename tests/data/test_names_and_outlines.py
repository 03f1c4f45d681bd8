"""File names and masks as annotation tools write them mean what their authors meant, or are told."""

import shutil
import unicodedata
import zipfile

import numpy as np
import pytest
from PIL import Image
from tiny_folder import TinyFolder

from find.data.coco import CocoFolder
from find.data.names import map_path, meant_in_archive, meant_in_folder, plain_path
from find.data.outlines import NoMask, draw
from find.errors import FindError


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("000000000001.jpg", "000000000001.jpg"),
        ("images\\train\\a.jpg", "images/train/a.jpg"),
        ("C:\\photos\\a.jpg", "photos/a.jpg"),
        ("/data/photos/a.jpg", "data/photos/a.jpg"),
        ("../../photos/./a.jpg", "photos/a.jpg"),
        ("https://host.example/b/a.jpg?sig=x/y", "b/a.jpg"),
        ("c%20d+&'#1.jpg", "c%20d+&'#1.jpg"),
        ("..", ""),
        ("a\0b", ""),
    ],
)
def test_a_name_is_a_path_below_the_folder(name: str, path: str):
    assert plain_path(name) == path


def test_a_map_is_the_png_of_its_name():
    assert [map_path(name) for name in ("1.png", "1", "1.jpg", "a\\1.JPG", "frame.0001")] == [
        "1.png", "1.png", "1.png", "a/1.png", "frame.0001.png",
    ]  # fmt: skip


def test_no_name_takes_the_file_of_another():
    there = {"f.png", "camA/f.png", "only.png"}.__contains__
    listed = ["camA/f.png", "camB/f.png", "x/only.png"]
    assert meant_in_folder(listed, there).own == {"x/only.png": "only.png"}  # camB/f.png stays missing
    archive = meant_in_archive(["f.png", "b/g.png"], ["z/camA/f.png", "z/camB/f.png", "z\\b\\g.png"])
    assert archive.own == {"b/g.png": "z\\b\\g.png"} and set(archive.unclear) == {"f.png"}


def test_an_archive_of_windows_is_read_and_equal_names_in_its_folders_are_kept_apart(tiny: TinyFolder):
    panoptic = tiny.files["panoptic_val2017.json"]
    with zipfile.ZipFile(tiny.root / "val2017.zip", "w") as archive:
        for number, image in enumerate(panoptic["images"], start=1):
            file = tiny.root / "val2017" / image["file_name"]
            image["file_name"] = f"cam{number}/f.jpg"
            archive.writestr(zipfile.ZipInfo(f"val2017\\cam{number}\\f.jpg"), file.read_bytes())
            expected = np.asarray(Image.open(file))
            file.unlink()
    (tiny.root / "val2017").rmdir()
    folder = CocoFolder(tiny.write(), "val2017")
    assert abs(folder.image(3).astype(int) - expected).max() <= 2
    assert len({folder.image(id)[0, 0, 0] // 10 for id in (1, 2, 3)}) == 3


def test_two_images_of_one_file_are_refused(tiny: TinyFolder):
    tiny.files["panoptic_val2017.json"]["images"][1]["file_name"] = "000000000001.jpg"
    with pytest.raises(FindError, match=r"image 2: its image is 000000000001\.jpg, as that of image 1"):
        CocoFolder(tiny.write(), "val2017")


SQUARE = [10, 10, 30, 10, 30, 25, 10, 25]


@pytest.mark.parametrize(
    "same", [[SQUARE], SQUARE, [[[10, 10], [30, 10], [30, 25], [10, 25]]], [[10, 10], [30, 10], [30, 25], [10, 25]]]
)
def test_a_polygon_is_drawn_however_it_is_nested(same: list):
    assert draw(same, (40, 60)) == draw([SQUARE], (40, 60)) and draw(same, (40, 60)).pixels == 300


@pytest.mark.parametrize(
    "segmentation",
    [None, [], {}, [[]], [[30, 20, 60, 50]], [[100, 100, 120, 100, 120, 120]], [[5, 5, 9, 9, 7, 7]],
     {"size": [40, 60], "counts": [2400]}],
)  # fmt: skip
def test_what_covers_nothing_is_no_mask(segmentation: object):
    with pytest.raises(NoMask):
        draw(segmentation, (40, 60))


@pytest.mark.parametrize(
    "segmentation",
    [5, "a", [["a"] * 6], [[1, 2, 3, 4, 5, 6, 7]], [[float("nan")] * 6], [[0, 0, 1e12, 0, 9, 9]], [None], [[[[1, 2]]]],
     {"size": [60, 40], "counts": [2400]}, {"size": [40, 60], "counts": [2300]}, {"size": [40, 60], "counts": "Xo"},
     {"counts": [2400]}, {"size": [40, 60], "counts": [True, 2399]}, {"size": [40, 60], "counts": [-1, 2401]}],
)  # fmt: skip
def test_what_cannot_be_drawn_says_why(segmentation: object):
    with pytest.raises(ValueError, match=r"\w") as caught:
        draw(segmentation, (40, 60))
    assert not isinstance(caught.value, NoMask)


@pytest.mark.parametrize("there", ["000000000001.JPG", "0000e\u0301.jpg"])
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_a_file_whose_name_differs_in_case_or_composition_is_named(tiny: TinyFolder, there: str, packed: bool):
    wanted = unicodedata.normalize("NFC", there).replace("JPG", "jpg")
    tiny.files["panoptic_val2017.json"]["images"][0]["file_name"] = wanted
    pictures = tiny.write() / "val2017"
    (pictures / "000000000001.jpg").rename(pictures / there)
    if packed:
        shutil.make_archive(str(pictures), "zip", tiny.root, "val2017")
        shutil.rmtree(pictures)
    with pytest.raises(FindError, match=f"; {there} is there, which differs in its case or in how accents are written"):
        CocoFolder(tiny.root, "val2017")[0]


@pytest.mark.parametrize("data", [b"", b"GIF", b"\x89PNG\r\n\x1a\n"])
def test_a_broken_map_is_told_without_addresses_of_memory(tiny: TinyFolder, data: bytes):
    (tiny.root / "panoptic_val2017/000000000001.png").write_bytes(data)
    with pytest.raises(FindError, match="the PNG is broken or truncated") as reported:
        CocoFolder(tiny.root, "val2017").segment_map(1)
    assert "0x" not in str(reported.value)
