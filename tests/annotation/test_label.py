"""What a model finds on photographs becomes annotations that every reader takes as they are."""

import json
from argparse import Namespace
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import find
from find.annotation.importing import import_export
from find.annotation.labelling.duplicates import across_classes
from find.annotation.labelling.finders import as_label
from find.annotation.labelling.polygons import polygons, rings, single_polygon
from find.cli.label import classes_of, next_commands
from find.cli.main import main
from find.data.check import check_folder
from find.data.outlines import draw
from find.data.yolo import YoloFolder
from find.images.rle import decode
from find.model.model import FIND
from find.model.predictions import EntityMask
from find.query.entity import Region
from find.world import generate_world

CLASSES = {"dog": "{a dog}", "cat": "{a cat}", "chair": "{a chair}", "umbrella": "{an umbrella}"}
masks = arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(
    lambda mask: mask.sum() > mask[0, 0]
)


@pytest.fixture(scope="module")
def model() -> FIND:
    return FIND.from_pretrained("find-tiny").eval()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes, one of them in a sub-folder, and a file that is no picture although it is named so."""
    world = tmp_path_factory.mktemp("world")
    generate_world(world, images=1, val_images=12, seed=4, workers=1, progress=False)
    folder = world / "val2017"
    (folder / "more").mkdir()
    first = min(folder.glob("*.jpg"))
    first.rename(folder / "more" / first.name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    return folder


@pytest.fixture(scope="module")
def labels(model: FIND, photos: Path) -> find.Labels:
    return find.label(model, photos, CLASSES, threshold=0.5, progress=False)


def pixels(one: find.Label) -> np.ndarray:
    return decode(one.segmentation, tuple(one.segmentation["size"]))


@given(masks)
def test_polygons_are_drawn_by_coco_s_library_as_the_same_pixels(mask: np.ndarray):
    for shape in ([single_polygon(mask)], polygons(mask)):
        outline = draw([ring.ravel().tolist() for ring in shape], mask.shape)
        assert np.array_equal(decode(outline.code, mask.shape), mask)


@given(masks)
def test_rings_go_along_the_pixels_edges(mask: np.ndarray):
    for ring in rings(mask):
        steps = np.abs(np.roll(ring, -1, axis=0) - ring)
        assert ((steps > 0).sum(axis=1) == 1).all()  # no step is slanted, none is empty
        assert (np.argmax(steps > 0, axis=1)[::2] != np.argmax(steps > 0, axis=1)[1::2]).all()


def test_labels_are_what_find_all_finds_of_each_photograph(model: FIND, photos: Path, labels: find.Labels):
    assert [one.path.name for one in labels.skipped] == ["broken.jpg"] and len(labels.photos) == 12
    assert len(labels) > 12 and all(labels.counts.values())
    twice = 0
    for photo in labels.photos:
        for name, query in CLASSES.items():
            found = model.find_all(photos / photo.path, query, threshold=0.5)
            own = [one for one in photo.labels if one.category == name]
            twice += len(found) - len(own)
            scores = [one.score for one in found]
            for one in own:
                (same,) = [other for other in found if np.array_equal(other.mask, pixels(one))]
                assert one.score == pytest.approx(same.score, abs=1e-4) and max(scores) >= one.score - 1e-4
                x0, y0, x1, y1 = same.box
                assert one.area == same.mask.sum() and one.box == (x0, y0, x1 - x0, y1 - y0)
    assert twice == labels.duplicates.total()


def test_an_object_that_two_classes_find_is_kept_once_and_told(model: FIND, photos: Path):
    asked = {"dog": "{a dog}", "pet": "{a dog}"}
    once = find.label(model, photos, asked, progress=False)
    both = find.label(model, photos, asked, keep_duplicates=True, progress=False)
    assert once.counts["pet"] == 0 and once.counts["dog"] > 0
    assert once.duplicates == both.duplicates == Counter({("dog", "pet"): once.counts["dog"]})
    assert both.counts == {"dog": once.counts["dog"], "pet": once.counts["dog"]}
    of_one_class = find.label(model, photos, {"dog": ["{a dog}", "{a dog}"]}, progress=False)
    assert of_one_class.counts == {"dog": once.counts["dog"]} and not of_one_class.duplicates


def test_a_part_of_an_object_is_no_duplicate():
    car, wheel = np.zeros((2, 20, 40), bool)
    car[5:15, 5:35] = True
    wheel[10:15, 8:14] = True
    found = [as_label("wheel", "a wheel", EntityMask(wheel, 0.9)), as_label("car", "a car", EntityMask(car, 0.8))]
    assert across_classes(found) == (found, [])


def test_only_the_best_of_a_class_and_examples_of_other_photographs(model: FIND, photos: Path, labels: find.Labels):
    best = find.label(model, photos, CLASSES, only_best=True, progress=False)
    assert all(max(Counter(one.category for one in photo.labels).values(), default=0) <= 1 for photo in best.photos)
    assert len(best) < len(labels)
    shown, label = next((photo, one) for photo in labels.photos for one in photo.labels if one.category == "dog")
    example = Region(photos / shown.path, mask=pixels(label))
    found = find.label(model, photos, {"like it": example}, progress=False)
    (own,) = [photo for photo in found.photos if photo.path == shown.path]
    assert any((pixels(one) & pixels(label)).sum() > 0.8 * label.area for one in own.labels)
    excluded = find.label(model, photos, {"like it": example - example}, threshold=0.26, progress=False)
    assert len(excluded) == 0  # p (1 - p) is a quarter at most


def test_models_without_a_match_head_label_by_their_classes(photos: Path, labels: find.Labels):
    other = FIND.from_pretrained("find-tiny").eval()
    other.interface.match_head = None
    found = find.label(other, photos, CLASSES, progress=False)
    common = sum(
        any((pixels(one) & pixels(two)).sum() > 0.7 * (pixels(one) | pixels(two)).sum() for two in photo.labels)
        for photo, mine in zip(labels.photos, found.photos, strict=True)
        for one in mine.labels
    )
    assert found.settings["score"] != labels.settings["score"] and common > 0.7 * len(found) > 0
    with pytest.raises(find.InputError, match="no match head, so that it labels by phrases only"):
        find.label(other, photos, Region(photos / labels.photos[0].path, points=(9, 9)), progress=False)


@pytest.mark.parametrize("options", [[], ["--polygons"]], ids=["codes", "polygons"])
def test_coco_json_is_imported_and_checked_without_a_finding(
    photos: Path, labels: find.Labels, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    from pycocotools.coco import COCO

    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in labels.photos:
        (folder / Path(photo.path).name).symlink_to(photos / photo.path)
    (folder / "gone.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    asked = [word for query in CLASSES.values() for word in ("--query", query)]
    out = folder / "labels.json"
    assert main(["label", str(folder), *asked, "--out", str(out), *options]) == 0
    expected = capsys.readouterr()
    assert "12 photos, 1 skipped" in expected.out and "gone.jpg" in expected.err
    assert f"dog: {labels.counts['dog']} instances in" in expected.out
    assert main(["label", str(folder), *asked, "--out", str(out)]) == 2
    assert "already exists" in capsys.readouterr().err
    coco = COCO(str(out))
    capsys.readouterr()
    assert len(coco.anns) == len(labels) and {one["name"] for one in coco.cats.values()} == set(CLASSES)
    for annotation in coco.anns.values():
        assert coco.annToMask(annotation).sum() == annotation["area"] and 0.5 <= annotation["score"] <= 1
    (folder / "gone.jpg").unlink()
    result = import_export(folder, tmp_path / "data", progress=False)
    assert [issue for issue in result.issues if issue.kind != "object hidden"] == []
    assert sum(result.objects.values()) == len(labels) and sum(result.pictures.values()) == 12
    assert {issue.kind for issue in check_folder(tmp_path / "data").issues} <= {"object hidden", "no captions"}
    areas = Counter()
    for split in ("train", "val"):
        content = json.loads((tmp_path / "data" / "annotations" / f"instances_{split}.json").read_text())
        areas.update(one["area"] for one in content["annotations"])
    assert areas == Counter(one.area for one in labels)


def test_yolo_folders_are_read_without_a_finding_as_the_same_masks(labels: find.Labels, tmp_path: Path):
    made = labels.save_yolo(tmp_path / "yolo", val_fraction=0.25)
    assert made.pictures == {"train": 9, "val": 3}
    report = YoloFolder.check(tmp_path / "yolo")
    assert {issue.kind for issue in report.issues} <= {"picture without objects"}  # which is so
    assert len(report.issues) == len(labels.empty)
    areas = Counter()
    for split in ("train", "val"):
        instances = YoloFolder(tmp_path / "yolo", split).instances(report.issues.__class__)
        areas.update(
            draw(one.segmentation, (instances.images[one.image_id].height, instances.images[one.image_id].width)).pixels
            for one in instances.objects
        )
    assert areas == Counter(one.area for one in labels)


def test_pictures_that_differ_in_their_suffix_only_have_labels_of_their_own(labels: find.Labels, tmp_path: Path):
    names = ["a/IMG_1.jpg", "a/IMG_1.png", "a/IMG_1_jpg.jpg", "b/IMG_1.jpg"]
    photos = [replace(photo, path=name) for photo, name in zip(labels.photos, names, strict=False)]
    folder = tmp_path / "yolo"
    replace(labels, root=tmp_path, photos=photos).save_yolo(folder, val_fraction=0.5)
    links = {
        Path(*path.relative_to(folder / "images").parts[1:]).as_posix(): path for path in folder.rglob("images/*/*/*")
    }
    wanted = ["a/IMG_1_jpg_.jpg", "a/IMG_1_png.png", "a/IMG_1_jpg.jpg", "b/IMG_1.jpg"]
    assert {name: links[name].readlink() for name in links} == {
        link: tmp_path / name for link, name in zip(wanted, names, strict=True)
    }
    assert len(list(folder.rglob("labels/*/*/*.txt"))) == 4


def test_the_next_command_of_one_photo_names_its_folder(labels: find.Labels, tmp_path: Path):
    photo = tmp_path / "one.jpg"
    photo.touch()
    arguments = Namespace(out=tmp_path / "labels.json", photos=photo, format="coco", weights="find-tiny")
    review, *_ = next_commands(arguments, replace(labels, root=tmp_path))
    assert review == f"findvl review {tmp_path / 'labels.json'} {tmp_path}"


def test_classes_of_the_command_line():
    found = classes_of(
        ["{a red car}", "van=a white van", "van={a grey van}"],
        ["van=a.jpg@1,2,30,40", "van=b=1.jpg@5,6", "crack=c.jpg#mask.png"],
        ["{a truck}", "crack=d.jpg@7,8"],
    )
    expected = {
        name: [([q.format() for q in one.include], [q.format() for q in one.exclude]) for one in sought]
        for name, sought in found.items()
    }
    assert expected == {
        "red car": [(["{a red car}"], ["{a truck}"])],
        "van": [
            (["{a white van}"], ["{a truck}"]),
            (["{a grey van}"], ["{a truck}"]),
            (["[a.jpg@1,2,30,40]", "[b=1.jpg@5,6]"], ["{a truck}"]),
        ],
        "crack": [(["[c.jpg#mask.png]"], ["{a truck}", "[d.jpg@7,8]"])],
    }
    assert list(classes_of([], ["a.jpg@1,2"], [])) == ["object"]
    assert list(classes_of(["the dog"], ["a.jpg@1,2"], [])) == ["dog"]


@pytest.mark.parametrize("threshold", ["0.00001", "1"])
def test_what_to_try_is_told_where_nothing_is_found_at_all(threshold: str, photos: Path, tmp_path: Path, capsys):
    photo = sorted(photos.glob("*.jpg"))[0]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / photo.name).symlink_to(photo)
    out = str(tmp_path / "labels.json")
    assert main(["label", str(tmp_path / "photos"), "--query", "{a dog}", "--out", out, "--threshold", threshold]) == 0
    told = capsys.readouterr().out
    assert ("find-tiny knows drawn scenes only" in told) == ("dog: 0 instances" in told) == (threshold == "1")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "nothing to find"),
        (["--query", "{a dog} on {grass}"], "a class is one thing"),
        (["--query", "{a dog}", "--query", "{a cat}", "--exemplar", "x.jpg@1,2"], "say which class it shows"),
        (["--query", "{a dog}", "--not", "cat={a cat}"], "there is no class 'cat'"),
        (["--query", "{a dog}", "--exemplar", "x.jpg"], "say where in the photo it is"),
        (["--query", "{a dog}", "--exemplar", "x.jpg@1,2"], "x.jpg: no such image file"),
        (["--query", "{a dog}", "--format", "yolo", "--polygons"], "--polygons belongs to COCO JSON"),
        (["--query", "{a dog}", "--format", "yolo", "--val-fraction", "2", "--weights", "none"], "share of val must"),
        (["--query", "{a dog}", "--out", "labels.txt"], "give the name of a JSON file"),
    ],
)
def test_what_cannot_be_labelled_is_told(
    photos: Path, arguments: list[str], expected: str, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["label", str(photos), "--out", "labels.json", *arguments]) == 2
    assert expected in capsys.readouterr().err and not list(tmp_path.iterdir())
