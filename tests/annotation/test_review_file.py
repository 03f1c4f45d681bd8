"""A review loses nothing: ids and foreign fields stay, what is dropped can be taken back, other writers are seen."""

import json
from pathlib import Path

import numpy as np
import pytest
from exports import HEIGHT, OBJECTS, WIDTH, coco, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from find.annotation.importing import import_export
from find.annotation.labelling.review import Review, state
from find.cli.main import main
from find.errors import DataError, FindError, InputError
from find.images.rle import decode

NAMES = list(OBJECTS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos, and labels of theirs with fields of another tool."""
    folder = tmp_path / "photos"
    for name in NAMES:
        picture(folder / name)
    content = coco(NAMES)
    content["licenses"] = [{"id": 7}]
    for one in content["annotations"]:
        one |= {"score": 0.75, "attributes": {"occluded": False}}
    (folder / "labels.json").write_text(json.dumps(content))
    return folder


def read(folder: Path) -> dict:
    return json.loads((folder / "labels.json").read_text())


def box_mask(x: int = 10, y: int = 10) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + 12, x : x + 16] = True
    return mask


def test_decisions_are_in_the_file_at_once_and_change_nothing_else(folder: Path):
    before = read(folder)
    first, second, *others = [one["id"] for one in before["annotations"]]
    review = Review(folder / "labels.json", folder)
    review.decide(first, "kept")
    review.decide(second, "dropped")
    after = read(folder)
    assert [one["id"] for one in after["annotations"]] == [first, *others]
    assert after["annotations"][0] == before["annotations"][0] | {"review": "kept"}
    assert after["dropped"] == [before["annotations"][1] | {"review": "dropped"}]
    assert after["annotations"][1:] == before["annotations"][2:]
    assert after["licenses"] == before["licenses"] and after["categories"] == before["categories"]
    assert after["info"]["review"]["kept"] == after["info"]["review"]["dropped"] == 1
    review.decide(first, "undecided")
    review.decide(second, "undecided")
    again = read(folder)
    assert (again["annotations"], again["images"], again["dropped"]) == (before["annotations"], before["images"], [])


def test_a_corrected_mask_keeps_what_was_found_and_can_be_taken_back(folder: Path):
    before = read(folder)["annotations"][0]
    review = Review(folder / "labels.json", folder)
    review.correct(before["id"], box_mask())
    one = read(folder)["annotations"][0]
    assert (one["id"], one["review"], one["area"], one["bbox"]) == (before["id"], "corrected", 192, [10, 10, 16, 12])
    assert np.array_equal(decode(one["segmentation"], (HEIGHT, WIDTH)), box_mask())
    assert one["found"] == {name: before[name] for name in ("segmentation", "area", "bbox")}
    review.correct(before["id"], box_mask(30))
    assert read(folder)["annotations"][0]["found"] == one["found"]  # the first one, not the last correction
    review.decide(before["id"], "kept")
    assert read(folder)["annotations"][0]["review"] == "corrected"
    review.decide(before["id"], "undecided")
    assert read(folder)["annotations"][0] == before


def test_a_correction_undone_leaves_the_mask_before_it(folder: Path):
    review = Review(folder / "labels.json", folder)
    number = read_first(review)
    review.correct(number, box_mask())
    for change in (lambda: review.correct(number, box_mask(30)), lambda: review.decide(number, "dropped")):
        before, version = read(folder), review.version(number)
        change()
        review.correct(number, box_mask(40))
        review.restore(number, version)
        assert read(folder) == before and review.version(number) == version
    with pytest.raises(InputError, match="no version 9"):
        review.restore(number, 9)


def test_another_class_can_be_taken_back(folder: Path):
    before = read(folder)["annotations"][0]
    review = Review(folder / "labels.json", folder)
    other = next(id for id in review.categories if id != before["category_id"])
    review.rename(before["id"], other)
    review.rename(before["id"], other)
    one = read(folder)["annotations"][0]
    assert one["category_id"] == other and one["found"] == {"category_id": before["category_id"]}
    review.correct(before["id"], box_mask())
    review.decide(before["id"], "undecided")
    assert read(folder)["annotations"][0] == before


def test_a_class_given_after_a_correction_outlives_its_undo(folder: Path):
    before = read(folder)["annotations"][0]
    number, category = before["id"], before["category_id"]
    review = Review(folder / "labels.json", folder)
    other = next(id for id in review.categories if id != category)
    version = review.version(number)
    review.correct(number, box_mask())
    review.rename(number, other)
    review.restore(number, version)
    renamed = {"category_id": other, "found": {"category_id": category}, "review": "kept"}
    assert read(folder)["annotations"][0] == before | renamed
    review.decide(number, "undecided")
    assert read(folder)["annotations"][0] == before


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("nope.json", "there is no such file"),
        ("an.album", "this is an album, which is searched, not reviewed"),
        ("photos", "give its COCO JSON: findvl review "),
        ("empty", "findvl label "),
    ],
)
def test_what_is_no_annotation_file_is_told(given: str, told: str, folder: Path, tmp_path: Path, capsys):
    (tmp_path / "empty").mkdir()
    versions = tmp_path / "an.album" / "images.lance" / "_versions"
    versions.mkdir(parents=True)
    (versions / "1.manifest").touch()
    assert main(["review", str(tmp_path / given), "--no-browser"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / given}: ") and told in error and error.count("\n") == 1


@pytest.mark.parametrize("value", ["accepted", True, None, ["kept"], "dropped"])
def test_another_tool_s_review_field_is_no_decision(folder: Path, value: object):
    content = read(folder)
    content["annotations"][0] |= {"review": value, "found": "by hand"}
    (folder / "labels.json").write_text(json.dumps(content))
    review = Review(folder / "labels.json", folder)
    first, second = [one["id"] for one in content["annotations"][:2]]
    assert sum(review.counts().values()) == len(content["annotations"])
    if value != "dropped":
        review.decide(second, "kept")
        review.decide(first, "undecided")
        assert read(folder)["annotations"][0] == content["annotations"][0]
    review.correct(first, box_mask())
    assert read(folder)["annotations"][0]["found"]["area"] == content["annotations"][0]["area"]
    review.decide(first, "dropped")
    review.decide(first, "kept")
    assert read(folder)["annotations"][0]["review"] == "kept" and not read(folder)["dropped"]


def test_photos_are_reviewed_when_nothing_on_them_is_undecided(folder: Path):
    review = Review(folder / "labels.json", folder)
    photo = next(id for id, one in review.photos.items() if len(review.objects(id)) > 1)
    first, *others = [one["id"] for one in review.objects(photo)]
    review.decide(first, "dropped")
    assert not review.is_reviewed(photo)
    review.finish(photo)
    assert review.is_reviewed(photo) and state(review.objects(photo)[0]) == "dropped"
    assert Review(folder / "labels.json", folder).is_reviewed(photo)  # a review is taken up again
    new = review.add(photo, 1, box_mask())
    assert new not in (first, *others) and review.is_reviewed(photo)
    review.decide(others[0], "undecided")
    assert not review.is_reviewed(photo)


def test_what_is_imported_is_what_was_kept_corrected_and_added(folder: Path, tmp_path: Path):
    review = Review(folder / "labels.json", folder)
    first, second, third, *_ = [one["id"] for one in read(folder)["annotations"]]
    photo = read(folder)["annotations"][0]["image_id"]
    review.decide(first, "dropped")
    review.correct(second, box_mask())
    review.rename(third, 2)
    review.add(photo, 3, box_mask(40, 30))
    result = import_export(folder, tmp_path / "data", progress=False)
    assert not [one for one in result.issues if one.kind not in ("object hidden", "class that train lacks")]
    assert sum(result.objects.values()) == sum(map(len, OBJECTS.values()))  # one fewer, one more
    content = [json.loads(path.read_text()) for path in (tmp_path / "data/annotations").glob("instances_*.json")]
    areas = [one["area"] for part in content for one in part["annotations"]]
    assert areas.count(box_mask().sum()) == 2


def test_another_writer_is_noticed_and_not_written_over(folder: Path):
    review = Review(folder / "labels.json", folder)
    (folder / "labels.json").write_text("mine")
    with pytest.raises(DataError, match="another program has changed it"):
        review.decide(read_first(review), "kept")
    assert (folder / "labels.json").read_text() == "mine"


def read_first(review: Review) -> int:
    return review.objects(next(iter(review.photos)))[0]["id"]


def test_another_file_is_written_where_one_is_named(folder: Path):
    before = (folder / "labels.json").read_bytes()
    review = Review(folder / "labels.json", folder, folder.parent / "out" / "corrected.json")
    review.decide(read_first(review), "dropped")
    assert (folder / "labels.json").read_bytes() == before
    assert len(json.loads((folder.parent / "out" / "corrected.json").read_text())["dropped"]) == 1
    with pytest.raises(InputError, match="already exists"):
        Review(folder / "labels.json", folder, folder.parent / "out" / "corrected.json")


STEPS = st.lists(
    st.tuples(st.sampled_from(["undecided", "kept", "dropped", "corrected", "added", "finish"]), st.integers(0, 99)),
    max_size=12,
)


@settings(max_examples=40)
@given(STEPS)
def test_no_order_of_decisions_loses_an_object(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]):
    folder = tmp_path_factory.mktemp("review")
    for name in NAMES[:2]:
        picture(folder / name)
    content = coco(NAMES[:2])
    (folder / "labels.json").write_text(json.dumps(content))
    review = Review(folder / "labels.json", folder)
    ids = {one["id"] for one in content["annotations"]}
    for action, number in steps:
        known = sorted(ids)
        one, photo = known[number % len(known)], list(review.photos)[number % 2]
        if action == "added":
            ids.add(review.add(photo, 1, box_mask()))
        elif action == "corrected":
            review.correct(one, box_mask(number % 70))
        elif action == "finish":
            review.finish(photo)
        else:
            review.decide(one, action)
        after = read(folder)
        kept, dropped = ([one["id"] for one in after[name]] for name in ("annotations", "dropped"))
        assert sorted(kept + dropped) == sorted(ids)
        assert all(one["review"] == "dropped" for one in after["dropped"])
    for one in content["annotations"]:
        review.decide(one["id"], "undecided")
    after = {one["id"]: one for one in read(folder)["annotations"]} if steps else {}
    assert all(after.get(one["id"], one) == one for one in content["annotations"])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda content: content.pop("images"), 'no list of objects "images"'),
        (lambda content: content["annotations"][1].update(id=content["annotations"][0]["id"]), "have one id"),
        (lambda content: content["images"][0].update(width="wide"), "image 0"),
        (lambda content: content.update(dropped=[3]), '"dropped" is not a list'),
        (
            lambda content: [one.update(file_name=f"x/{k}.png") for k, one in enumerate(content["images"])],
            "none of its",
        ),
    ],
)
def test_files_that_cannot_be_reviewed_are_told(folder: Path, change, expected: str):
    content = read(folder)
    change(content)
    (folder / "labels.json").write_text(json.dumps(content))
    with pytest.raises(FindError, match=expected):
        Review(folder / "labels.json", folder)
