"""Instances as tools and scripts write them: the figure is right or the fault is told, in check, score and build."""

import contextlib
import copy
import io
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from broken_files import complete, predictions, uncompressed
from tiny_folder import DOG_BOX, HEIGHT, WIDTH, TinyFolder, dog, make_tiny_folder, segment_ids

from find.annotation.build import Built, build
from find.cli.main import main
from find.data.check import check_folder
from find.data.coco import CocoFolder
from find.errors import FindError
from find.evaluation.prediction_files.score import FileTask, find_files, score
from find.evaluation.systems.run import Settings

SETTINGS = Settings(split="val2017", clicked_images=1)
X, Y, W, H = DOG_BOX
SQUARE = [X, Y, X + W, Y, X + W, Y + H, X, Y + H]
RUNS = uncompressed(segment_ids(1) == dog(1))
INSTANCES = "instances_val2017.json"
Objects = list[dict[str, Any]]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> TinyFolder:
    """The tiny folder with a dog in each image and a crowd in the first, and right predictions of the dogs."""
    tiny = make_tiny_folder(tmp_path_factory.mktemp("written") / "data")
    tiny.files = complete(tiny)
    (tiny.root / "instances.json").write_text(json.dumps(predictions()["instances.json"]))
    return tiny


@pytest.fixture
def data(sound: TinyFolder, tmp_path: Path) -> TinyFolder:
    """A copy to spoil."""
    root = shutil.copytree(sound.root, tmp_path / "data")
    return TinyFolder(root, json.loads(json.dumps(sound.files)))


def objects(data: TinyFolder) -> Objects:
    return data.files[INSTANCES]["annotations"]


def average_precision(data: TinyFolder) -> float | None:
    files = find_files(data.root / "instances.json", FileTask.INSTANCES)
    return score(files, data.write(), SETTINGS, progress=False).results["panoptic"].instances.ap


def built_of_instances(data: TinyFolder, out: Path) -> Built:
    """`bench build` of images, instances and captions alone."""
    bare = data.root.parent / "bare"
    (bare / "annotations").mkdir(parents=True, exist_ok=True)
    if not (bare / "val2017").exists():
        (bare / "val2017").symlink_to(data.root / "val2017")
    for name in (INSTANCES, "captions_val2017.json"):
        (bare / "annotations" / name).write_text(json.dumps(data.files[name]))
    return build(bare, out=out, progress=False)


# --- the truth of AP -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ids",
    [[0, 1, 2, 3], [0, 0, 0, 0], [7, 7, 7, 7], [-1, -2, -3, -4], ["1", "2", "3", "4"], ["a", "a", "b", "é"],
     [None] * 4, [1, "1", 1.0, True], [2**40, 2**70, 0.5, []], [float("nan")] * 4, ["\ud800"] * 4, [4, 3, 2, 1]],
    ids=ascii,
)  # fmt: skip
def test_ids_of_objects_mislead_nobody(data: TinyFolder, ids: list):
    for one, id in zip(objects(data), ids, strict=True):
        one["id"] = id
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert average_precision(data) == pytest.approx(1)


@pytest.mark.parametrize("field", ["image_id", "category_id", "iscrowd"])
def test_numbers_as_text_are_read_and_told(data: TinyFolder, field: str):
    for one in objects(data):
        one[field] = str(one.get(field, 0))
    with pytest.warns(UserWarning, match="numbers as text"):
        assert average_precision(data) == pytest.approx(1)


@pytest.mark.parametrize(
    "segmentation",
    [
        [SQUARE],
        SQUARE,
        [[[X, Y], [X + W, Y], [X + W, Y + H], [X, Y + H]]],
        [[X, Y], [X + W, Y], [X + W, Y + H], [X, Y + H]],
        [list(map(float, SQUARE)), []],
        RUNS,
        {"size": (HEIGHT, WIDTH), "counts": RUNS["counts"]},
    ],
)
def test_every_form_of_a_mask_is_that_mask(data: TinyFolder, segmentation: object):
    objects(data)[0]["segmentation"] = segmentation
    assert average_precision(data) == pytest.approx(1)


@pytest.mark.parametrize(
    "area", [None, 0, -1, 1e12, float("nan"), "320", [], {}, True, 10**400], ids=lambda v: str(v)[:8]
)
def test_no_area_changes_average_precision(data: TinyFolder, area: object):
    for one in objects(data):
        one["area"] = area
    assert average_precision(data) == pytest.approx(1)
    assert not check_folder(data.root).has_errors


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({**RUNS, "size": [WIDTH, HEIGHT]}, r"the mask's size is \[64, 48\]"),
        ({**RUNS, "size": [HEIGHT]}, "the mask's size"),
        ({"size": RUNS["size"], "counts": [*RUNS["counts"], 40]}, "add up to 3112 pixels, the image has 3072"),
        ({"size": RUNS["size"], "counts": RUNS["counts"][:-1]}, "the image has 3072"),
        ({"size": RUNS["size"], "counts": "PQ"}, "in the middle|the runs add up"),
        ({"size": RUNS["size"], "counts": ["1", 3071]}, "whole numbers"),
        ({"size": RUNS["size"], "counts": None}, "counts must be"),
        ({"counts": RUNS["counts"]}, "run-length code"),
        ([SQUARE[:-1]], "x and y make it an even number"),
        ([["8", *SQUARE[1:]]], 'holds "8", not a number'),
        ("mask.png", "neither polygons nor a run-length code"),
        (True, "neither polygons nor a run-length code"),
    ],
)
def test_a_mask_that_cannot_be_drawn_is_one_line_everywhere(
    data: TinyFolder, tmp_path: Path, segmentation: object, message: str
):
    objects(data)[0]["segmentation"] = segmentation
    with pytest.raises(FindError, match=f"{INSTANCES}, instance 1 of image 1.*({message})"):
        average_precision(data)
    found = [one for one in check_folder(data.root).issues if one.file == INSTANCES]
    assert [(one.kind, one.item) for one in found] == [("broken mask", "instance 1 of image 1")]
    expected = built_of_instances(data, tmp_path / "out").notes
    assert any("broken mask, 1 times" in line and "instance 1 of image 1" in line for line in expected)


WITHOUT_MASK = [
    None, [], {}, [[]], [[X, Y, X + W, Y + H]], [[X, Y]], [[200, 200, 240, 200, 240, 240]], [[5, 5, 9, 9, 7, 7]],
    {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}, [[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]],
]  # fmt: skip


@pytest.mark.parametrize("segmentation", WITHOUT_MASK, ids=str)
def test_an_object_without_mask_is_left_out_counted_and_told(data: TinyFolder, tmp_path: Path, segmentation: object):
    objects(data)[2]["segmentation"] = segmentation  # that of the image whose prediction scores least
    with pytest.warns(UserWarning, match="object without a mask: 1 .first: instance 3 of image 3"):
        assert average_precision(data) == pytest.approx(1)
    found = [one for one in check_folder(data.root).issues if one.file == INSTANCES]
    assert [(one.kind, one.item) for one in found] == [("object without a mask", "instance 3 of image 3")]
    built = built_of_instances(data, tmp_path / "out")
    assert any("object without a mask, 1 times" in line and "instance 3 of image 3" in line for line in built.notes)
    assert [len(CocoFolder(tmp_path / "out", "val2017").segments(id)) for id in (1, 2, 3)] == [2, 1, 0]


def test_a_missing_mask_counts_like_an_empty_one(data: TinyFolder):
    del objects(data)[2]["segmentation"]
    with pytest.warns(UserWarning, match="object without a mask: 1"):
        assert average_precision(data) == pytest.approx(1)


def test_an_object_thinner_than_any_pixel_stays_in_the_truth_as_in_cocos_own_and_is_told_by_a_build(
    data: TinyFolder, tmp_path: Path
):
    objects(data)[2]["segmentation"] = [[5.1, 5.1, 5.2, 5.1, 5.2, 5.2]]
    assert average_precision(data) < 0.9
    expected = built_of_instances(data, tmp_path / "out").notes
    assert any("object without a pixel, 1 times" in line for line in expected)


@pytest.mark.parametrize(
    "images", [[], [{"id": 1}], [{"id": None, "file_name": "a.jpg", "height": 1, "width": 1}]], ids=str
)
def test_a_build_of_no_image_is_refused(data: TinyFolder, tmp_path: Path, images: list):
    data.files[INSTANCES]["images"] = images
    with pytest.raises(FindError, match=f'{INSTANCES}: none of its "images" can be used'):
        built_of_instances(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_build_whose_maps_cannot_be_written_is_refused(data: TinyFolder, tmp_path: Path):
    data.files[INSTANCES]["images"][1]["file_name"] = "x" * 300 + ".jpg"
    with pytest.raises(FindError, match=f"{INSTANCES}, image 2: its map cannot be written: .*too long"):
        built_of_instances(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_instances_alone_is_told_how_to_become_panoptic(data: TinyFolder):
    (data.root / "annotations/panoptic_val2017.json").unlink()
    with pytest.raises(
        FindError, match=r"panoptic_val2017\.json: .*it is not there. `findvl bench build .*` makes it of"
    ):
        CocoFolder(data.root, "val2017")


# --- what a build makes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("area", [None, 0, 1e12, "1", [1]], ids=str)
def test_areas_of_a_build_are_counted(data: TinyFolder, tmp_path: Path, area: object):
    small = [X + 4, Y + 4, X + 8, Y + 4, X + 8, Y + 8, X + 4, Y + 8]
    objects(data).append({"id": 9, "image_id": 2, "category_id": 1, "segmentation": [small], "iscrowd": 0})
    for one in objects(data):
        one["area"] = area
    built_of_instances(data, tmp_path / "out")
    found = CocoFolder(tmp_path / "out", "val2017").segments(2)
    assert sorted((one.category_id, one.area) for one in found) == [(1, 16), (18, W * H - 16)]


@pytest.mark.parametrize(
    "color", ["#ff00ff", "red", None, [1], [1, 2, 3, 4], [300, -1, 0], [0.5, 0.5, 0.5], 7, {}], ids=str
)
def test_a_colour_is_for_drawing_only(data: TinyFolder, tmp_path: Path, color: object):
    for name in (INSTANCES, "panoptic_val2017.json"):
        for category in data.files[name]["categories"]:
            category["color"] = color
    assert average_precision(data) == pytest.approx(1)
    assert not check_folder(data.root).has_errors
    assert built_of_instances(data, tmp_path / "out").images == 3
    assert all(len(one.color) == 3 for one in CocoFolder(tmp_path / "out", "val2017").categories)


def test_hidden_objects_are_told_one_by_one(data: TinyFolder, tmp_path: Path):
    objects(data).append({**objects(data)[1], "id": 8, "category_id": 1})
    expected = built_of_instances(data, tmp_path / "out").notes
    assert any("object hidden, 1 times" in line and "of image 2" in line for line in expected)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda files: [one.update(segmentation="mask.png") for one in files[INSTANCES]["annotations"]],
        lambda files: files[INSTANCES]["images"][1].update(file_name="000000000001.png"),
        lambda files: files[INSTANCES].update(images=7),
        lambda files: files["captions_val2017.json"].update(annotations=7),
    ],
    ids=["no mask", "same map", "no images", "no captions"],
)
@pytest.mark.parametrize("beside", [True, False], ids=["beside", "out"])
def test_a_failed_build_leaves_nothing_that_a_later_one_takes(
    data: TinyFolder, tmp_path: Path, spoil: Callable[[dict[str, Any]], object], beside: bool
):
    good = copy.deepcopy(data.files)
    bare, out = data.root.parent / "bare", None if beside else tmp_path / "out"
    built_of_instances(data, tmp_path / "before")
    before = sorted(bare.rglob("*"))
    spoil(data.files)
    with pytest.raises(FindError):
        built_of_instances(data, out)
    assert sorted(bare.rglob("*")) == before and not (tmp_path / "out").exists()
    data.files = good
    again = built_of_instances(data, out)
    assert again.path.read_bytes() == (tmp_path / "before" / "annotations" / again.path.name).read_bytes()


# --- texts that are none, names that no terminal shows ---------------------------------------------------------------

BUILD = ["bench", "build", "--foundation", "none", "--name", "entity_again"]
NO_TEXT = [None, 17, 1.5, True, ["A dog."], {"text": "A dog."}]


@pytest.mark.parametrize("text", NO_TEXT, ids=str)
@pytest.mark.parametrize(
    ("file", "field", "item"),
    [("captions_val2017.json", "caption", "caption 1 of image 1"),
     ("referring_val2017.json", "sentence", "expression 5 of image 1")],
)  # fmt: skip
def test_what_is_no_text_is_left_out_and_told(data: TinyFolder, file: str, field: str, item: str, text: object):
    data.files[file]["annotations"][0][field] = text
    expected = [one for one in check_folder(data.write()).issues if one.file == file]
    assert [(one.item, field in one.message) for one in expected if one.kind == "malformed record"] == [(item, True)]
    folder = CocoFolder(data.root, "val2017")
    assert folder.skipped["malformed record"] == 1
    if field == "caption":
        assert folder.captions_of(1) == ("A dog.",)


@pytest.mark.parametrize("text", NO_TEXT, ids=str)
@pytest.mark.parametrize(
    ("file", "place", "item"),
    [
        ("entity_val2017.json", ("annotations", 0, "sentence"), "sentence 10 of image 1"),
        ("entity_val2017.json", ("annotations", 0, "phrase", 1, "phrase"), "sentence 10 of image 1, phrase 2"),
        ("panoptic_val2017.json", ("categories", 1, "name"), "category 18"),
        ("panoptic_val2017.json", ("images", 1, "file_name"), "image 2"),
        ("panoptic_val2017.json", ("annotations", 1, "file_name"), "image 2"),
        (INSTANCES, ("categories", 1, "name"), "category 18"),
        (INSTANCES, ("images", 1, "file_name"), "image 2"),
    ],
    ids=lambda value: str(value),
)
def test_what_is_no_name_or_sentence_is_refused(data: TinyFolder, file: str, place: tuple, item: str, text: object):
    parent = data.files[file]
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = text
    report = check_folder(data.write())
    expected = [one for one in report.issues if one.file == file and one.kind == "malformed record"]
    assert [one.item for one in expected] == [item] and f"'{place[-1]}'" in expected[0].message
    read = (lambda: average_precision(data)) if file == INSTANCES else (lambda: CocoFolder(data.root, "val2017"))
    with pytest.raises(FindError, match=rf"{file}, {item}: the field '{place[-1]}'"):
        read()


@pytest.mark.parametrize(
    ("record", "field", "value", "expected"),
    [
        ("categories", "name", " ", "the field 'name' holds \" \", which is empty"),
        ("annotations", "segments_info", [{"id": 7, "category_id": 18, "bbox": [0, 0, 1, 1], "area": 10**400}],
         "the field 'area' holds 1000.*, which is no such value"),
    ],
)  # fmt: skip
def test_every_message_names_its_field(data: TinyFolder, record: str, field: str, value: object, expected: str):
    data.files["panoptic_val2017.json"][record][0][field] = value
    data.write()
    with pytest.raises(FindError, match=expected):
        CocoFolder(data.root, "val2017")


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_every_name_can_be_printed(data: TinyFolder, encoding: str):
    names = ("Jos\udce9.jpg", "日本\x1b[31m\u202e.jpg", "a\nb.jpg")
    panoptic = data.files["panoptic_val2017.json"]
    for image, name in zip(panoptic["images"], names, strict=True):
        image["file_name"] = name
    panoptic["categories"][0]["name"] = "person\x1b]0;é\u2028"
    data.files["captions_val2017.json"]["annotations"][0]["image_id"] = "\ud800"
    root = data.write().rename(data.root.with_name("Jos\udce9\x1b[31m"))
    for arguments in (["data", "check"], ["data", "check", "--json"], BUILD):
        screen = io.TextIOWrapper(io.BytesIO(), *encoding.split(":"))
        with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen), warnings.catch_warnings():
            warnings.simplefilter("always")
            status = main([*arguments, str(root)])
        screen.flush()
        shown = screen.buffer.getvalue().decode("utf-8")
        assert status == (1 if arguments[0] == "data" else 0) and "Jos" in shown
        assert not set("\x1b\u202e\u2028") & set(shown), arguments


def test_an_image_or_class_that_is_left_out_takes_its_objects_along_and_both_are_told(data: TinyFolder, tmp_path: Path):
    data.files[INSTANCES]["images"][1]["width"] = "wide"
    data.files[INSTANCES]["categories"][0]["name"] = None
    expected = "\n".join(built_of_instances(data, tmp_path / "out").notes)
    assert "malformed record, 2 times; first: instances_val2017.json, image 2: the field 'width'" in expected
    assert "instance of unknown image, 1 times" in expected and "unknown category, 1 times" in expected
