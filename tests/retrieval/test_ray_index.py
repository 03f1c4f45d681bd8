"""Claims about indexing with Ray: the album is the one that the usual index makes."""

import os
import sys
from dataclasses import replace
from functools import partial

import colors
import pytest
from colors import ColorModel, paint

from find.errors import FindError
from find.query.query import Phrase, Query
from find.retrieval.album import Album
from find.retrieval.indexing import IndexSettings, index

os.environ.setdefault("RAY_agent_register_timeout_ms", "120000")  # the usual 30 s are too few on a busy machine
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
ray = pytest.importorskip("ray", reason="indexing on many machines needs: pip install 'findvl[ray]'")
pytest.importorskip("lance", reason="indexing on many machines needs: pip install 'findvl[ray]'")

SETTINGS = IndexSettings(batch_size=4, workers=1)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    try:
        ray.init(num_cpus=2, object_store_memory=100_000_000, include_dashboard=False, log_to_driver=False)
        for module in (colors, sys.modules[__name__]):  # which workers could not import
            ray.cloudpickle.register_pickle_by_value(module)
    except Exception as error:  # Ray raises this very type where a busy machine takes longer than its 30 seconds
        pytest.skip(f"no local Ray cluster could be started here ({error})")
    yield
    ray.shutdown()


@pytest.fixture
def photos(tmp_path):
    names = ["red", "green", "blue", "grey"]
    for number in range(14):
        paint(tmp_path / f"photos/{number % 3}/{number:02d}.png", names[number % 4], names[number % 3])
    (tmp_path / "photos/broken.jpg").write_bytes(b"no image")
    paint(tmp_path / "photos/small.png", "red", "red", size=(2, 2))  # which the model refuses
    return tmp_path / "photos"


def _index(photos, album, load=ColorModel, commit_images=100, settings=SETTINGS):
    from find.integrations.ray_index import Cluster, index_with_ray

    cluster = Cluster(actors=1, commit_images=commit_images)
    return index_with_ray(load, photos, album, settings=settings, cluster=cluster, progress=False)


def test_the_album_is_the_usual_one_row_for_row_in_one_commit(photos, tmp_path):
    report = _index(photos, tmp_path / "ray.album")
    usual = index(ColorModel(), photos, tmp_path / "usual.album", settings=SETTINGS, progress=False)
    assert (report.added, report.rows, len(report.skipped)) == (14, 14, 2)
    assert {skipped.path.name for skipped in report.skipped} == {skipped.path.name for skipped in usual.skipped}
    ours, theirs = Album.open(tmp_path / "ray.album", ColorModel()), Album.open(tmp_path / "usual.album", ColorModel())
    assert ours.to_arrow().equals(theirs.to_arrow())
    assert ours.stamp == theirs.stamp
    assert ours.table.version == 2  # the empty table, and all rows
    query = Query(Phrase("green"), " beside ", Phrase("blue"))
    assert [(hit.name, hit.score) for hit in ours.search(query)] == [
        (hit.name, hit.score) for hit in theirs.search(query)
    ]

    # Again: what is new by Ray, the rest as ever.
    paint(photos / "new.png", "blue", "red")
    paint(photos / "0/00.png", "blue", "blue", size=(12, 9))
    (photos / "1/01.png").unlink()
    report = _index(photos, tmp_path / "ray.album")
    assert (report.added, report.updated, report.removed, report.unchanged) == (1, 1, 1, 12)
    names = Album.open(tmp_path / "ray.album").to_arrow(["path"])["path"].to_pylist()
    assert len(names) == len(set(names)) == 14 and "new.png" in names and "1/01.png" not in names


def test_vectors_are_compressed_as_by_the_usual_index(photos, tmp_path):
    settings = replace(SETTINGS, vector_type="int8")
    _index(photos, tmp_path / "ray.album", settings=settings)
    index(ColorModel(), photos, tmp_path / "usual.album", settings=settings, progress=False)
    ours, theirs = Album.open(tmp_path / "ray.album"), Album.open(tmp_path / "usual.album")
    assert ours.stamp == theirs.stamp and ours.stamp.vector_type == "int8"
    assert ours.table.search().to_arrow().equals(theirs.table.search().to_arrow())  # the codes themselves


def test_commits_of_a_part_each_make_the_same_album(photos, tmp_path):
    report = _index(photos, tmp_path / "parts.album", commit_images=6)
    index(ColorModel(), photos, tmp_path / "usual.album", settings=SETTINGS, progress=False)
    ours, theirs = Album.open(tmp_path / "parts.album"), Album.open(tmp_path / "usual.album")
    assert report.added == 14 and ours.table.version == 4  # the empty table, and three parts of 16 files
    assert ours.to_arrow().equals(theirs.to_arrow())


def test_a_worker_with_other_weights_is_refused(photos, tmp_path):
    album = tmp_path / "other.album"
    with pytest.raises(FindError, match="this machine's weights are colours-2"):
        _index(photos, album, load=partial(_other_weights, str(tmp_path / "here")))
    assert len(Album.open(album)) == 0
    with pytest.raises(FindError, match="has dim=3, not 2"):
        _index(photos, album, settings=replace(SETTINGS, dim=2))


def test_on_object_storage_what_another_writer_commits_meanwhile_is_not_doubled(photos, storage, tmp_path):
    album, settings = "s3://pictures/ray.album", replace(SETTINGS, storage=storage)
    load = partial(_while_another_writes, str(tmp_path / "here"), str(photos), album, settings)
    report = _index(photos, album, load=load, settings=settings)
    paths = Album.open(album, storage=storage).to_arrow(["path"])["path"].to_pylist()
    assert len(paths) == len(set(paths)) == report.rows == 14


def _other_weights(marker):
    """Other weights for whoever comes second."""
    from pathlib import Path

    if Path(marker).exists():
        return ColorModel("colours-2")
    Path(marker).touch()
    return ColorModel("colours-1")


def _while_another_writes(marker, photos, album, settings):
    """The model; whoever comes second, a worker, has lost time in which the whole album was written."""
    from pathlib import Path

    if Path(marker).exists():
        index(ColorModel(), photos, album, settings=settings, progress=False)
    Path(marker).touch()
    return ColorModel()
