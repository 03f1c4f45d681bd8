"""Claims about an album in Qdrant: its points are the album's rows, its score is ours."""

import numpy as np
import pytest
from colors import ColorModel, paint

from find.cli.main import main
from find.errors import FindError
from find.query.query import Phrase, Query
from find.retrieval.album import Album
from find.retrieval.vectors import QueryVectors

qdrant_client = pytest.importorskip("qdrant_client", reason="Qdrant needs: pip install 'findvl[qdrant]'")


@pytest.fixture
def album(tmp_path):
    colors = ["red", "green", "blue", "grey"]
    for one in colors:
        for other in colors:
            paint(tmp_path / f"photos/{one}/{other}.png", one, other)
    return Album.build(ColorModel(), tmp_path / "photos", tmp_path / "my.album", progress=False)


@pytest.fixture
def client():
    return qdrant_client.QdrantClient(":memory:")


@pytest.mark.parametrize(
    "query",
    [
        Query(Phrase("green"), " beside ", Phrase("blue")),
        Query("the red ", Phrase("grey")),
        Query("only red and blue words"),
        Query(Phrase("green")),
    ],
)
def test_search_there_finds_what_the_album_finds(album, client, query):
    from find.integrations.qdrant import export, search

    assert export(album, client, "photos") == 16
    found = search(client, "photos", QueryVectors.embed(album.model, [query], album.stamp.dim), 16)
    expected = {hit.name: hit.score for hit in album.search(query, 16)}
    assert {point.payload["path"]: point.score for point in found} == pytest.approx(expected, abs=2e-3)
    scores = [point.score for point in found]
    assert scores == sorted(scores, reverse=True)


def test_points_hold_what_the_table_holds(album, client):
    from find.integrations.qdrant import export

    export(album, client, "photos")
    points = {p.payload["path"]: p for p in client.scroll("photos", limit=99, with_vectors=True)[0]}
    for row in album.to_arrow().to_pylist():
        point = points[row["path"]]
        assert np.allclose(point.vector["image"], np.array(row["image"], float), atol=1e-3)
        assert np.allclose(point.vector["objects"], np.array(row["objects"], float), atol=1e-3)
        assert point.payload["boxes"] == row["boxes"] and point.payload["width"] == row["width"]
        assert point.payload["fingerprint"] == album.stamp.fingerprint


def test_a_collection_is_not_overwritten_unasked(album, client):
    from find.integrations.qdrant import export

    export(album, client, "photos")
    with pytest.raises(FindError, match="has a collection 'photos' already"):
        export(album, client, "photos")
    assert export(album, client, "photos", replace=True) == 16
    assert client.count("photos").count == 16


@pytest.mark.parametrize(
    "url", [":memory:", "some/folder", "localhost:6333", "http://", "http://host:port", "ftp://host"]
)
def test_only_a_server_is_exported_to(album, url, capsys):
    assert main(["export", "qdrant", album.name, url]) == 2
    error = capsys.readouterr().err
    assert f"{url!r} is not the address of a Qdrant server" in error and error.count("\n") == 1
