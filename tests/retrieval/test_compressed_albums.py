"""Claims about albums whose vectors are compressed: they answer as those of half precision do, everywhere."""

import json

import numpy as np
import pytest
import torch
from colors import ColorModel, paint

from find.cli.main import main
from find.errors import FindError
from find.query.query import Phrase, Query
from find.retrieval.album import Album
from find.retrieval.candidates import update_sketch
from find.retrieval.exemplars import more_like
from find.retrieval.indexing import IndexSettings
from find.retrieval.table import album_schema, read_stamp
from find.retrieval.vector_types import encode

WIDE = torch.linalg.qr(torch.randn(64, 3, generator=torch.Generator().manual_seed(0))).Q.T


class WideColors(ColorModel):
    """The model of colours with 64 values a vector: the three of a colour in a random direction each."""

    def embed_images(self, images):
        found = super().embed_images(images)
        return type(found)(found.image @ WIDE, found.objects @ WIDE, found.scores, found.masks, found.frames)

    def embed_queries(self, queries):
        found = super().embed_queries(queries)
        return type(found)(found.query @ WIDE, found.entities @ WIDE, found.padding, found.unknown_words)


@pytest.fixture
def photos(tmp_path):
    colors = ["red", "green", "blue"]
    for one in colors:
        for other in colors:
            paint(tmp_path / f"photos/{one}-{other}.png", one, other)
    return tmp_path / "photos"


def _album(photos, path, kind, **settings):
    settings = IndexSettings(vector_type=kind, **settings)
    return Album.build(WideColors(), photos, path, settings=settings, progress=False)


QUERIES = [
    Query(Phrase("green"), " beside ", Phrase("blue")),
    Query(Phrase("red")),
    Query("only blue words"),
    Phrase("red") & Phrase("blue"),
    Phrase("red") - Phrase("green"),
]
TOLERANCE = {"int8": 0.01, "int4": 0.05, "int2": 0.15, "binary": 0.35}


@pytest.mark.parametrize("kind", ["int8", "int4", "int2", "binary"])
@pytest.mark.parametrize("exact_rows", [100, 0])
def test_searches_find_what_they_find_in_half_precision(kind, exact_rows, photos, tmp_path):
    exact = _album(photos, tmp_path / "exact.album", None)
    _album(photos, tmp_path / "small.album", kind)
    small = Album.open(tmp_path / "small.album", WideColors(), exact_rows=exact_rows)
    assert (exact.stamp.vector_type, small.stamp.vector_type) == ("float16", kind)
    for query in QUERIES:
        wanted = {hit.name: hit for hit in exact.search(query, 9)}
        found = small.search(query, 9)
        assert wanted[found[0].name].score == pytest.approx(max(hit.score for hit in wanted.values()), abs=1e-3)
        for hit in found:
            assert hit.score == pytest.approx(wanted[hit.name].score, abs=2 * TOLERANCE[kind])
    hit = small.search(QUERIES[0], 1)[0]
    assert "with object 0, at the left" in hit.explain()
    assert hit.found.vectors.dtype == np.float16 and hit.found.vectors.shape == (2, 64)
    assert np.linalg.norm(hit.found.vectors.astype(float), axis=1) == pytest.approx(1, abs=1e-2)
    assert "blue" in small.more_like(hit, 1, k=1)[0].name
    assert "blue" in more_like(small, photos / "blue-blue.png", 1)[0].name
    assert [hit.name for hit in small.search(QUERIES[0], where="path LIKE 'red-b%'")] == ["red-blue.png"]
    assert small.search(QUERIES[0], 1, dim=32)[0].name in ("green-blue.png", "blue-green.png")


@pytest.mark.parametrize("kind", ["int8", "int4", "int2", "binary"])
def test_rows_come_out_in_half_precision(kind, photos, tmp_path):
    exact = _album(photos, tmp_path / "exact.album", "float16").to_arrow()
    album = _album(photos, tmp_path / "small.album", kind)
    rows = album.to_arrow()
    assert [field.type for field in rows.schema] == [field.type for field in exact.schema]
    vectors, wanted = (np.array(table["image"].to_pylist(), float) for table in (rows, exact))
    assert np.abs(1 - (vectors * wanted).sum(1)).max() < TOLERANCE[kind]
    assert rows.drop(["image", "objects"]).equals(exact.drop(["image", "objects"]))
    assert album.sample(2)[0].found.vectors.shape == album.image("red-red.png").found.vectors.shape == (2, 64)


@pytest.mark.parametrize("kind", ["float16", "int8", "int4", "int2", "binary"])
def test_an_album_keeps_its_type_and_another_one_is_refused(kind, photos, tmp_path):
    _album(photos, tmp_path / "my.album", kind)
    paint(photos / "new.png", "blue", "red")
    paint(photos / "red-red.png", "grey", "red")
    album = _album(photos, tmp_path / "my.album", None)
    assert (album.report.added, album.report.updated, album.stamp.vector_type) == (1, 1, kind)
    assert album.search(Query(Phrase("blue"), " by ", Phrase("red")), 1)[0].score > 1
    album = _album(photos, tmp_path / "my.album", kind)
    assert album.report.unchanged == 10
    other = "int8" if kind == "float16" else "float16"
    with pytest.raises(FindError, match=rf"has vector_type={kind}, not {other}; make another album"):
        _album(photos, tmp_path / "my.album", other)


def test_an_album_that_tells_no_type_has_half_precision(photos, tmp_path):
    """As all of earlier versions."""
    stamp = _album(photos, tmp_path / "my.album", None).stamp
    schema = album_schema(stamp, "photos")
    expected = json.loads(schema.metadata[b"find"])
    assert expected.pop("vector_type") == "float16"
    assert read_stamp(schema.with_metadata({b"find": json.dumps(expected).encode()}), "my.album") == stamp
    expected["vector_type"] = "int8"
    with pytest.raises(FindError, match="its column image has type"):
        read_stamp(schema.with_metadata({b"find": json.dumps(expected).encode()}), "my.album")


def test_bits_of_a_number_of_values_that_fill_no_bytes_are_refused(photos, tmp_path):
    with pytest.raises(FindError, match="multiple of 8 values, not 3"):
        Album.build(
            ColorModel(), photos, tmp_path / "x.album", settings=IndexSettings(vector_type="binary"), progress=False
        )
    assert not (tmp_path / "x.album").exists()
    assert _album(photos, tmp_path / "x.album", "binary", dim=16).stamp.dim == 16


def test_lancedb_searches_bits_by_their_hamming_distance(photos, tmp_path):
    album = _album(photos, tmp_path / "my.album", "binary")
    asked = (torch.tensor([[0.0, 0.0, 1.0]]) @ WIDE).numpy()
    code = encode(asked, album.table.schema.field("image").type)[0]
    found = album.table.search(code, vector_column_name="image").distance_type("hamming").limit(1).to_list()
    assert found[0]["path"] == "blue-blue.png" and found[0]["_distance"] <= 2


@pytest.mark.parametrize("kind", ["int8", "int4", "int2", "binary"])
def test_a_sketch_is_made_of_what_is_stored(kind, photos, tmp_path):
    album = _album(photos, tmp_path / "my.album", kind)
    update_sketch(str(tmp_path / "my.album"), album.table, album.stamp.objects)
    opened = Album.open(tmp_path / "my.album", WideColors(), exact_rows=0)
    assert [hit.name for hit in opened.search(QUERIES[1], 9)] == [hit.name for hit in album.search(QUERIES[1], 9)]


@pytest.mark.parametrize("kind", ["int8", "int4", "int2", "binary"])
def test_qdrant_gets_decoded_vectors(kind, photos, tmp_path):
    qdrant_client = pytest.importorskip("qdrant_client", reason="Qdrant needs: pip install 'findvl[qdrant]'")
    from find.integrations.qdrant import export

    album, client = _album(photos, tmp_path / "my.album", kind), qdrant_client.QdrantClient(":memory:")
    assert export(album, client, "photos") == 9
    points = {point.payload["path"]: point for point in client.scroll("photos", limit=99, with_vectors=True)[0]}
    for row in album.to_arrow(["path", "image", "objects"]).to_pylist():
        assert np.allclose(points[row["path"]].vector["image"], np.array(row["image"], float), atol=2e-3)
        assert np.allclose(points[row["path"]].vector["objects"], np.array(row["objects"], float), atol=2e-3)


def test_the_command_says_so_in_one_line(photos, tmp_path, capsys):
    album = str(tmp_path / "my.album")
    (photos / "more").mkdir()
    paint(photos / "more/a.png", "red", "blue", size=(64, 64))
    only = str(photos / "more")
    assert main(["index", only, album, "--vector-type", "int8"]) == 0
    assert Album.open(album).stamp.vector_type == "int8"
    assert main(["search", album, "{a red square}", "-k", "1", "--explain"]) == 0
    assert main(["index", only, album]) == 0
    capsys.readouterr()
    assert main(["index", only, album, "--vector-type", "binary"]) != 0
    expected = capsys.readouterr().err
    assert "has vector_type=int8, not binary" in expected and expected.count("\n") == 1
