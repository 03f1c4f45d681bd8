"""Claims about presence, every instance and least relevance on the command line, with the shipped model."""

import json

import pytest
from PIL import Image

from find.cli.main import main
from find.world.scene import scene

SEED = 4711


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    (folder / "photos").mkdir()
    for index in range(4):
        Image.fromarray(scene(SEED, "val2017", index).image).save(folder / "photos" / f"{index}.png")
    assert main(["index", str(folder / "photos"), str(folder / "my.album")]) == 0
    return folder


@pytest.fixture(scope="module")
def named():
    """A thing of the first scene, in words, and one that no scene has."""
    found = [one for index in range(4) for one in scene(SEED, "val2017", index).segments if one.look]
    kinds = {one.kind.name for one in found}
    absent = next(name for name in ("giraffe", "kite", "airplane", "clock", "boat", "vase") if name not in kinds)
    first = next(one for one in scene(SEED, "val2017", 0).segments if one.look)
    return f"a {first.look.colour.name} {first.kind.nouns[0]}", f"a {absent}"


def _json(capsys, *arguments):
    capsys.readouterr()
    assert main([*map(str, arguments), "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_thing_that_is_not_there_does_not_look_found(capsys, place, named):
    there, absent = named
    photo = place / "photos" / "0.png"
    found, other = _json(capsys, "segment", photo, f"{{{there}}} and {{{absent}}}")["entities"]
    assert found["present"] > 0.5 > other["present"]
    assert other["doubtful"] is True
    capsys.readouterr()
    assert main(["segment", str(photo), f"{{{absent}}}"]) == 0
    assert "doubtful: probably not there" in capsys.readouterr().out


def test_all_of_a_folder_are_found_and_none_where_there_is_none(capsys, place, named):
    there, absent = named
    found = _json(capsys, "segment", place / "photos", f"{{{there}}}", "--all", "--png", place / "found")
    assert len(found["images"][0]["instances"]) >= 1 and len(list((place / "found").glob("*.png"))) == 4
    assert all(0.5 <= one["score"] <= 1 for image in found["images"] for one in image["instances"])
    none = _json(capsys, "segment", place / "photos", f"{{{absent}}}", "--all", "--threshold", "0.9")
    assert [image["instances"] for image in none["images"]] == [[]] * 4


def test_examples_are_joined_and_what_is_not_meant_is_left_out(capsys, place, named):
    photo = place / "photos" / "0.png"
    first = next(one for one in scene(SEED, "val2017", 0).segments if one.look)
    example = f"[{photo}@{','.join(map(str, first.box))}]"
    every = _json(capsys, "segment", photo, example, "--all", "--and", f"{{{named[0]}}}", "--threshold", "0")
    less = _json(capsys, "segment", photo, example, "--all", "--without", example, "--threshold", "0.26")
    assert every["instances"] and less["instances"] == []  # p (1 - p) is a quarter at most


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["{a dog}", "--threshold", "0.4"], "--threshold belongs to --all"),
        (["{a dog}", "--without", "{a cat}"], "--without belongs to --all"),
        (["{a dog} on {grass}", "--all"], "seeks one thing"),
    ],
)
def test_wrong_uses_of_all_are_told(capsys, place, arguments, expected):
    assert main(["segment", str(place / "photos" / "0.png"), *arguments]) != 0
    assert expected in capsys.readouterr().err


def test_nothing_found_is_an_answer(capsys, place, named):
    there, absent = named
    album = place / "my.album"
    assert _json(capsys, "search", album, f"{{{there}}}", "--min-relevance", "0.5")["hits"][0]["relevance"] >= 0.5
    capsys.readouterr()
    assert main(["search", str(album), f"{{{absent}}}", "--min-relevance", "0.9"]) == 0
    assert "nothing found: no image has a relevance of 0.9 or more" in capsys.readouterr().out
