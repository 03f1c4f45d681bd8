"""Claims about the album, with a model of colours, so that answers are known."""

import gc
import math
import shutil
import weakref

import numpy as np
import pytest
from colors import ColorModel, paint

from find.errors import FindError
from find.query.query import Phrase, Query, Region
from find.retrieval.album import Album
from find.retrieval.connection import UnreadableAlbum
from find.retrieval.exemplars import more_like
from find.retrieval.indexing import IndexSettings


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    paint(folder / "a.png", "red", "green")
    paint(folder / "b.png", "green", "blue", size=(16, 10))
    paint(folder / "deep/c.PNG", "red", "blue")
    paint(folder / "d.png", "grey", "grey")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def album(photos, tmp_path):
    return Album.build(ColorModel(), photos, tmp_path / "my.album", progress=False)


def _names(hits):
    return [hit.path.name for hit in hits]


def test_finds_the_image_that_holds_both_entities_and_says_where(album):
    assert len(album) == 4
    hits = album.search(Query(Phrase("green"), " beside ", Phrase("blue")), k=2)
    assert _names(hits)[0] == "b.png"
    assert hits[0].objects == (0, 1)
    assert hits[0].entity_terms == pytest.approx((1.0, 1.0), abs=1e-3)
    assert hits[0].score == pytest.approx(hits[0].image_term + 0.5, abs=1e-3)
    assert len(hits) == 2 and hits[0].score >= hits[1].score


def test_a_hit_shows_its_objects_without_the_model(album):
    hit = album.search(Query(Phrase("green"), " beside ", Phrase("blue")), k=1)[0]
    left = np.zeros((10, 16), bool)
    left[:, :8] = True
    for entity, mask in enumerate((left, ~left)):  # to a pixel: the model's masks are coarser than the image
        assert (hit.mask(entity) != mask).sum() <= 10
    assert hit.box(0) == pytest.approx((0, 0, 8, 10), abs=1) and hit.box(1) == pytest.approx((8, 0, 16, 10), abs=1)
    text = hit.explain()
    assert "b.png: score" in text and "green: 1.000 with object 0, at the left, box 0,0," in text
    assert hit.draw(min_side=64).size == (64, 40)
    with pytest.raises(FindError, match="has 2 entities, none is 2"):
        hit.mask(2)


def test_many_queries_at_once_answer_as_each_alone(album):
    queries = [Query(Phrase("red")), Query("only green words"), Query(Phrase("blue"), " and ", Phrase("red"))]
    for query, together in zip(queries, album.search_all(queries, k=4), strict=True):
        alone = album.search(query, k=4)
        assert _names(alone) == _names(together)
        assert [hit.entity_terms for hit in alone] == [hit.entity_terms for hit in together]
    assert album.search(queries[1])[0].entity_terms == ()
    assert album.search_all([]) == []


def test_an_entity_by_itself_is_compared_as_a_thing(album, tmp_path):
    for query in (Phrase("green"), Query(Phrase("green"), "."), Query(" ", Phrase("green"))):
        hits = album.search(query, k=4)
        assert [hit.score for hit in hits] == [hit.entity_terms[0] for hit in hits]
        assert {hit.image_term for hit in hits} == {None}
        assert "= the nearest object's" in hits[0].explain()
    assert hits[0].score == pytest.approx(1, abs=1e-3)
    both = album.search(Query("a ", Phrase("green")), k=4)
    assert both[0].score == pytest.approx(both[0].image_term + 0.5 * both[0].entity_terms[0])
    joined = album.search(Phrase("green") & Query("a ", Phrase("green")), k=4)
    assert [[part.image_term is None for part in hit.parts] for hit in joined] == [[True, False]] * 4


def test_joined_queries_want_both_or_the_one_without_the_other(album):
    red, blue = Phrase("red"), Phrase("blue")
    assert _names(album.search(red & blue, k=1)) == ["c.PNG"]
    assert _names(album.search(red - blue, k=1)) == ["a.png"]
    assert _names(album.search(Query(blue) - red, k=1)) == ["b.png"]
    hit = album.search(red & Phrase("green") - blue, k=1)[0]
    assert [part.is_excluded for part in hit.parts] == [False, False, True]
    first, second, third = (part.score for part in hit.parts)
    assert hit.score == pytest.approx((first + second) / 2 - third / 2, abs=1e-5)
    assert "must not be “blue”" in hit.explain()
    with pytest.raises(FindError, match="subtracted is one query"):
        red - (blue & Phrase("green"))


def test_more_like_a_thing_of_a_hit_leaves_its_own_image_out(album):
    hit = album.search(Query(Phrase("green"), " beside ", Phrase("blue")), k=1)[0]
    blue = album.more_like(hit, 1, k=2)
    assert _names(blue)[0] == "c.PNG" and "b.png" not in _names(blue)
    assert blue[0].score == pytest.approx(1, abs=1e-3) and blue[0].objects == (1,)
    assert album.more_like(hit, entity=1, k=1)[0].name == "deep/c.PNG"
    with pytest.raises(FindError, match="has 2 objects"):
        album.more_like(hit, 2)
    found = album.image("b.png")  # by no query
    assert found.image_term is None and found.objects == () and album.more_like(found, 1, k=1)[0].name == "deep/c.PNG"
    with pytest.raises(FindError, match=r"b\.png was found by 0 queries"):
        album.more_like(found)
    for ask in (lambda: album.more_like(hit, 1, k=0), lambda: album.search(Query("red"), k=0)):
        with pytest.raises(FindError, match="images to find, not 0"):
            ask()


def test_an_album_of_one_image_and_an_empty_one_answer(tmp_path):
    file = paint(tmp_path / "photos/a.png", "red", "green")
    for path, exact_rows in (("exact", 9), ("stages", 0)):
        Album.build(ColorModel(), tmp_path / "photos", tmp_path / path, progress=False)
        album = Album.open(tmp_path / path, ColorModel(), exact_rows=exact_rows)
        (hit,) = album.search(Phrase("red") - Phrase("blue"), k=9)
        assert hit.path == file and album.more_like(hit, 1) == []
    album.table.checkout_latest()
    album.table.delete("true")
    assert Album.open(tmp_path / path, ColorModel()).search(Phrase("red")) == []


def test_ties_keep_the_order_of_the_album(tmp_path):
    files = [paint(tmp_path / f"{name}.png", "red", "green") for name in "cab"]
    album = Album.build(ColorModel(), files, tmp_path / "my.album", progress=False)
    assert _names(album.search(Query(Phrase("red")))) == ["c.png", "a.png", "b.png"]


def test_opened_album_equals_the_built_one_and_moves_with_its_photos(album, photos, tmp_path):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    photos.rename(moved / "photos")
    shutil.move(tmp_path / "my.album", moved / "my.album")
    opened = Album.open(moved / "my.album", ColorModel())
    query = Query(Phrase("red"), Phrase("blue"))
    hits = opened.search(query)
    assert hits[0].name == "deep/c.PNG" and len(hits) == 4
    assert all(hit.path.is_file() and hit.path.is_relative_to(moved) for hit in hits)
    assert {(hit.height, hit.width) for hit in hits} == {(6, 8), (10, 16)}


def test_photos_may_be_shown_where_they_are_now(album, photos, tmp_path):
    photos.rename(tmp_path / "there")
    hits = Album.open(tmp_path / "my.album", ColorModel(), photos=tmp_path / "there").search(Query(Phrase("red")))
    assert all(hit.path.is_file() for hit in hits)


def test_batch_size_changes_nothing(photos, tmp_path):
    tables = []
    for size in (1, 3, 9):
        settings = IndexSettings(batch_size=size)
        built = Album.build(ColorModel(), photos, tmp_path / f"{size}.album", settings=settings, progress=False)
        tables.append(built.to_arrow())
    assert tables[0] == tables[1] == tables[2]


def test_two_stages_find_what_the_exact_search_finds(album, tmp_path):
    two_stages = Album.open(tmp_path / "my.album", ColorModel(), exact_rows=1)
    queries = [Query(Phrase("red")), Phrase("blue") - Phrase("green"), Query("green"), Phrase("red") & Phrase("grey")]
    for query in queries:
        exact, found = album.search(query, k=4), two_stages.search(query, k=4)
        assert [(hit.name, hit.parts) for hit in exact] == [(hit.name, hit.parts) for hit in found]
        filtered = two_stages.search(query, k=4, where="width > 8")
        assert _names(filtered) == ["b.png"]
        assert two_stages.search(query, where="width > 99") == album.search(query, where="width > 99") == []


def test_fewer_values_of_each_vector_rank_by_those(album):
    hits = album.search(Query("a ", Phrase("green")), k=4, dim=2)  # red and green are left
    assert hits[0].score == pytest.approx(1.5, abs=1e-3)
    grey = next(hit for hit in hits if hit.name == "d.png")
    assert grey.image_term == pytest.approx(math.sqrt(0.5), abs=1e-2)
    for wrong in (0, 4):
        with pytest.raises(FindError, match="3 values"):
            album.search(Query(Phrase("green")), dim=wrong)


def test_an_album_of_fewer_values_takes_queries_of_more(photos, tmp_path):
    settings = IndexSettings(dim=2, objects=1)
    album = Album.build(ColorModel(), photos, tmp_path / "short.album", settings=settings, progress=False)
    assert album.to_arrow()["image"].type.list_size == 2
    assert album.search(Query(Phrase("green")), k=1)[0].name in ("a.png", "b.png")
    with pytest.raises(FindError, match="has objects=1, not 2"):
        Album.build(ColorModel(), photos, tmp_path / "short.album", settings=IndexSettings(objects=2), progress=False)


def test_rows_come_out_as_arrow_and_pandas(album):
    pandas = pytest.importorskip("pandas")
    table = album.to_arrow()
    assert table.num_rows == 4 and table["objects"].type.value_type.list_size == 3
    frame = album.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert sorted(frame.path) == ["a.png", "b.png", "d.png", "deep/c.PNG"]
    assert album.to_arrow(["width"]).column_names == ["width"]
    with pytest.raises(FindError, match="no column nope; there are path"):
        album.to_arrow(["nope"])


def test_an_album_without_a_model_can_be_read_but_not_asked(album, tmp_path):
    opened = Album.open(tmp_path / "my.album")
    assert len(opened.to_arrow()) == 4
    with pytest.raises(FindError, match="without a model"):
        opened.search(Query("red"))


def test_album_of_other_weights_is_refused_by_search_and_index(album, photos, tmp_path):
    for call in (
        lambda model: Album.open(tmp_path / "my.album", model),
        lambda model: Album.build(model, photos, tmp_path / "my.album", progress=False),
    ):
        with pytest.raises(FindError, match=r"my\.album.*other weights"):
            call(ColorModel("colours-2"))
    assert len(Album.open(tmp_path / "my.album", ColorModel())) == 4


def test_missing_album_says_how_to_make_one_and_leaves_no_folder(tmp_path):
    with pytest.raises(FindError, match="findvl index"):
        Album.open(tmp_path / "none", ColorModel())
    assert not (tmp_path / "none").exists()


def test_a_file_of_an_earlier_version_says_to_index_again(tmp_path):
    (tmp_path / "old.album").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    for call in (Album.open, lambda path, model: Album.build(model, tmp_path, path)):
        with pytest.raises(FindError, match="index the photos again"):
            call(tmp_path / "old.album", ColorModel())


def test_an_album_made_anew_in_the_place_of_another_is_the_latest(album, photos, tmp_path):
    shutil.rmtree(tmp_path / "my.album")
    with pytest.raises(FindError, match="no such album"):
        album.latest()
    assert not (tmp_path / "my.album").exists()
    paint(photos / "e.png", "red", "red")
    anew = Album.build(ColorModel(), photos, tmp_path / "my.album", progress=False)
    assert anew.table.version == album.table.version
    assert len(album.latest()) == 5 and anew.latest() is anew


def test_an_album_that_nobody_holds_is_freed_at_once(album):
    opened = Album.open(album.name, ColorModel())
    opened.search(Phrase("red"))
    held = weakref.ref(opened)
    gc.disable()  # which would free it some time later, when a service follows the next album
    try:
        del opened
        assert held() is None
    finally:
        gc.enable()


def test_a_sample_is_spread_evenly_over_the_album(album, photos):
    assert [hit.path for hit in album.sample(9)] == list(album.paths)
    assert [hit.path for hit in album.sample(2)] == [album.paths[0], album.paths[-1]]
    hit = album.sample(1)[0]
    assert (hit.path, hit.parts, hit.pixels().shape[:2]) == (album.paths[0], (), (hit.height, hit.width))
    (photos / "b.png").unlink()
    left = Album.build(ColorModel(), photos, album.name, progress=False)
    assert [hit.path for hit in left.sample(9)] == list(left.paths) and len(left) == 3
    with pytest.raises(FindError, match="not 0"):
        album.sample(0)


def test_files_that_are_gone_are_no_fault_of_the_filter(album, tmp_path):
    for file in (tmp_path / "my.album/images.lance/data").iterdir():
        file.unlink()
    for ask in (lambda: album.search(Phrase("red"), where="width > 8"), lambda: album.image("a.png")):
        with pytest.raises(UnreadableAlbum, match="cannot be read"):
            ask()


def test_an_album_that_names_files_outside_its_photos_is_refused(album, tmp_path):
    table = album.table
    table.checkout_latest()
    table.update(where="path = 'a.png'", values={"path": "../../etc/passwd"})
    with pytest.raises(FindError, match="leaves its folder of photos"):
        Album.open(tmp_path / "my.album", ColorModel()).search(Query(Phrase("red")), k=4)


def test_text_is_read_as_on_the_command_line(album, photos):
    words, query = "{green} beside {blue}", Query(Phrase("green"), " beside ", Phrase("blue"))
    hit, expected = album.search(words)[0], album.search(query)
    assert hit.parts == expected[0].parts and hit.parts[0].query == query
    assert [row[0].name for row in album.search_all([words, "{red}"])] == ["b.png", "a.png"]
    assert album.search("only green words")[0].parts == album.search(Query("only green words"))[0].parts
    assert album.ground(words, []) == []
    assert "{red}" - Phrase("blue") == Phrase("red") - "{blue}" == Phrase("red") - Phrase("blue")
    assert "{red}" & Phrase("blue") == Phrase("red") & "{blue}" == Phrase("red") & Phrase("blue")
    with pytest.raises(FindError, match=r"'\}' at character 5: nothing is open here; write \\\}"):
        album.search("red }")
    with pytest.raises(FindError, match=r"write \['\{red\}'\]"):
        album.search_all("{red}")
    with pytest.raises(FindError, match="one query at a time"):
        album.ground(Phrase("red") - "{blue}", [hit])
    with pytest.raises(TypeError):
        Phrase("red") & 3


def test_a_hit_and_an_album_print_in_a_line(album, tmp_path):
    hit = album.search("{green} beside {blue}")[0]
    assert repr(hit) == f"Hit(b.png, {hit.score:.3f}, green 1.000, blue 1.000)"
    assert repr(album.image("deep/c.PNG")) == "Hit(deep/c.PNG, 0.000)"
    assert repr(hit.found) == "Objects(2 of 3 values)"
    assert repr(album) == f"Album({str(tmp_path / 'my.album')!r}, 4 images)"


def test_more_like_photos_and_regions_and_unlike_others(album, photos):
    yellow = more_like(album, photos / "a.png")  # red and green: as far from grey as the axes allow
    assert _names(yellow)[0] == "d.png" and yellow[0].score == pytest.approx(math.sqrt(2 / 3), abs=1e-2)
    assert "a.png" not in _names(yellow) and len(yellow) == 3
    red = Region(str(photos / "a.png"), box=(0, 0, 4, 6))
    hits = more_like(album, red)
    assert _names(hits)[0] == "c.PNG" and hits[0].score == pytest.approx(1, abs=1e-3)
    assert hits[0].box() == (0, 0, 4, 6)
    without = more_like(album, red, unwanted=Region(str(photos / "deep/c.PNG"), box=(5, 0, 8, 6)), include_query=True)
    assert _names(without)[0] == "a.png"
    with pytest.raises(FindError, match="at least one photo"):
        more_like(album, [])


def test_files_of_a_query_are_left_out_of_its_hits(album, photos):
    red = Region(str(photos / "a.png"), box=(0, 0, 4, 6))
    assert "a.png" not in _names(album.search(red, k=4))
    assert _names(album.search(red, k=4, include_query=True))[0] in ("a.png", "c.PNG")
    assert _names(album.search(red, k=1)) == ["c.PNG"]
    in_memory = Region(red.pixels(), box=(0, 0, 4, 6))
    assert len(album.search(in_memory, k=4)) == 4
