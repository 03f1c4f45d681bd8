"""Claims about queries on the command line: their place, folders of images, and photos as examples."""

import json
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from find.cli.main import main
from find.errors import CheckpointError
from find.model.checkpoint import Checkpoint
from find.model.location import read_nested_widths, warn_untrained

NAMES = ("a.png", "b.png", "sub/c.jpg")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Photos of noise and an album of them, made by the shipped model."""
    folder = tmp_path_factory.mktemp("place")
    pixels = np.random.default_rng(0)
    (folder / "photos" / "sub").mkdir(parents=True)
    for name in NAMES:
        Image.fromarray(pixels.integers(0, 255, (64, 80, 3), dtype=np.uint8)).save(folder / "photos" / name)
    assert main(["index", str(folder / "photos"), str(folder / "my.album")]) == 0
    return folder


def _json(capsys, *arguments):
    capsys.readouterr()
    assert main([*map(str, arguments), "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def _hits(capsys, *arguments):
    return [hit["path"].rpartition("photos/")[2] for hit in _json(capsys, *arguments)["hits"]]


def test_a_query_stands_behind_its_album_or_image_or_is_an_option(capsys, place):
    album, photo, text = place / "my.album", place / "photos" / "a.png", "{a red dog} on {grass}"
    for first in (["search", album], ["segment", photo]):
        by_option = _json(capsys, *first, "--query", text)
        assert by_option["query"] == text
        assert _json(capsys, *first, text) == by_option
        assert _json(capsys, *first, "--device", "cpu", text) == by_option
    command, *rest = ["search", album, "-k", 2]
    assert _hits(capsys, command, *rest, text) == _hits(capsys, command, album, text, "-k", 2)


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["search", "my.album"], "the query is missing"),
        (["segment", "a.png", "{a dog}", "--query", "{a cat}"], "the query is given twice"),
        (["search", "my.album", "{a dog}", "{a cat}"], "unrecognized arguments: {a cat}"),
    ],
)
def test_a_query_that_is_missing_or_given_twice_is_told(capsys, arguments, reported):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2 and reported in capsys.readouterr().err


def test_pictures_of_the_query_are_no_hits_unless_asked_for(capsys, place, monkeypatch):
    query = f"{{a dog}} near [{place / 'photos' / 'b.png'}@9,9,60,50]"
    assert sorted(_hits(capsys, "search", place / "my.album", query)) == ["a.png", "sub/c.jpg"]
    assert sorted(_hits(capsys, "search", place / "my.album", query, "--include-query")) == sorted(NAMES)
    monkeypatch.chdir(place / "photos" / "sub")
    assert sorted(_hits(capsys, "search", place / "my.album", "like [../b.png@9,9]")) == ["a.png", "sub/c.jpg"]
    assert len(_hits(capsys, "search", place / "my.album", "like [../b.png@9,9]", "-k", 1)) == 1


def test_every_image_of_a_folder_is_segmented(capsys, place, tmp_path):
    folder = tmp_path / "photos"
    folder.symlink_to(place / "photos", target_is_directory=True)
    one = _json(capsys, "segment", place / "photos" / "b.png", "{a dog}")
    found = _json(capsys, "segment", folder, "{a dog}", "--png", tmp_path / "drawn")
    assert [record["image"].rpartition("photos/")[2] for record in found["images"]] == list(NAMES)
    assert found["skipped"] == 0 and found["images"][1]["entities"] == one["entities"]
    drawn = sorted(path.relative_to(tmp_path / "drawn").as_posix() for path in (tmp_path / "drawn").rglob("*.png"))
    assert drawn == ["a.png.png", "b.png.png", "sub/c.jpg.png"]


def test_a_broken_image_of_a_folder_is_told_and_counted(capsys, tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "good.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert main(["segment", str(tmp_path), "{a dog}"]) == 0
    captured = capsys.readouterr()
    assert "1 images, 1 skipped" in captured.out and "skipped" in captured.err and "broken.png" in captured.err
    (tmp_path / "good.png").unlink()
    assert main(["segment", str(tmp_path), "{a dog}"]) == 2
    assert main(["segment", str(tmp_path), "{a dog}", "--png", str(tmp_path / "broken.png")]) == 2


def test_of_a_folder_all_that_is_no_picture_for_the_model_is_told(capsys, tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "good.jfif", "JPEG")
    Image.new("RGB", (4000, 2)).save(tmp_path / "strip.png")
    (tmp_path / "IMG.CR2").write_bytes(b"II*\0\x10\0\0\0CR\2\0")
    (tmp_path / "notes.txt").write_text("hello")
    assert main(["segment", str(tmp_path), "{a dog}"]) == 0
    reported = capsys.readouterr()
    assert reported.out.endswith("1 images, 2 skipped\n")
    skipped, left_alone, narrow = reported.err.splitlines()
    assert skipped.startswith(f"skipped {tmp_path / 'IMG.CR2'}: a camera's raw file")
    assert left_alone == "left alone: 1 other file"
    assert narrow.startswith(f"skipped {tmp_path / 'strip.png'}: a picture of 4000x2 pixels is too narrow")
    assert main(["segment", str(tmp_path / "strip.png"), "{a dog}"]) == 2
    assert "strip.png: a picture of 4000x2 pixels is too narrow" in capsys.readouterr().err


def test_more_like_photos_and_regions_of_photos(capsys, place, tmp_path):
    album, photo = place / "my.album", place / "photos" / "a.png"
    assert sorted(_hits(capsys, "more-like", album, photo)) == ["b.png", "sub/c.jpg"]
    assert _hits(capsys, "more-like", album, photo, "--include-query")[0] == "a.png"
    region = f"{photo}@9,9,60,50"
    hits = _json(capsys, "more-like", album, region, "--without", place / "photos" / "b.png")["hits"]
    assert [hit["path"].rpartition("photos/")[2] for hit in hits] == ["sub/c.jpg"]
    parts = {part["is_excluded"]: part["score"] for part in hits[0]["examples"]}
    assert hits[0]["score"] == pytest.approx(parts[False] - 0.5 * parts[True], abs=2e-3)
    assert main(["more-like", str(album), str(photo), "--png", str(tmp_path / "hits.png"), "--explain"]) == 0
    assert (tmp_path / "hits.png").is_file() and "like a.png" in capsys.readouterr().out
    for wrong, reported in (("gone.png", "no such image file"), (f"{photo}@900,9", "lies outside the image")):
        assert main(["more-like", str(album), wrong]) == 2
        assert reported in capsys.readouterr().err


def test_an_address_keeps_its_slashes(capsys):
    assert main(["segment", "https://example.org/a.jpg", "{a dog}"]) == 2
    assert "https://example.org/a.jpg: this is an address" in capsys.readouterr().err


def test_widths_that_a_model_was_not_trained_for_are_told(place):
    search = ["search", str(place / "my.album"), "{a dog}", "--dim"]
    with pytest.warns(UserWarning, match="cut to 50 values, but were trained for 32, 64, 128"):
        assert main([*search, "50"]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main([*search, "64"]) == main([*search, "128"]) == 0
    assert read_nested_widths({}, "here") is None
    with pytest.raises(CheckpointError, match="here: nested_widths is 'x'"):
        read_nested_widths({"nested_widths": "x"}, "here")


def test_a_saved_model_says_what_widths_it_was_trained_for(tmp_path, recwarn):
    from find import FIND

    model = FIND.from_pretrained()
    model.save_pretrained(tmp_path)
    kept = Checkpoint.read(tmp_path / "config.json", tmp_path / "interface.safetensors").nested_widths
    assert kept == model.nested_widths == (32, 64)
    warn_untrained(50, None, 128)
    assert not recwarn.list


@pytest.mark.parametrize("command", ["search", "more-like"])
def test_places_of_hits_that_cannot_be_written_are_told_before_the_search(capsys, tmp_path, command):
    here, new = str(tmp_path), str(tmp_path / "new")
    reported = {
        ("--export", here): "exists already",
        ("--fiftyone", here): "exists already",
        ("--csv", here): "this is a folder",
        ("--export", new, "--fiftyone", new): "give each its own folder",
    }
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    for options, expected in reported.items():
        asked = "{a dog}" if command == "search" else str(tmp_path / "photo.png")
        assert main([command, "no.album", asked, *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {options[0]} ") and expected in line


def test_a_missing_library_for_show_is_told_before_the_search(capsys, monkeypatch):
    monkeypatch.setattr("find.cli.hits._is_screen", lambda: True)
    monkeypatch.setitem(sys.modules, "textual_image.renderable", None)
    assert main(["search", "no.album", "{a dog}", "--show"]) == 2
    assert "findvl[terminal]" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["--without", "--not"])
@pytest.mark.parametrize(
    "command", ["search no.album {dog}", "more-like no.album x.png", "label no-photos --query {dog} --out x.json"]
)
def test_what_is_not_meant_has_the_same_names_everywhere(capsys, command, name):
    assert main([*command.split(), name, "{a cat}"]) == 2
    assert "unrecognized" not in (reported := capsys.readouterr().err) and name not in reported


def test_an_album_is_no_folder_of_photos_and_such_a_folder_no_album(capsys, place, tmp_path):
    photos, album = str(place / "photos"), str(place / "my.album")
    assert main(["index", album, str(tmp_path / "other.album")]) == 2
    assert f"{album}: this is an album, not a folder of photos" in capsys.readouterr().err
    assert main(["search", photos, "{a dog}"]) == 2
    assert "this folder is not an album; if it holds photos, make an album of them" in capsys.readouterr().err


def test_what_must_not_be_there_is_excluded_in_plain_english(capsys, place):
    album = place / "my.album"
    plain = _json(capsys, "search", album, "a red dog without a car")
    marked = _json(capsys, "search", album, "{a red dog}", "--without", "{a car}")
    assert plain["without"] == ["{a car}"] and plain["hits"] == marked["hits"]
    assert main(["search", str(album), "no dog"]) == 2
    assert "only says what must not be there" in capsys.readouterr().err


def test_a_search_of_noise_says_that_its_hits_are_probably_wrong(capsys, place):
    assert main(["search", str(place / "my.album"), "{a red dog}", "-k", "2"]) == 0
    reported = capsys.readouterr()
    assert "red dog? " in reported.out and "probably none of these is what you look for" in reported.err
    assert main(["segment", str(place / "photos"), "{a red dog}"]) == 0
    assert "0 of 3 images have what is sought, without doubt" in capsys.readouterr().out


def test_hints_for_photographs_and_data_sets(capsys, tmp_path):
    (tmp_path / "annotations").mkdir()
    for folder in ("val2017", "panoptic_val2017"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (321, 40)).save(tmp_path / folder / "a.png")
    assert main(["index", str(tmp_path), str(tmp_path / "my.album")]) == 0
    reported = capsys.readouterr().err
    assert (
        f"a folder of its images is {tmp_path / 'val2017'}" in reported
        and "find-tiny knows drawn scenes only" in reported
    )
    (tmp_path / "annotations" / "panoptic_val2017.json").touch()  # which says that they are maps: they are left out
    assert main(["index", str(tmp_path), str(tmp_path / "other.album")]) == 0
    assert "data set" not in capsys.readouterr().err
