"""Exports with numbers that JSON has not and with pictures that end early: the rest is imported, and both are told."""

import json
from pathlib import Path

import pytest
from exports import CLASSES, HEIGHT, OBJECTS, WIDTH, picture

from find.annotation.importing.importer import import_export
from find.data.check import check_folder


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """COCO JSON beside its pictures."""
    numbers = {name: number for number, name in enumerate(OBJECTS, 1)}
    for name in OBJECTS:
        picture(tmp_path / "export" / name)
    objects = [(numbers[name], one) for name, several in OBJECTS.items() for one in several]
    content: dict = {
        "images": [{"id": id, "file_name": name, "width": WIDTH, "height": HEIGHT} for name, id in numbers.items()],
        "categories": [{"id": id, "name": name} for id, name in enumerate(CLASSES, 1)],
        "annotations": [
            {"id": id, "image_id": image, "category_id": CLASSES.index(one.name) + 1,
             "segmentation": [list(one.polygon)], "bbox": list(one.box), "area": 1.0, "iscrowd": 0}
            for id, (image, one) in enumerate(objects, 1)
        ],
    }  # fmt: skip
    (tmp_path / "export" / "export.json").write_text(json.dumps(content))
    return tmp_path / "export"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400"])
def test_a_number_that_json_has_not_costs_its_object_only(export: Path, tmp_path: Path, number: str):
    file = export / "export.json"
    first = json.dumps(list(OBJECTS["a.jpg"][0].polygon))
    text = file.read_text()
    assert text.count(first) == 1
    file.write_text(text.replace(first, f"[{number}{first[2:]}"))
    result = import_export(export, tmp_path / "out", progress=False)
    assert sum(result.objects.values()) == sum(map(len, OBJECTS.values())) - 1
    assert result.counts["broken mask"] == 1 and "instance 1 of image 1" in str(
        next(issue for issue in result.issues if issue.kind == "broken mask")
    )


@pytest.mark.parametrize("share", [0.3, 0.98])
def test_a_picture_that_ends_early_is_left_out_and_named(export: Path, tmp_path: Path, share: float):
    photo = export / "c.jpg"
    data = photo.read_bytes()
    photo.write_bytes(data[: int(share * len(data))])
    result = import_export(export, tmp_path / "out", progress=False)
    assert sum(result.pictures.values()) == len(OBJECTS) - 1
    (issue,) = (issue for issue in result.issues if issue.kind == "picture cannot be read")
    assert str(photo) in str(issue) and "truncated" in str(issue).lower()
    assert not check_folder(tmp_path / "out").errors
