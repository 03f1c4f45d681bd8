"""What of a folder is indexed: all that is a picture or a video by its content. Other media are named with a reason,
everything else is counted."""

import os
import struct
from pathlib import Path

import pytest
from colors import ColorModel
from PIL import Image, features

from find.errors import FindError
from find.retrieval.indexing import index
from find.retrieval.photos import PhotoFile, find_files
from find.world import generate_world

RED = Image.new("RGB", (32, 16), (255, 0, 0))
APPLE_DOUBLE = b"\0\x05\x16\x07\0\2\0\0Mac OS X        "


@pytest.fixture
def folder(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, format in {
        "a.jpg": "JPEG", "b.jfif": "JPEG", "c": "PNG", "d.txt": "WEBP", "e.jp2": "JPEG2000", "f.ico": "ICO",
        "g.TIFF": "TIFF", "h.jpg": "GIF", "i.tga": "TGA",
    }.items():  # fmt: skip
        RED.save(photos / name, format)
    if features.check("avif"):
        RED.save(photos / "j.avif")
    return photos


def test_everything_that_pillow_opens_is_in_and_the_rest_is_named_or_counted(folder, tmp_path):
    pictures = sorted(path.name for path in folder.iterdir())
    named = {
        "._a.jpg": (APPLE_DOUBLE, "AppleDouble"),
        ".IMG_7.HEIC.icloud": (b"bplist00", "download it"),
        "IMG_1.CR2": (b"II*\0\x10\0\0\0CR\2\0", "raw"),
        "drawing.svg": (b"<svg/>", "SVG"),
        "scan.pdf": (b"%PDF-1.4", "PDF"),
        "page.jpg": (b"<html>404</html>", "it is text and begins '<html>404</html>'"),
        "nothing.png": (b"", "empty"),
        "cut.jpg": ((folder / "a.jpg").read_bytes()[:-20], "runcated"),
        "broken.png": (b"\x89PNG\r\n\x1a\n" + bytes(9), "not an image that can be read"),
        "broken.mp4": (b"\0\0\0\x20ftypisom" + bytes(40), "video"),
    }
    for name, (data, _) in named.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    os.symlink(folder / "nowhere", folder / "dangling.jpg")
    for name in ("notes.md", "list.csv", "song.mp3", "copy.zip"):
        (folder / name).write_bytes(b"ID3" if name == "song.mp3" else b"text")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    RED.save(folder / ".hidden.jpg")
    for name in (".thumbnails", "__MACOSX"):
        (folder / name).mkdir()
        RED.save(folder / name / "a.jpg")

    report = index(ColorModel(), folder, tmp_path / "my.album", progress=False)
    reasons = {skipped.path.relative_to(folder).as_posix(): skipped.reason for skipped in report.skipped}
    assert reasons.keys() == {*named, "dangling.jpg"}
    for name, (_, words) in named.items():
        assert words in reasons[name] and "\n" not in reasons[name]
    assert (report.added, report.rows) == (len(pictures), len(pictures))
    assert (report.others, report.hidden) == (4, 4)
    assert str(report).endswith(f"{len(named) + 1} skipped); left alone: 4 other files, 4 hidden")
    assert [file.path for file in find_files(folder).files if not file.is_video] == sorted(
        [*pictures, "broken.png", "cut.jpg"]
    )
    again = index(ColorModel(), folder, tmp_path / "my.album", progress=False)
    assert (again.unchanged, len(again.skipped), again.others) == (len(pictures), len(named) + 1, 4)


def test_a_folder_of_nothing_to_index_says_what_is_there(tmp_path):
    (tmp_path / "IMG.CR2").write_bytes(b"II*\0\x10\0\0\0CR\2\0")
    with pytest.raises(FindError, match=r"IMG\.CR2: a camera's raw file; develop it"):
        find_files(tmp_path)
    (tmp_path / "a.svg").write_text("<svg/>")
    with pytest.raises(FindError, match="none of 2 files can be indexed"):
        find_files(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    for name in ("a.txt", "b.txt", ".c"):
        (empty / name).touch()
    with pytest.raises(FindError, match=r"no image or video in this folder \(2 other files, 1 hidden\)"):
        find_files(empty)


def test_a_photo_that_turns_into_something_else_leaves_the_album(folder, tmp_path):
    album = tmp_path / "my.album"
    rows = index(ColorModel(), folder, album, progress=False).rows
    (folder / "a.jpg").write_text("a note")
    (folder / "b.jfif").unlink()
    report = index(ColorModel(), folder, album, progress=False)
    assert (report.removed, report.rows) == (2, rows - 2)
    assert [skipped.path.name for skipped in report.skipped] == ["a.jpg"]


def test_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "pipe.jpg")
    (refused,) = find_files(folder).refused
    assert (refused.path.name, refused.reason) == ("pipe.jpg", "not a regular file")


def test_a_video_is_told_by_its_content(folder):
    (folder / "film").write_bytes(struct.pack(">I", 32) + b"ftypisom\0\0\2\0isomiso2avc1mp41")
    assert [file.path for file in find_files(folder).files if file.is_video] == ["film"]
    assert PhotoFile.at(folder / "film", folder).is_video and not PhotoFile.at(folder / "a.jpg", folder).is_video


def test_panoptic_maps_of_a_data_folder_are_no_photos(tmp_path):
    world = generate_world(tmp_path / "world", images=2, val_images=1, seed=0, progress=False)
    found = find_files(world)
    assert sorted({Path(file.path).parts[0] for file in found.files}) == ["train2017", "val2017"]
    maps = [file for file in world.rglob("*.png") if file.parent.name.startswith("panoptic_")]
    everything = [file for file in world.rglob("*") if file.is_file()]
    assert len(maps) == 3 == len(found.files) and found.others == len(everything) - 3
    assert len(find_files(world / "panoptic_val2017").files) == 1  # asked for by name
