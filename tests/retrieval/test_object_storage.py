"""Claims about albums on object storage (an S3 server on loopback): the same as in a folder, also with two writers."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from colors import ColorModel, paint

from find.errors import FindError
from find.query.query import Phrase, Query
from find.retrieval.album import Album
from find.retrieval.indexing import IndexSettings, index

NAMES = ("red", "green", "blue", "grey")
QUERY = Query(Phrase("green"), " beside ", Phrase("blue"))


@pytest.fixture
def photos(tmp_path):
    _paint(tmp_path / "photos", range(14))
    return tmp_path / "photos"


def _paint(folder, numbers):
    for number in numbers:
        paint(folder / f"{number:02d}.png", NAMES[number % 4], NAMES[number % 3])


def _index(photos, album, storage):
    settings = IndexSettings(batch_size=4, workers=1, commit_seconds=0, storage=storage)
    return index(ColorModel(), photos, album, settings=settings, progress=False)


def test_the_album_is_the_one_of_a_folder(photos, storage, tmp_path):
    album = "s3://pictures/whole.album"
    _index(photos, album, storage)
    paint(photos / "00.png", "blue", "blue", size=(12, 9))
    paint(photos / "new.png", "blue", "red")
    (photos / "01.png").unlink()
    report = _index(photos, album, storage)
    assert (report.added, report.updated, report.removed, report.unchanged) == (1, 1, 1, 12)
    _index(photos, tmp_path / "my.album", None)
    there = Album.open(album, ColorModel(), storage=storage)
    here = Album.open(tmp_path / "my.album", ColorModel())
    assert there.root == here.root == photos
    assert there.to_arrow().sort_by("path").equals(here.to_arrow().sort_by("path"))
    found = [(hit.name, round(hit.score, 5)) for hit in there.search(QUERY, 20)]
    assert sorted(found) == sorted((hit.name, round(hit.score, 5)) for hit in here.search(QUERY, 20))
    stages = Album.open(album, ColorModel(), storage=storage, exact_rows=1)
    assert [hit.score for hit in stages.search(QUERY)] == [hit.score for hit in there.search(QUERY)]
    assert there.latest() is there
    assert max(there.search(QUERY, 1)[0].draw().size) == 480


def test_two_writers_at_once_double_nothing(photos, storage):
    album = "s3://pictures/two.album"
    _index(photos, album, storage)
    _paint(photos, range(14, 60))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: _index(photos, album, storage), range(2)))
    paths = Album.open(album, storage=storage).to_arrow(["path"])["path"].to_pylist()
    assert sorted(paths) == [f"{number:02d}.png" for number in range(60)]


def test_an_album_that_another_writer_begins_meanwhile_is_gone_on_with(photos, storage):
    album, settings = "s3://pictures/begun.album", IndexSettings(batch_size=4, workers=1, storage=storage)

    class Slow(ColorModel):
        """Embeds its first pictures while another writer makes the album."""

        def embed_images(self, images):
            if not self.embedded:
                _index(photos, album, storage)
            return super().embed_images(images)

    report = index(Slow(), photos, album, settings=settings, progress=False)
    assert report.rows == 14
    paths = Album.open(album, storage=storage).to_arrow(["path"])["path"].to_pylist()
    assert sorted(paths) == [f"{number:02d}.png" for number in range(14)]

    album = "s3://pictures/other.album"
    settings = replace(settings, dim=2)  # which the other writer's has not
    with pytest.raises(FindError, match="has dim=3, not 2"):
        index(Slow(), photos, album, settings=settings, progress=False)


def test_what_is_wrong_is_told(photos, storage):
    with pytest.raises(FindError, match="no such album"):
        Album.open("s3://pictures/nothing.album", storage=storage)
    with pytest.raises(FindError, match=r"nowhere\.album: .*bucket does not exist"):
        Album.open("s3://nowhere/nowhere.album", storage=storage)
    denied = replace(
        IndexSettings(), storage=storage | {"aws_endpoint": "http://127.0.0.1:9", "client_max_retries": "0"}
    )
    with pytest.raises(FindError, match=r"closed\.album: this storage cannot be reached"):
        index(ColorModel(), photos, "s3://pictures/closed.album", settings=denied, progress=False)
