"""Claims about the sketch of a large album, on vectors that crowd around a few hundred concepts."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn.functional import normalize

from find.query.operators import JoinedQuery
from find.query.query import Phrase, Query
from find.retrieval import candidates
from find.retrieval.candidates import CODEBOOK, SKETCH, Sketch, update_sketch
from find.retrieval.connection import connect
from find.retrieval.hits import joined_score
from find.retrieval.table import Stamp, album_schema, create_table, fixed_lists, lists
from find.retrieval.vectors import QueryVectors, Vectors

IMAGES, OBJECTS, DIM = 3000, 4, 32
QUERY = Query(Phrase("this"), " and ", Phrase("that"))


def _rows(schema, seed, count):
    dice = torch.Generator().manual_seed(seed)
    concepts = normalize(torch.randn(300, DIM, generator=torch.Generator().manual_seed(0)), dim=-1)
    chosen = concepts[torch.randint(300, (count, OBJECTS), generator=dice)]
    objects = normalize(chosen + 0.1 * torch.randn(chosen.shape, generator=dice), dim=-1)
    images = normalize(objects.mean(1) + 0.05 * torch.randn(count, DIM, generator=dice), dim=-1)
    names = [f"{seed}-{number}.jpg" for number in range(count)]
    flat = objects.flatten(0, 1).half().numpy()
    columns = {
        "path": pa.array(names),
        "digest": pa.array([name.encode().ljust(16) for name in names], pa.binary(16)),
        "image": fixed_lists(images.half().numpy()),
        "objects": lists(fixed_lists(flat), [OBJECTS] * count),
        "modified": pa.array([0] * count, pa.timestamp("us", tz="UTC")),
        "boxes": lists(fixed_lists(np.zeros((count * OBJECTS, 4), np.int32)), [OBJECTS] * count),
        "width": pa.array([1] * count, pa.int32()),
        "height": pa.array([1] * count, pa.int32()),
        "masks": pa.array([b""] * count),
    }
    for field in schema:
        if field.name not in columns:
            kind = field.type
            empty = [] if pa.types.is_list(kind) else b"" if pa.types.is_binary(kind) else 0
            columns[field.name] = pa.nulls(count, kind) if field.nullable else pa.array([empty] * count, kind)
    return pa.table([columns[field.name] for field in schema], schema=schema)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("large") / "my.album")
    schema = album_schema(Stamp("x", "x", DIM, OBJECTS), "photos")
    table = create_table(path, Stamp("x", "x", DIM, OBJECTS), "photos")
    table.add(_rows(schema, 1, IMAGES))
    update_sketch(path, table, OBJECTS)
    return path, table


def _queries(vectors, count=20):
    dice = torch.Generator().manual_seed(5)
    for target in torch.randint(len(vectors), (count,), generator=dice).tolist():
        noise = 0.1 * torch.randn(3, DIM, generator=dice)
        image, objects = vectors.images[target].float(), vectors.objects[target, :2].float()
        found = normalize(torch.cat([image[None], objects]) + noise, dim=-1)
        yield QueryVectors(found[:1], found[None, 1:], torch.zeros(1, 2, dtype=torch.bool))


def _recall(sketch, vectors, monkeypatch, allowed=None):
    monkeypatch.setattr(candidates, "CANDIDATES", 60)  # of 3000: as hard as 1,000 of 50,000
    shares = []
    for query in _queries(vectors):
        scores = torch.from_numpy(joined_score(JoinedQuery((QUERY,)), vectors.scores(query).numpy()))
        if allowed is not None:
            scores[~torch.from_numpy(np.isin(vectors.rows, allowed))] = -torch.inf
        best = vectors.rows[scores.topk(3).indices.numpy()]
        found = sketch.candidates(JoinedQuery((QUERY,)), query, 3, allowed)
        assert len(found) == 60 and (np.diff(found) > 0).all()
        shares.append(np.isin(best, found).mean())
    return np.mean(shares)


def test_the_best_are_among_the_candidates_with_and_without_a_filter(album, monkeypatch):
    path, table = album
    sketch, vectors = Sketch.read(path, table, OBJECTS), Vectors.read(table, OBJECTS)
    assert _recall(sketch, vectors, monkeypatch) >= 0.95
    allowed = vectors.rows[::3]
    assert _recall(sketch, vectors, monkeypatch, allowed) >= 0.95
    few = sketch.candidates(JoinedQuery((QUERY,)), next(_queries(vectors)), 3, allowed[:7])
    assert few.tolist() == allowed[:7].tolist()


def test_rows_that_are_newer_than_the_sketch_are_found_too(album, monkeypatch):
    path, table = album
    table.add(_rows(table.schema, 2, 500))
    before, vectors = Sketch.read(path, table, OBJECTS), Vectors.read(table, OBJECTS)
    assert len(before.rows) == len(vectors) == IMAGES + 500
    assert _recall(before, vectors, monkeypatch) >= 0.95
    update_sketch(path, table, OBJECTS)
    after = Sketch.read(path, table, OBJECTS)
    assert (before.codes == after.codes).all() and (before.rows == after.rows).all()


def test_without_a_sketch_one_is_made_in_memory(album, tmp_path, monkeypatch):
    _, table = album
    path = str(tmp_path / "other.album")
    other = create_table(path, Stamp("x", "x", DIM, OBJECTS), "photos")
    other.add(table.to_arrow().slice(0, 2000))
    sketch = Sketch.read(path, other, OBJECTS)
    assert _recall(sketch, Vectors.read(other, OBJECTS), monkeypatch) >= 0.95
    assert [entry.name for entry in (tmp_path / "other.album").iterdir()] == ["images.lance"]


def test_codes_of_another_codebook_are_not_read(album, tmp_path, monkeypatch):
    """A run that makes new centroids was killed before it had made the codes."""
    _, table = album
    path = str(tmp_path / "my.album")
    own = create_table(path, Stamp("x", "x", DIM, OBJECTS), "photos")
    own.add(table.to_arrow().slice(0, 2000))
    update_sketch(path, own, OBJECTS)
    rows = connect(path).open_table(CODEBOOK).to_arrow()
    connect(path).create_table(CODEBOOK, rows.take(np.random.default_rng(0).permutation(len(rows))), mode="overwrite")
    sketch = Sketch.read(path, own, OBJECTS)
    assert _recall(sketch, Vectors.read(own, OBJECTS), monkeypatch) >= 0.95
    update_sketch(path, own, OBJECTS)
    assert (Sketch.read(path, own, OBJECTS).codes == sketch.codes).all()


def test_a_sketch_is_written_only_where_something_is_new(album, tmp_path):
    _, table = album
    path = str(tmp_path / "my.album")
    own = create_table(path, Stamp("x", "x", DIM, OBJECTS), "photos")
    own.add(table.to_arrow().slice(0, 100))
    update_sketch(path, own, OBJECTS)
    own.add(_copies(own.to_arrow(), 6))  # which the codes that are there serve, too: nothing is learned anew
    update_sketch(path, own, OBJECTS)
    assert [connect(path).open_table(name).version for name in (CODEBOOK, SKETCH)] == [1, 1]
    assert len(Sketch.read(path, own, OBJECTS).rows) == 700


def test_codes_are_not_added_to_another_writers_codebook(album, tmp_path, monkeypatch):
    _, table = album
    path = str(tmp_path / "my.album")
    own = create_table(path, Stamp("x", "x", DIM, OBJECTS), "photos")
    own.add(table.to_arrow().slice(0, 1000))
    update_sketch(path, own, OBJECTS)
    own.add(table.to_arrow().slice(1000, 500))
    encode = candidates.Codebook.encode

    def slow(codebook, objects):
        """Another writer makes a sketch of another codebook meanwhile."""
        monkeypatch.undo()
        _make_anew(path, own, monkeypatch)
        return encode(codebook, objects)

    monkeypatch.setattr(candidates.Codebook, "encode", slow)
    with pytest.raises((RuntimeError, OSError, ValueError), match=r"(?i)conflict|concurrent"):
        update_sketch(path, own, OBJECTS)
    assert _recall(Sketch.read(path, own, OBJECTS), Vectors.read(own, OBJECTS), monkeypatch) >= 0.95


def _make_anew(path, table, monkeypatch):
    with monkeypatch.context() as other:
        other.setattr(candidates, "GROWTH", 1)
        other.setattr(candidates, "SAMPLE", 700)  # so that the centroids are others
        update_sketch(path, table, OBJECTS)


def _copies(rows, times):
    names = [f"{number}-{name}" for number in range(times) for name in rows["path"].to_pylist()]
    copies = pa.concat_tables([rows] * times)
    return copies.set_column(0, rows.schema.field("path"), pa.array(names))
