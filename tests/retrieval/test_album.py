"""Claims about the album, with a model of colours: every vector is a mean colour, so answers are known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from find.errors import FindError
from find.query import Phrase, Query
from find.retrieval.album import Album

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "grey": (90, 90, 90)}


@dataclass
class Embedded:
    image: torch.Tensor = None
    objects: torch.Tensor = None
    scores: torch.Tensor = None
    query: torch.Tensor = None
    entities: torch.Tensor = None
    padding: torch.Tensor = None

    def to(self, device):
        return self


class ColorModel:
    """Image vector: the mean colour. Objects: the mean colours of the left and the right half."""

    def __init__(self, fingerprint="colours-1"):
        self.fingerprint = fingerprint
        self.batches = []

    def embed_images(self, images):
        self.batches.append(len(images))
        if any(min(image.shape[:2]) < 4 for image in images):
            raise FindError("an image is smaller than 4 pixels")
        pixels = [torch.from_numpy(np.array(image)).float() for image in images]
        halves = [
            torch.stack([p[:, : p.shape[1] // 2].mean((0, 1)), p[:, p.shape[1] // 2 :].mean((0, 1))]) for p in pixels
        ]
        return Embedded(
            image=normalize(torch.stack([p.mean((0, 1)) for p in pixels]), dim=-1),
            objects=normalize(torch.stack(halves), dim=-1),
            scores=torch.ones(len(images), 2),
        )

    def embed_queries(self, queries):
        most = max(len(query.entities) for query in queries)
        entities, padding = torch.zeros(len(queries), most, 3), torch.ones(len(queries), most, dtype=torch.bool)
        vectors = torch.zeros(len(queries), 3)
        for row, query in enumerate(queries):
            for column, entity in enumerate(query.entities):
                entities[row, column] = torch.tensor(COLORS[entity.text], dtype=torch.float32)
                padding[row, column] = False
            words = [word for word in query.text.split() if word in COLORS]
            vectors[row] = torch.tensor([COLORS[word] for word in words], dtype=torch.float32).sum(0)
        return Embedded(query=normalize(vectors, dim=-1), entities=normalize(entities, dim=-1), padding=padding)


def _paint(path: Path, left: str, right: str, size: tuple[int, int] = (8, 6)) -> Path:
    image = Image.new("RGB", size, COLORS[left])
    image.paste(COLORS[right], (size[0] // 2, 0, *size))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    _paint(folder / "a.png", "red", "green")
    _paint(folder / "b.png", "green", "blue", size=(16, 10))
    _paint(folder / "deep/c.PNG", "red", "blue")
    _paint(folder / "d.png", "grey", "grey")
    (folder / "notes.txt").write_text("no image")
    return folder


def _names(hits):
    return [hit.path.name for hit in hits]


def test_finds_the_image_that_holds_both_entities_and_says_where(photos, tmp_path):
    album = Album.build(ColorModel(), photos, tmp_path / "my.album", progress=False)
    assert len(album) == 4
    hits = album.search(Query(Phrase("green"), " beside ", Phrase("blue")), k=2)
    assert _names(hits)[0] == "b.png"
    assert hits[0].objects == (0, 1)
    assert hits[0].entity_terms == pytest.approx((1.0, 1.0), abs=1e-3)
    assert hits[0].score == pytest.approx(hits[0].image_term + 0.5, abs=1e-3)
    assert len(hits) == 2 and hits[0].score >= hits[1].score


def test_many_queries_at_once_answer_as_each_alone(photos, tmp_path):
    album = Album.build(ColorModel(), photos, tmp_path / "my.album", progress=False)
    queries = [Query(Phrase("red")), Query("only green words"), Query(Phrase("blue"), " and ", Phrase("red"))]
    for query, together in zip(queries, album.search_all(queries, k=4), strict=True):
        alone = album.search(query, k=4)
        assert _names(alone) == _names(together)
        assert [hit.entity_terms for hit in alone] == [hit.entity_terms for hit in together]
    assert album.search(queries[1])[0].entity_terms == ()


def test_ties_keep_the_order_of_the_album(tmp_path):
    files = [_paint(tmp_path / f"{name}.png", "red", "green") for name in "cab"]
    album = Album.build(ColorModel(), files, tmp_path / "my.album", progress=False)
    assert _names(album.search(Query(Phrase("red")))) == ["c.png", "a.png", "b.png"]


def test_opened_album_equals_the_built_one_and_moves_with_its_photos(photos, tmp_path):
    model = ColorModel()
    built = Album.build(model, photos, photos.parent / "my.album", progress=False)
    moved = tmp_path / "elsewhere"
    photos.parent.joinpath("my.album").rename(tmp_path / "kept")
    moved.mkdir()
    photos.rename(moved / "photos")
    (tmp_path / "kept").rename(moved / "my.album")
    opened = Album.open(moved / "my.album", model)
    query = Query(Phrase("red"), Phrase("blue"))
    assert _names(opened.search(query)) == _names(built.search(query))
    assert all(hit.path.is_file() for hit in opened.search(query))
    assert opened.sizes.tolist() == built.sizes.tolist()
    assert (10, 16) in map(tuple, opened.sizes.tolist())


def test_batch_size_changes_nothing(photos, tmp_path):
    one = Album.build(ColorModel(), photos, tmp_path / "one", batch_size=1, progress=False)
    all_at_once = Album.build(ColorModel(), photos, tmp_path / "all", batch_size=9, progress=False)
    assert one.paths == all_at_once.paths
    torch.testing.assert_close(one.objects, all_at_once.objects)


def test_images_that_cannot_be_used_are_skipped_and_listed(photos, tmp_path):
    broken = photos / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff no jpeg")
    tiny = _paint(photos / "tiny.png", "red", "red", size=(2, 2))
    album = Album.build(ColorModel(), photos, tmp_path / "my.album", progress=False)
    assert len(album) == 4
    assert {skipped.path for skipped in album.skipped} == {broken, tiny}
    reasons = {skipped.path.name: skipped.reason for skipped in album.skipped}
    assert reasons["tiny.png"] == "an image is smaller than 4 pixels"
    assert "not an image" in reasons["broken.jpg"]


@pytest.mark.parametrize("content", ["nothing", "empty", "only broken"])
def test_nothing_to_index_is_an_error_and_leaves_no_file(tmp_path, content):
    folder = tmp_path / "photos"
    if content != "nothing":
        folder.mkdir()
    if content == "only broken":
        (folder / "x.jpg").write_bytes(b"broken")
    with pytest.raises(FindError, match="photos"):
        Album.build(ColorModel(), folder, tmp_path / "my.album", progress=False)
    assert not (tmp_path / "my.album").exists()


def test_album_of_other_weights_is_refused(photos, tmp_path):
    Album.build(ColorModel("colours-1"), photos, tmp_path / "my.album", progress=False)
    with pytest.raises(FindError, match=r"my\.album.*other weights"):
        Album.open(tmp_path / "my.album", ColorModel("colours-2"))


@pytest.mark.parametrize("keep", [0, 40, 300])
def test_damaged_album_is_refused(photos, tmp_path, keep):
    path = tmp_path / "my.album"
    Album.build(ColorModel(), photos, path, progress=False)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FindError, match=r"my\.album"):
        Album.open(path, ColorModel())


def test_missing_album_says_how_to_make_one(tmp_path):
    with pytest.raises(FindError, match="findvl index"):
        Album.open(tmp_path / "none", ColorModel())
