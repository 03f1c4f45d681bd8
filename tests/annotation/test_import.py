"""Exports of every tool become the same objects ; what is lost is counted; failures leave nothing."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import exports
import numpy as np
import pytest
from exports import CLASSES, HEIGHT, OBJECTS, WIDTH
from PIL import Image

from find.annotation.importing import Imported, formats, import_export
from find.annotation.importing.importer import next_commands
from find.annotation.importing.label_studio import unpacked_alpha
from find.cli import data_import
from find.cli.main import main
from find.data.check import check_folder
from find.data.coco import CocoFolder
from find.errors import FindError
from find.images.rle import decode

WRITERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "roboflow": (exports.roboflow, "a Roboflow COCO export (train, val, test)"),
    "roboflow without splits": (
        lambda root: exports.roboflow(root, splits=dict.fromkeys(OBJECTS, "train")),
        "a Roboflow COCO export (train)",
    ),
    "cvat coco": (exports.cvat_coco, "a CVAT COCO 1.0 export"),
    "cvat coco of brushes": (lambda root: exports.cvat_coco(root, runs=True), "a CVAT COCO 1.0 export"),
    "cvat xml": (exports.cvat_xml, "CVAT for images (annotations.xml)"),
    "cvat masks": (exports.cvat_masks, "a folder of pictures and masks, one class map per picture"),
    "label studio coco": (exports.label_studio_coco, "a Label Studio COCO export"),
    "label studio json": (exports.label_studio_json, "Label Studio's JSON (project-1-at-2026-01-01.json)"),
    "labelme": (exports.labelme, "labelme's JSON files"),
    "yolo, split first": (exports.yolo, "a YOLO data set (train, val, test)"),
    "yolo, images first": (
        lambda root: exports.yolo(root, split_first=False),
        "a YOLO data set (train, val, test)",
    ),
    "yolo, list": (exports.yolo_with_lists, "a YOLO data set"),
    "masks of objects": (exports.masks_of_objects, "a folder of pictures and masks, one mask per object"),
}


def run(export: Path, out: Path, **options) -> Imported:
    return import_export(export, out, progress=False, **options)


def masks(out: Path) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Picture -> its objects as instances say them: class and pixels."""
    found: dict[str, list[tuple[str, np.ndarray]]] = {}
    for path in (out / "annotations").glob("instances_*.json"):
        content = json.loads(path.read_text())
        classes = {category["id"]: category["name"] for category in content["categories"]}
        names = {image["id"]: image["file_name"] for image in content["images"]}
        found |= {name.removeprefix("1a2b3c4d-"): [] for name in names.values()}
        for one in content["annotations"]:
            mask = decode(one["segmentation"], (HEIGHT, WIDTH))
            assert one["area"] == mask.sum() and one["iscrowd"] == 0
            name = names[one["image_id"]].removeprefix("1a2b3c4d-")
            found[name].append((classes[one["category_id"]], mask))
    return found


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("tool", WRITERS)
def test_every_tool_gives_the_same_objects(tool: str, zipped: bool, tmp_path: Path):
    write, words = WRITERS[tool]
    export = write(tmp_path / "export")
    if zipped:
        archive = shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path, "export")  # a folder in the zip
        shutil.rmtree(export)
        export = Path(archive)
    result = run(export, tmp_path / "out")
    assert result.taken_for == words
    found = masks(tmp_path / "out")
    assert set(found) == set(OBJECTS)
    for name, objects in OBJECTS.items():
        expected = sorted((one.name, one.mask.tobytes()) for one in objects)
        assert sorted((label, mask.tobytes()) for label, mask in found[name]) == expected, name
    assert set(result.categories) == set(CLASSES)
    assert sum(result.objects.values()) == sum(map(len, OBJECTS.values()))
    lost = result.counts.keys() - {"class that is a group's name", "class that train lacks"}
    assert lost == set()
    report = check_folder(tmp_path / "out")
    assert set(report.counts) == {"no captions"}
    for split in report.splits:
        folder = CocoFolder(tmp_path / "out", split)
        assert len(folder.sentences) == len(folder) == len([folder[k] for k in range(len(folder))])
        assert all(category.is_thing for category in folder.categories)
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize("palette", [False, True], ids=["grey", "palette"])
def test_maps_of_classes_give_one_region_a_class(palette: bool, tmp_path: Path):
    run(exports.mask_maps(tmp_path / "export", palette=palette), tmp_path / "out")
    for name, found in masks(tmp_path / "out").items():
        values = exports.class_map(name)
        assert [label for label, _ in found] == [CLASSES[value - 1] for value in np.unique(values) if value]
        for label, mask in found:
            assert np.array_equal(mask, values == 1 + CLASSES.index(label))
    assert not any(category.is_thing for category in CocoFolder(tmp_path / "out", "train").categories)


def test_other_coco_files_keep_splits_crowds_and_stuff(tmp_path: Path):
    root = tmp_path / "export"
    (root / "annotations").mkdir(parents=True)
    for split, names in (("train", ["a.jpg", "b.jpg"]), ("validation", ["c.jpg"])):
        for name in names:
            exports.picture(root / split / name)
        content = exports.coco(names)
        content["categories"][2]["isthing"] = 0
        content["annotations"][0]["iscrowd"] = 1
        (root / "annotations" / f"labels_{split}.json").write_text(json.dumps(content))
    result = run(root, tmp_path / "out")
    assert result.taken_for.startswith("COCO instances (train, val) of annotations/labels_train.json")
    assert dict(result.objects) == {"train": 3, "val": 2, "test": 0}
    folder = CocoFolder(tmp_path / "out", "train")
    assert {category.name: category.is_thing for category in folder.categories} == dict(
        zip(CLASSES, (1, 1, 0), strict=True)
    )
    assert [segment.is_crowd for segment in folder[0].segments] == [True, False]


def test_crowds_only_are_single_objects(tmp_path: Path):
    root = exports.cvat_coco(tmp_path / "export", runs=True)
    path = root / "annotations" / "instances_default.json"
    content = json.loads(path.read_text())
    (root / "labels.json").write_text(
        json.dumps({key: content[key] for key in ("images", "annotations", "categories")})
    )
    shutil.rmtree(root / "annotations")
    result = run(root, tmp_path / "out")
    assert "all 8 objects have iscrowd 1, and are taken as single objects" in result.lines
    assert all(not segment.is_crowd for segment in CocoFolder(tmp_path / "out", "train")[0].segments)


def test_pictures_of_one_name_in_two_subsets_keep_their_own_objects(tmp_path: Path):
    result = run(exports.cvat_subsets(tmp_path / "export"), tmp_path / "out")
    assert dict(result.objects) == {"train": 2, "val": 1, "test": 0}
    for split in ("train", "val"):
        own = CocoFolder(tmp_path / "out", split)[0].image
        there = np.asarray(Image.open(tmp_path / "export" / "images" / split / "frame_000000.png").convert("RGB"))
        assert np.array_equal(own, there)


def test_splits_of_the_export_stay_and_missing_ones_are_drawn_by_seed(tmp_path: Path):
    assert run(exports.roboflow(tmp_path / "a"), tmp_path / "out").pictures == {"train": 3, "val": 1, "test": 1}

    def drawn(seed: int, fraction: float) -> set[str]:
        out = tmp_path / f"out-{seed}-{fraction}"
        run(tmp_path / "b", out, val_fraction=fraction, seed=seed)
        return {path.name for path in (out / "val").iterdir()}

    exports.labelme(tmp_path / "b")
    first = drawn(0, 0.4)
    run(tmp_path / "b", tmp_path / "again", val_fraction=0.4, seed=0)
    assert len(first) == 2 and {path.name for path in (tmp_path / "again" / "val").iterdir()} == first
    assert len({frozenset(drawn(seed, 0.2)) for seed in range(1, 9)}) > 1
    assert len(drawn(0, 0.99)) == 4  # one picture stays to train on
    with pytest.raises(FindError, match="between 0 and 1"):
        drawn(0, 1.0)


def test_augmented_copies_of_a_photograph_stay_in_one_split(tmp_path: Path):
    root = exports.roboflow(tmp_path / "export", splits=dict.fromkeys(OBJECTS, "train"))
    path = root / "train" / "_annotations.coco.json"
    content = json.loads(path.read_text())
    for number, image in enumerate(content["images"]):
        name = f"photo{number // 2}_jpg.rf.{'abcdef0123'[number] * 32}.jpg"
        (root / "train" / image["file_name"]).rename(root / "train" / name)
        image["file_name"] = name
    path.write_text(json.dumps(content))
    for seed in range(4):
        run(root, tmp_path / f"out{seed}", val_fraction=0.34, seed=seed)
        of = [
            {file.name.partition(".rf.")[0] for file in (tmp_path / f"out{seed}" / split).iterdir()}
            for split in ("train", "val")
        ]
        assert of[0] | of[1] == {"photo0_jpg", "photo1_jpg", "photo2_jpg"} and not of[0] & of[1]


def edited(root: Path, change: Callable[[dict], None]) -> Path:
    """CVAT's export with a changed JSON."""
    exports.cvat_coco(root)
    path = root / "annotations" / "instances_default.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return root


def _box_only(content: dict) -> None:
    content["annotations"][0]["segmentation"] = []


def _unknown_image(content: dict) -> None:
    content["annotations"][0]["image_id"] = 99


def _unknown_class(content: dict) -> None:
    content["annotations"][0]["category_id"] = 99


def _outside(content: dict) -> None:
    content["annotations"][0]["segmentation"] = [[200.0, 200.0, 220.0, 200.0, 220.0, 220.0]]
    content["annotations"][0]["bbox"] = None


def _broken(content: dict) -> None:
    content["annotations"][0]["segmentation"] = [["a", 2, 3, 4, 5, 6]]


def _other_size(content: dict) -> None:
    content["images"][0] |= {"width": HEIGHT, "height": WIDTH}


def _no_picture(content: dict) -> None:
    content["images"][0]["file_name"] = "gone.jpg"


def _no_size(content: dict) -> None:
    content["images"][0] |= {"width": None, "height": None}


def _twice(content: dict) -> None:
    content["images"].append({**content["images"][0], "id": 50})


def _no_class(content: dict) -> None:
    content["categories"][0]["name"] = "\u200a"


def _unused_class(content: dict) -> None:
    content["categories"].append({"id": 9, "name": "fork", "supercategory": ""})


@pytest.mark.parametrize(
    ("change", "kind", "objects"),
    [
        (_box_only, "box without a mask", 7),
        (_unknown_image, "object of unknown image", 7),
        (_unknown_class, "object of unknown class", 7),
        (_outside, "object without a mask", 7),
        (_broken, "broken mask", 7),
        (_other_size, "picture of another size", 6),
        (_no_picture, "picture is missing", 6),
        (_no_size, "malformed record", 6),
        (_twice, "picture listed twice", 8),
        (_no_class, "malformed record", 5),
        (_unused_class, "class without objects", 8),
    ],
)
def test_what_is_lost_is_counted_and_told(change: Callable, kind: str, objects: int, tmp_path: Path, capsys):
    root = edited(tmp_path / "export", change)
    result = run(root, tmp_path / "out")
    assert result.counts[kind] == 1
    assert sum(result.objects.values()) == objects
    assert f"{kind}, 1 times; first: " in result.to_text()
    assert not check_folder(tmp_path / "out").has_errors


def test_boxes_may_become_rectangles(tmp_path: Path):
    result = run(edited(tmp_path / "export", _box_only), tmp_path / "out", boxes="fill")
    assert sum(result.objects.values()) == 8 and "box without a mask" not in result.counts
    cup = next(mask for label, mask in masks(tmp_path / "out")["a.jpg"] if label == "cup")
    assert np.array_equal(cup, OBJECTS["a.jpg"][0].mask)  # whose polygon is its box


def test_pixels_under_two_objects_are_counted(tmp_path: Path):
    def cover(content: dict) -> None:
        content["annotations"][1]["segmentation"] = [[4.0, 4.0, 34.0, 4.0, 34.0, 14.0, 4.0, 14.0]]

    result = run(edited(tmp_path / "export", cover), tmp_path / "out")
    assert result.covered == 30 * 10
    assert "overlaps: " in result.to_text()
    assert sum(result.objects.values()) == 8


def test_yolo_rows_that_are_no_polygons_are_told_with_their_place(tmp_path: Path):
    root = exports.yolo(tmp_path / "export")
    label = root / "train" / "labels" / "a.txt"
    good = label.read_text()
    label.write_text(
        good + "0 0.5 0.5 0.2 0.2\n7 0.1 0.1 0.2 0.1 0.2 0.2\n1 10 10 60 10 60 60\n1 0.1 x 0.2 0.3 0.4 0.5\n\n"
    )
    (root / "train" / "labels" / "z.txt").write_text(good)
    (root / "train" / "labels" / "b.txt").unlink()
    result = run(root, tmp_path / "out")
    expected = {"box without a mask": 1, "broken row": 3, "labels without a picture": 1, "picture without labels": 1}
    assert {kind: result.counts[kind] for kind in expected} == expected
    reported = [issue.message for issue in result.issues if issue.kind == "broken row"]
    assert [word in text for word, text in zip(("class 7", "shares", "not a number"), reported, strict=True)] == [
        True
    ] * 3
    assert masks(tmp_path / "out")["b.jpg"] == []  # a picture without objects, as for YOLO


def test_yolo_rows_with_keypoints_are_boxes(tmp_path: Path):
    root = exports.yolo(tmp_path / "export")
    (root / "data.yaml").write_text((root / "data.yaml").read_text() + "\nkpt_shape: [2, 3]\n")
    label = root / "train" / "labels" / "a.txt"
    label.write_text("0 0.5 0.5 0.2 0.2 0.45 0.45 2 0.55 0.55 1\n")  # each keypoint has a visibility, 0 to 2
    (root / "train" / "labels" / "b.txt").write_text("")
    result = run(root, tmp_path / "out", boxes="fill")
    assert len(masks(tmp_path / "out")["a.jpg"]) == 1 and result.counts["broken row"] == 0


def test_a_data_yaml_that_is_not_yaml_is_named(tmp_path: Path):
    root = exports.yolo(tmp_path / "export")
    (root / "data.yaml").write_text("names: [")
    with pytest.raises(FindError, match=r"data\.yaml: this cannot be read as YAML"):
        run(root, tmp_path / "out")


def test_cocos_keypoints_beside_its_instances_are_not_read_twice(tmp_path: Path):
    root = exports.cvat_coco(tmp_path / "export")
    instances = root / "annotations" / "instances_default.json"
    shutil.copy(instances, root / "annotations" / "person_keypoints_default.json")
    result = run(root, tmp_path / "out", kind="coco")
    assert sum(result.objects.values()) == 8 and "picture listed twice" not in result.counts


def test_labelme_groups_circles_and_lines(tmp_path: Path):
    root = exports.labelme(tmp_path / "export")
    content = json.loads((root / "b.json").read_text())
    half = {"label": "plate", "group_id": 1, "shape_type": "rectangle", "flags": {}}
    content["shapes"] = [
        {**half, "points": [[0, 0], [10, 10]]},
        {**half, "points": [[20, 0], [30, 10]]},
        {**half, "group_id": None, "shape_type": "circle", "points": [[60, 30], [60, 50]]},
        {**half, "shape_type": "line", "points": [[0, 0], [30, 30]]},
        {**half, "label": "__ignore__", "points": [[0, 0], [30, 30]]},
        {**half, "points": [[0, 0], [30]]},
    ]
    (root / "b.json").write_text(json.dumps(content))
    exports.picture(root / "unlabelled.jpg")
    result = run(root, tmp_path / "out")
    found = sorted(int(mask.sum()) for _, mask in masks(tmp_path / "out")["b.jpg"])
    assert found[0] == 200 and found[1] == pytest.approx(np.pi * 400, rel=0.01)
    assert {kind: result.counts[kind] for kind in result.counts if kind != "class that train lacks"} == {
        "shape without area": 1, "ignored region": 1, "broken shape": 1, "picture without annotations": 1,
    }  # fmt: skip


def test_cvat_xml_ellipses_groups_and_broken_masks(tmp_path: Path):
    root = exports.cvat_xml(tmp_path / "export")
    path = root / "annotations.xml"
    more = (
        '<ellipse label="cup" cx="30" cy="30" rx="20" ry="10" rotation="90"/>'
        '<polygon label="spoon" group_id="4" points="60,0;70,0;70,10;60,10"/>'
        '<polygon label="spoon" group_id="4" points="80,0;90,0;90,10;80,10"/>'
        '<polyline label="spoon" points="1,1;5,5"/><tag label="good"/><polygon label=" " points="1,1;9,1;9,9"/>'
        '<box label="cup" xtl="1" ytl="1" xbr="9" ybr="9"/><polygon label="cup" points="1,1;x"/>'
        '<mask label="cup" rle="3, 5" left="1" top="1" width="4" height="4"/></image>'
    )
    head, _, tail = path.read_text().rpartition("</image>")
    path.write_text(head + more + tail)
    result = run(root, tmp_path / "out")
    added = masks(tmp_path / "out")["e.jpg"][2:]
    assert [label for label, _ in added] == ["cup", "spoon"]
    rows, columns = np.nonzero(added[0][1])
    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (pytest.approx(20, abs=1), pytest.approx(40, abs=1))
    assert added[1][1].sum() == 200
    counts = {"shape without area": 1, "box without a mask": 1, "broken shape": 2, "object without a class": 1}
    assert {kind: result.counts[kind] for kind in counts} == counts


def test_label_studios_newest_annotation_counts_and_damaged_brushes_are_told(tmp_path: Path):
    root = exports.label_studio_json(tmp_path / "export")
    path = next(root.glob("*.json"))
    tasks = json.loads(path.read_text())
    old = {
        "id": 70,
        "was_cancelled": False,
        "created_at": "2025-01-01T00:00:00Z",
        "result": tasks[1]["annotations"][0]["result"],
    }
    tasks[0]["annotations"].append(old)
    tasks[1]["annotations"][0]["was_cancelled"] = True
    tasks[3]["annotations"] = []
    brush = tasks[2]["annotations"][0]["result"][0]["value"]
    brush["rle"] = brush["rle"][: len(brush["rle"]) // 2]
    path.write_text(json.dumps(tasks))
    result = run(root, tmp_path / "out")
    assert result.counts["annotated more than once"] == 1 and result.counts["broken shape"] == 1
    assert result.counts["picture without annotations"] == 2 and sum(result.pictures.values()) == 3
    assert {label for label, _ in masks(tmp_path / "out")["a.jpg"]} == {"cup", "spoon"}
    assert len(masks(tmp_path / "out")["c.jpg"]) == 1


def test_a_packed_brush_is_read_bit_by_bit():
    mask = np.random.default_rng(0).random((7, 5)) > 0.5
    mask[3] = True
    data = bytes(exports.packed(mask))
    assert np.array_equal(unpacked_alpha(data, 35) > 0, mask.ravel())
    for wrong in (data[:-4], data[:6], b"", b"\xff" * 20):
        with pytest.raises(ValueError, match="code"):
            unpacked_alpha(wrong, 35)
    with pytest.raises(ValueError, match="the picture has 36"):
        unpacked_alpha(data, 36)


@pytest.mark.parametrize("place", ["masks/dog/a.png", "masks/a/dog_1.png", "masks/a-dog-12.png", "a_dog_mask.png"])
def test_names_of_masks_tell_picture_and_class(place: str, tmp_path: Path):
    root = tmp_path / "export"
    for name in ("a", "b"):
        exports.picture(root / "images" / f"{name}.jpg")
        target = root / place.replace("a.png", f"{name}.png").replace("/a/", f"/{name}/").replace("/a-", f"/{name}-")
        target = root / place.replace("a_dog", f"{name}_dog") if place.startswith("a_") else target
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(OBJECTS["a.jpg"][0].mask.astype(np.uint8) * 255).save(target)
    result = run(root, tmp_path / "out")
    assert result.categories == ["dog"] and sum(result.objects.values()) == 2


@pytest.mark.parametrize("failing", ["reading", "drawing", "sentences"])
def test_a_failure_leaves_nothing(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = exports.cvat_coco(tmp_path / "export")
    before = sorted(path.relative_to(root) for path in root.rglob("*"))
    if failing == "reading":
        (root / "annotations" / "instances_default.json").write_text(
            '{"images": [], "annotations": [], "categories": []}'
        )
    elif failing == "drawing":
        content = json.loads((root / "annotations" / "instances_default.json").read_text())
        content["annotations"] = []
        (root / "annotations" / "instances_default.json").write_text(json.dumps(content))
    else:
        monkeypatch.setattr("find.annotation.importing.importer.build", lambda *_, **__: 1 / 0)
    with pytest.raises((FindError, ZeroDivisionError)):
        run(root, tmp_path / "deep" / "out")
    assert [path for path in (tmp_path / "deep").rglob("*")] == []
    assert sorted(path.relative_to(root) for path in root.rglob("*")) == before


def test_folders_that_are_there_or_no_exports_are_refused(tmp_path: Path):
    root = exports.cvat_coco(tmp_path / "export")
    run(root, tmp_path / "out")
    with pytest.raises(FindError, match="already exists"):
        run(root, tmp_path / "out")
    with pytest.raises(FindError, match="FIND's layout already: findvl data check"):
        run(tmp_path / "out", tmp_path / "again")
    with pytest.raises(FindError, match="no such folder or zip"):
        run(tmp_path / "nowhere", tmp_path / "again")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(FindError, match="neither a folder nor a zip"):
        run(tmp_path / "text.zip", tmp_path / "again")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("x")
    with pytest.raises(FindError, match=r"not an export that FIND knows \(1 \.txt\)"):
        run(tmp_path / "notes", tmp_path / "again")
    with pytest.raises(FindError, match="no JSON file of labelme"):
        run(root, tmp_path / "again", kind="labelme")


def test_names_in_a_zip_cannot_lead_out_of_the_folder(tmp_path: Path):
    root = exports.cvat_coco(tmp_path / "export")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, "\\".join(path.relative_to(root).parts))  # as some Windows tools write them
        archive.writestr("../../evil.txt", "x")
        archive.writestr("/evil.txt", "x")
    result = run(tmp_path / "a.zip", tmp_path / "work" / "out")
    assert sum(result.objects.values()) == 8
    assert not list(tmp_path.glob("evil*")) and not list((tmp_path / "work").glob("evil*"))


def test_a_zip_with_names_that_no_folder_can_hold_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "x")
        archive.writestr("a/b.json", "{}")
    with pytest.raises(FindError, match=r"a\.zip: it cannot be unpacked"):
        run(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_and_copies(tmp_path: Path):
    root = exports.labelme(tmp_path / "export")
    run(root, tmp_path / "linked")
    run(root, tmp_path / "copied", pictures="copy")
    linked = [path for split in ("train", "val") for path in (tmp_path / "linked" / split).iterdir()]
    assert [path.name for path in linked if not path.is_symlink()] == ["d.jpg"]  # it was in a JSON only
    assert not any(path.is_symlink() for path in (tmp_path / "copied").rglob("*"))
    shutil.rmtree(root)
    assert not check_folder(tmp_path / "copied").has_errors


def test_pictures_without_annotations_are_to_be_labelled(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    exports.picture(tmp_path / "photos" / "a.jpg")
    assert main(["data", "import", str(tmp_path / "photos"), str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "only pictures" in told and f"findvl label {tmp_path / 'photos'} --query" in told


def test_check_recommends_to_import_an_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("roboflow", "cvat_coco", "label_studio_coco", "labelme", "yolo", "mask_maps"):
        root = getattr(exports, name)(tmp_path / name)
        assert main(["data", "check", str(root)]) == 2
        reported = capsys.readouterr().err
        assert f"findvl data import {root} NEW" in reported and "prepare coco" not in reported
    archive = shutil.make_archive(str(tmp_path / "a"), "zip", root)
    assert main(["data", "check", archive]) == 2
    assert f"findvl data import {archive} NEW" in capsys.readouterr().err


def test_the_command_knows_every_format():
    assert set(data_import.FORMATS) == {"auto", *(one.name for one in formats.FORMATS)}


def test_the_next_commands_hold_quoted_paths(tmp_path: Path):
    result = run(exports.roboflow(tmp_path / "my export"), tmp_path / "my data")
    assert all(f"'{tmp_path}/my data" in command for command in next_commands(result)[:4])
    assert next_commands(result)[-1].endswith("--query '{a cup}'")
