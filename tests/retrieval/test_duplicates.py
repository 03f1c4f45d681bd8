"""Claims about near-duplicates: copies are grouped, look-alikes are not, and a search folds them."""

import json

import numpy as np
import pytest
import torch
from colors import ColorModel
from PIL import Image, ImageDraw, ImageEnhance

from find.cli.main import main
from find.errors import FindError
from find.images.alignment import are_same
from find.query.query import Phrase
from find.retrieval import duplicates
from find.retrieval.album import Album

KINDS = ("compressed", "half", "cropped", "bright")


def _scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Rectangles of random colours on a random ground."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", size, tuple(random.integers(60, 190, 3).tolist()))
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        x, y = random.integers(0, size[0] - 30), random.integers(0, size[1] - 30)
        corner = x + random.integers(20, 60), y + random.integers(20, 60)
        draw.rectangle((int(x), int(y), *map(int, corner)), fill=tuple(random.integers(0, 210, 3).tolist()))
    return picture


def _copy(picture: Image.Image, kind: str, path) -> None:
    width, height = picture.size
    if kind == "half":
        picture = picture.resize((width // 2, height // 2))
    elif kind == "cropped":
        picture = picture.crop((width // 20, height // 20, width, height))
    elif kind == "bright":
        picture = ImageEnhance.Brightness(picture).enhance(1.15)
    picture.save(path, quality=30 if kind == "compressed" else 90)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Six scenes; of the first three there are copies. All vectors are nearly equal: those of colours are coarse."""
    folder = tmp_path_factory.mktemp("copies")
    (folder / "photos").mkdir()
    for seed in range(6):
        scene = _scene(seed)
        scene.save(folder / "photos" / f"{seed}.png")
        for kind in KINDS if seed < 3 else ():
            _copy(scene, kind, folder / "photos" / f"{seed}_{kind}.jpg")
    return Album.build(ColorModel(), folder / "photos", folder / "my.album", progress=False)


def test_copies_are_grouped_below_the_largest_and_nothing_else_is(album):
    found = album.duplicates(threshold=0.5)
    assert found.unreadable == ()
    groups = [{image.name for image in group} for group in found.groups]
    assert sorted(groups, key=min) == [{f"{k}.png", *(f"{k}_{kind}.jpg" for kind in KINDS)} for k in range(3)]
    for group in found.groups:
        assert group[0].similarity == 1 and (group[0].width, group[0].height) == (160, 120)
        assert all(0.5 <= image.similarity <= 1.001 for image in group)


def test_vectors_alone_make_no_pair(album):
    table = album.to_arrow(["path", "image"])
    vectors = np.array(table["image"].to_pylist(), dtype=np.float32)
    assert ((vectors @ vectors.T) > 0.5).all()  # every pair was compared by its pixels in the test above


def test_one_small_thing_tells_pictures_apart():
    for seed in range(8):
        scene, other = _scene(seed), _scene(seed)
        ImageDraw.Draw(other).ellipse((70, 50, 90, 70), fill=(255, 255, 255))
        small = [torch.from_numpy(np.array(picture.resize((32, 32)))) for picture in (scene, other)]
        a, b = (picture.permute(2, 0, 1)[None].float() / 255 for picture in small)
        assert are_same(a, a).all() and are_same(a, (0.8 * a + 0.05)).all()
        assert not are_same(a, b).any() and not are_same(b, a).any()


def test_blocks_of_rows_give_the_pairs_of_the_whole_product(monkeypatch):
    monkeypatch.setattr(duplicates, "ROWS_AT_ONCE", 7)
    vectors = torch.nn.functional.normalize(torch.randn(40, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    for threshold in (0.0, 0.4, 0.9):
        whole = vectors @ vectors.T
        expected = {(a, b) for a in range(40) for b in range(a + 1, 40) if whole[a, b] >= threshold}
        found = [
            pair
            for left, right, cosine in duplicates._similar(vectors, threshold)
            for pair in zip(left.tolist(), right.tolist(), strict=True)
            if (cosine >= threshold).all()
        ]
        assert set(found) == expected and len(found) == len(expected)


@pytest.mark.parametrize("exact_rows", [20_000, 4])
def test_a_search_folds_copies_and_names_them(album, exact_rows):
    album = Album.open(album.name, ColorModel(), exact_rows=exact_rows)
    plain = album.search(Phrase("red"), k=len(album))
    for k in (1, 3, 6, 20):
        folded = album.search(Phrase("red"), k=k, fold_duplicates=True)
        first: dict[str, object] = {}
        for hit in plain:
            first.setdefault(hit.name[0], hit)
        expected = list(first.values())[:k]
        assert [(hit.name, hit.score) for hit in folded] == [(hit.name, hit.score) for hit in expected]
        for hit in folded:
            own = {one.name for one in plain if one.name[0] == hit.name[0]} - {hit.name}
            assert set(hit.duplicates) == own
    assert {hit.duplicates for hit in plain} == {()}


def test_what_a_filter_keeps_out_is_not_named_as_a_copy(album):
    for hit in album.search(Phrase("red"), k=6, where="path LIKE '%.png'", fold_duplicates=True):
        assert hit.duplicates == ()


def test_files_that_are_gone_are_told(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        _scene(ord(name[0]) % 2).save(tmp_path / "photos" / name)
    album = Album.build(ColorModel(), tmp_path / "photos", tmp_path / "my.album", progress=False)
    (tmp_path / "photos" / "b.png").unlink()
    found = album.duplicates(threshold=0)
    assert [[image.name for image in group] for group in found.groups] == [["a.png", "c.png"]]  # by their digests
    assert [file.name for file in found.unreadable] == ["b.png"]
    with pytest.raises(FindError, match="from 0 to 1"):
        album.duplicates(threshold=1.5)


def test_the_command_prints_groups_and_counts(album, capsys):
    assert main(["duplicates", album.name, "--threshold", "0.5"]) == 0
    assert "18 images, 3 groups with 12 near-duplicates" in capsys.readouterr().out
    assert main(["duplicates", album.name, "--threshold", "0.5", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [len(group) for group in record["groups"]] == [5, 5, 5] and record["unreadable"] == []
