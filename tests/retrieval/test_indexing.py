"""Claims about indexing: an album becomes what its folder is, whatever happens on the way."""

import datetime
import os
import shutil
import time
import zlib

import numpy as np
import pytest
import torch
from colors import ColorModel, paint
from filelock import FileLock
from PIL import Image

from find.errors import FindError
from find.query.query import Phrase
from find.retrieval import photos as indexed_photos
from find.retrieval.album import Album
from find.retrieval.indexing import IndexSettings, index
from find.retrieval.photos import PhotoFile, find_files, read_ahead, read_photo
from find.retrieval.video import read_frame, read_video
from find.retrieval.writing import LOCK
from find.utils.memory import FittingBatches, SmallerBatches

SOON = IndexSettings(batch_size=2, workers=2, commit_seconds=0)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for number, (left, right) in enumerate([("red", "green"), ("green", "blue"), ("red", "blue"), ("grey", "grey")]):
        paint(folder / ("deep" if number > 2 else ".") / f"{number}.png", left, right)
    return folder


def _index(photos, album, model=None, settings=SOON):
    return index(model or ColorModel(), photos, album, settings=settings, progress=False)


def _paths(album):
    return sorted(Album.open(album).to_arrow(["path"])["path"].to_pylist())


def test_again_it_adds_updates_and_drops(photos, tmp_path):
    album = tmp_path / "my.album"
    report = _index(photos, album)
    assert (report.added, report.rows, str(report)) == (4, 4, "4 images (4 added, 0 skipped)")
    model = ColorModel()
    report = _index(photos, album, model)
    assert (report.added, report.unchanged, model.embedded) == (0, 4, 0)
    paint(photos / "new.png", "blue", "blue")
    paint(photos / "0.png", "grey", "blue", size=(20, 12))
    (photos / "1.png").unlink()
    report = _index(photos, album, model)
    assert (report.added, report.updated, report.removed, report.unchanged, report.rows) == (1, 1, 1, 2, 4)
    assert model.embedded == 2
    assert _paths(album) == ["0.png", "2.png", "deep/3.png", "new.png"]
    row = Album.open(album).to_arrow(["path", "width"]).to_pylist()
    assert {"path": "0.png", "width": 20} in row


def test_a_part_of_the_folder_or_single_files_leave_the_rest_alone(photos, tmp_path):
    album = tmp_path / "my.album"
    _index(photos, album)
    (photos / "1.png").unlink()
    shutil.move(photos / "deep/3.png", photos / "deep/4.png")
    report = _index(photos / "deep", album)
    assert (report.added, report.removed) == (1, 1)
    assert _paths(album) == ["0.png", "1.png", "2.png", "deep/4.png"]
    paint(photos / "0.png", "blue", "blue", size=(10, 10))
    report = _index([photos / "0.png", photos / "2.png"], album)
    assert (report.updated, report.unchanged, report.removed) == (1, 1, 0)


def test_a_file_that_is_named_twice_is_one_image(photos, tmp_path):
    report = _index([photos / "0.png", photos / "1.png", photos / "0.png"], tmp_path / "my.album")
    assert (report.added, report.rows) == (2, 2)


def test_a_folder_that_cannot_be_listed_is_told_and_keeps_its_images(photos, tmp_path, monkeypatch):
    album = tmp_path / "my.album"
    _index(photos, album)
    (photos / "0.png").unlink()
    scan = os.scandir

    def refused(folder):  # as for a user without permission, which a superuser cannot be
        if os.path.basename(folder) == "deep":
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refused)
    report = _index(photos, album)
    assert [(skipped.path.name, skipped.reason) for skipped in report.skipped] == [
        ("deep", "this folder cannot be listed (Permission denied)")
    ]
    assert report.removed == 1 and _paths(album) == ["1.png", "2.png", "deep/3.png"]
    with pytest.raises(FindError, match="deep: this folder cannot be listed"):
        _index(photos / "deep", album)


def test_few_large_images_are_read_ahead(photos, monkeypatch):
    files, read = find_files(photos).files * 10, []
    monkeypatch.setattr(indexed_photos, "read_photo", lambda file: read.append(file) or read_photo(file))
    monkeypatch.setattr(indexed_photos, "BATCH_PIXELS", 2 * 48)
    batches = read_ahead(files, batch_size=32, workers=1)
    assert len(next(batches)) == 2
    time.sleep(0.2)  # what threads do meanwhile
    assert len(read) <= 6
    assert sum(map(len, batches)) == 38 and len(read) == 40


def test_settings_of_no_use_are_refused_early(photos, tmp_path):
    for name in ("batch_size", "workers", "objects", "dim", "frame_seconds"):
        with pytest.raises(FindError, match=f"{name} is 0"):
            IndexSettings(**{name: 0})
    model = ColorModel()
    with pytest.raises(FindError, match="have 3 values; dim=9"):
        _index(photos, tmp_path / "my.album", model, IndexSettings(batch_size=2, dim=9))
    assert model.embedded == 2 and not (tmp_path / "my.album").exists()


def test_another_folder_is_refused_and_a_moved_one_is_found_again(photos, tmp_path):
    album = tmp_path / "my.album"
    _index(photos, album)
    other = paint(tmp_path / "other/x.png", "red", "red").parent
    with pytest.raises(FindError, match=r"other: this lies outside of .*photos, the album's folder"):
        _index(other, album)
    photos.rename(tmp_path / "renamed")
    model = ColorModel()
    report = _index(tmp_path / "renamed", album, model)
    assert (report.unchanged, model.embedded) == (4, 0)
    assert Album.open(album).root == (tmp_path / "renamed").resolve()


def test_files_that_cannot_be_used_are_listed_and_a_changed_one_is_dropped(photos, tmp_path):
    album = tmp_path / "my.album"
    _index(photos, album)
    (photos / "0.png").write_bytes(b"\x89PNG no more")
    paint(photos / "tiny.png", "red", "red", size=(2, 2))
    report = _index(photos, album)
    reasons = {skipped.path.name: skipped.reason for skipped in report.skipped}
    assert reasons["tiny.png"] == "an image is smaller than 4 pixels"
    assert "not an image" in reasons["0.png"]
    assert (report.removed, report.rows) == (1, 3)


@pytest.mark.parametrize("content", ["nothing", "empty", "only broken"])
def test_nothing_to_index_is_an_error_and_leaves_no_album(tmp_path, content):
    folder = tmp_path / "photos"
    if content != "nothing":
        folder.mkdir()
    if content == "only broken":
        (folder / "x.jpg").write_bytes(b"broken")
    with pytest.raises(FindError, match="photos"):
        _index(folder, tmp_path / "my.album")
    assert not (tmp_path / "my.album").exists()


def test_a_folder_of_other_things_is_no_place_for_an_album(photos):
    with pytest.raises(FindError, match="holds other files"):
        _index(photos, photos)
    assert not list(photos.glob("*.lance"))


def test_only_one_run_writes_at_a_time(photos, tmp_path):
    album = tmp_path / "my.album"
    _index(photos, album)
    with FileLock(album / LOCK), pytest.raises(FindError, match="another run is writing"):
        _index(photos, album)
    _index(photos, album)


def test_an_album_opened_while_it_is_indexed_shows_what_is_committed_and_stays_as_it_was(photos, tmp_path):
    album = tmp_path / "my.album"
    seen = []

    class Watched(ColorModel):
        def embed_images(self, images):
            if album.is_dir() and (album / "images.lance").is_dir():
                seen.append(Album.open(album, ColorModel()))
            return super().embed_images(images)

    _index(photos, album, Watched())
    assert [len(opened) for opened in seen] == [2]
    assert len(seen[0].search(Phrase("red"))) == 2
    (photos / "0.png").unlink()
    _index(photos, album)
    assert len(seen[0].search(Phrase("red"), k=9)) == 2
    assert len(Album.open(album, ColorModel()).search(Phrase("red"), k=9)) == 3


def test_interrupted_it_goes_on(photos, tmp_path):
    class Tired(ColorModel):
        def embed_images(self, images):
            if self.embedded >= 2:
                raise KeyboardInterrupt
            return super().embed_images(images)

    with pytest.raises(KeyboardInterrupt):
        _index(photos, tmp_path / "my.album", Tired())
    model = ColorModel()
    report = _index(photos, tmp_path / "my.album", model)
    assert (report.unchanged, report.added, model.embedded, report.rows) == (2, 2, 2, 4)


@pytest.mark.parametrize("damage", ["no manifest", "cut manifest", "cut data", "no data"])
def test_a_damaged_album_is_told_or_made_anew(photos, tmp_path, damage):
    album = tmp_path / "my.album"
    _index(photos, album)
    manifests = sorted((album / "images.lance/_versions").iterdir())
    data = sorted((album / "images.lance/data").iterdir())
    if damage == "no manifest":  # as if it was killed before the first commit
        for manifest in manifests:
            manifest.unlink()
        with pytest.raises(FindError, match="no such album"):
            Album.open(album, ColorModel())
        assert _index(photos, album).rows == 4
        return
    for file in data if "data" in damage else manifests:
        file.unlink() if damage.startswith("no") else os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(FindError, match=r"my\.album"):
        Album.open(album, ColorModel()).search(Phrase("red"))


def test_a_full_disk_is_told_and_what_was_written_is_kept(photos, tmp_path):
    resource = pytest.importorskip("resource")
    album = tmp_path / "my.album"
    _index(photos, album)
    for number in range(100):
        paint(photos / f"more{number}.png", "red", "blue")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))  # no file may grow beyond that
    try:
        with pytest.raises(FindError, match=r"could not be written .* resumes from there"):
            _index(photos, album, settings=IndexSettings(commit_seconds=60))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(_paths(album)) == 4
    assert _index(photos, album).rows == 104


def test_hostile_images_are_named_and_the_others_are_right(photos, tmp_path):
    shutil.rmtree(photos)
    red = Image.new("RGB", (8, 6), (255, 0, 0))
    photos.mkdir()
    red.save(photos / "wrong extension.jpg", "PNG")
    red.convert("CMYK").save(photos / "cmyk.jpg", quality=100)
    red.convert("P").save(photos / "palette.png")
    red.save(photos / "animated.gif", save_all=True, append_images=[Image.new("RGB", (8, 6), (0, 0, 255))])
    Image.fromarray(np.full((6, 8), 65535, np.uint16)).save(photos / "sixteen bits.png")
    exif = Image.Exif()
    exif[0x0112], exif[0x9003] = 6, "2024:05:04 03:02:01"
    exif.get_ifd(0x8769)[0x9003] = "2023:05:04 03:02:01"
    turned = Image.new("RGB", (32, 16), (255, 0, 0))
    turned.paste((0, 0, 255), (16, 0, 32, 16))  # upright: red above, blue below
    turned.save(photos / "turned.jpg", exif=exif, quality=100)
    bomb = (photos / "palette.png").read_bytes()
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + bomb[24:29]
    (photos / "bomb.png").write_bytes(bomb[:12] + header + zlib.crc32(header).to_bytes(4, "big") + bomb[33:])
    (photos / "cut.jpg").write_bytes((photos / "turned.jpg").read_bytes()[:-300])
    (photos / "empty.png").touch()
    (photos / "text.png").write_text("hello")
    os.symlink(photos / "nowhere", photos / "dangling.png")
    report = _index(photos, tmp_path / "my.album")
    reasons = {skipped.path.name: skipped.reason for skipped in report.skipped}
    assert reasons.keys() == {"bomb.png", "cut.jpg", "dangling.png", "empty.png", "text.png"}
    assert reasons["dangling.png"] == "a link to a file that is gone"
    assert "more than 179 million pixels" in reasons["bomb.png"]
    assert "truncated" in reasons["cut.jpg"].lower()
    album = Album.open(tmp_path / "my.album", ColorModel())
    hits = {hit.name: hit for hit in album.search(Phrase("red"), k=99)}
    for name in ("wrong extension.jpg", "cmyk.jpg", "palette.png", "animated.gif"):
        assert hits[name].entity_terms[0] == pytest.approx(1, abs=0.02)
    assert hits["sixteen bits.png"].entity_terms[0] == pytest.approx(3**-0.5, abs=0.01)
    upright = hits["turned.jpg"]
    assert (upright.height, upright.width) == (32, 16)
    assert upright.time == datetime.datetime(2023, 5, 4, 3, 2, 1)
    assert upright.entity_terms[0] == pytest.approx(0.5**0.5, abs=0.05)  # both halves are red and blue


def test_names_of_all_kinds_are_found_again(photos, tmp_path):
    names = ["it's.png", "100%_a.png", "späß 日本.png", "a;b--c.png", "x" * 200 + ".png", "new\nline.png"]
    for name in names:
        paint(photos / name, "blue", "blue")
    _index(photos, tmp_path / "my.album")
    album = Album.open(tmp_path / "my.album", ColorModel())
    for name in names:
        (hit,) = album.search(Phrase("blue"), where="path = :name", values={"name": name})
        assert hit.path.is_file() and hit.name == name
    (photos / names[0]).unlink()
    assert _index(photos, tmp_path / "my.album").removed == 1


def test_names_that_are_no_text_are_skipped(photos, tmp_path):
    try:
        shutil.copy(photos / "0.png", os.fsencode(photos) + b"/\xff.png")
    except OSError:
        pytest.skip("this file system has only names that are text")
    report = _index(photos, tmp_path / "my.album")
    assert [skipped.reason for skipped in report.skipped] == ["its name is not valid Unicode; rename it"]


@pytest.mark.parametrize("with_sound_only", [False, True])
def test_frames_of_a_video_are_images_with_a_time(photos, tmp_path, with_sound_only):
    av = pytest.importorskip("av")
    with av.open(str(photos / "film.mp4"), "w") as film:
        if with_sound_only:
            stream = film.add_stream("aac", rate=8000)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.rate = 8000
            film.mux(stream.encode(sound))
        else:
            stream = film.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(25):
                pixels = np.zeros((48, 64, 3), np.uint8)
                pixels[..., 0 if number < 10 else 2] = 255
                film.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        film.mux(stream.encode())
    report = _index(photos, tmp_path / "my.album")
    if with_sound_only:
        assert "only sound" in report.skipped[0].reason
        return
    assert (report.added, report.rows) == (5, 7)
    album = Album.open(tmp_path / "my.album", ColorModel())
    blue = album.search(Phrase("blue"), where="seconds >= 0", k=2)
    assert [(hit.name, hit.frame, hit.seconds) for hit in blue] == [("film.mp4", 10, 1.0), ("film.mp4", 20, 2.0)]
    assert blue[0].pixels()[0, 0].tolist() == pytest.approx([0, 0, 255], abs=12)
    assert "film.mp4 at 1.0 s" in blue[0].explain()
    model = ColorModel()
    assert _index(photos, tmp_path / "my.album", model).unchanged == 5 and model.embedded == 0
    for picture in read_video(
        PhotoFile.at(photos / "film.mp4", photos), every=0.3
    ):  # sought by time, not decoded up to
        found = read_frame(photos / "film.mp4", picture.photo.frame, picture.photo.seconds)
        assert np.array_equal(found, picture.pixels)
    with pytest.raises(FindError, match="no frame 25 any more"):
        read_frame(photos / "film.mp4", 25, 2.5)
    os.utime(photos / "film.mp4")
    slower = IndexSettings(frame_seconds=2)
    assert _index(photos, tmp_path / "my.album", model, slower).rows == 6


class Crowded(ColorModel):
    """Its device holds no more than so many images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.batches, self.most = FittingBatches(100), most

    def embed_images(self, images):
        def embed(part):
            if len(part) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return super(Crowded, self).embed_images(part)

        self.batches.each(embed, images)
        return super().embed_images(images)


def test_a_full_memory_is_told_as_what_it_is(photos, tmp_path):
    """Also where the model does not halve its batches by itself; nothing is skipped for it."""
    album = tmp_path / "my.album"
    with pytest.warns(SmallerBatches):
        assert str(_index(photos, album, Crowded(1))) == "4 images (4 added, 0 skipped)"
    paint(photos / "new.png", "blue", "blue")
    with pytest.raises(
        FindError, match=r"my\.album: out of memory, even with one .*, the same command resumes"
    ) as expected:
        _index(photos, album, Crowded(0))
    assert "could not be written" not in str(expected.value) and len(_paths(album)) == 4

    class Plain(ColorModel):
        def embed_images(self, images):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(FindError, match=r"my\.album: out of memory \(CUDA out of memory. Tried"):
        _index(photos, album, Plain())
