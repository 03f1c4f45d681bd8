"""The commands of docs/own-data.md, from an export to a search: run as they stand there, with fewer steps."""

import csv
import json
import re
import shlex
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from find.cli.main import main
from find.data.coco import CocoFolder
from find.world import generate_world

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own-data.md"
FEWER = "--trainer.max_steps 60 --trainer.log_every_n_steps 5 --data.num_workers 0"


def commands() -> list[list[str]]:
    """Those of the page's first block."""
    block = re.search(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for line in block[1].replace("\\\n", " ").splitlines()]


def roboflow_zip(world: Path, path: Path) -> None:
    """Scenes of a world as Roboflow's export: run-length codes, one JSON a split, and the group's name as a class."""
    with zipfile.ZipFile(path, "w") as archive:
        for split, name in (("train2017", "train"), ("val2017", "valid")):
            folder = CocoFolder(world, split)
            categories = [{"id": 0, "name": "pets", "supercategory": "none"}]
            categories += [{"id": c.id, "name": c.words, "supercategory": "pets"} for c in folder.categories]
            images, objects = [], []
            for image_id in folder.image_ids:
                height, width = folder.image_size(image_id)
                file = folder.table.file_names[folder.position(image_id)]
                archive.write(world / split / file, f"{name}/{file}")
                images.append({"id": image_id, "file_name": file, "height": height, "width": width})
                segment_map = folder.segment_map(image_id)
                for segment in folder.segments(image_id):
                    flat = (segment_map == segment.id).ravel(order="F").astype(np.int8)
                    edges = np.flatnonzero(np.diff(flat)) + 1
                    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
                    runs = {"size": [height, width], "counts": ([0] if flat[0] else []) + counts}
                    about = {"id": len(objects), "image_id": image_id, "category_id": segment.category_id, "iscrowd": 0}
                    objects.append({**about, "segmentation": runs, "area": segment.area, "bbox": segment.bbox})
            content = {"images": images, "annotations": objects, "categories": categories}
            archive.writestr(f"{name}/_annotations.coco.json", json.dumps(content))


@pytest.mark.slow
def test_the_page_leads_from_an_export_to_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    roboflow_zip(generate_world("world", images=40, val_images=12, seed=5, workers=1), Path("pets.zip"))
    shutil.copytree("world/val2017", "more")
    capsys.readouterr()
    printed = {}
    for program, *arguments in commands():
        assert program == "findvl"
        more = shlex.split(FEWER) if arguments[0] == "fit" else []
        assert main([*arguments, *more]) == 0, arguments
        printed[" ".join(arguments[:2])] = capsys.readouterr().out
    assert "taken for a Roboflow COCO export (train, val)" in printed["data import"]
    assert "40 pictures" in printed["data import"] and '"pets"' in printed["data import"]
    assert "0 errors" in printed["data check"]
    assert Image.open("outputs/pets/look.png").width > 1000
    with open("outputs/pets/metrics.csv", newline="") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    figures = json.loads(Path("outputs/pets/metrics.json").read_text())
    assert figures["data"]["images"] == 12
    assert Image.open("outputs/pets/hits.png").width > 0
    names = {path.name for path in Path("data/pets/val").iterdir()}
    assert any(name in printed["search outputs/pets.album"] for name in names)
    assert "12 photos, 0 skipped" in printed["label more"]
    labels = json.loads(Path("more/labels.json").read_text())
    assert [one["name"] for one in labels["categories"]] == ["dog", "bench"] and len(labels["images"]) == 12


@pytest.mark.slow
def test_the_commands_that_the_import_prints_work_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    roboflow_zip(generate_world("world", images=6, val_images=4, seed=6, workers=1), Path("my pets.zip"))
    assert main(["data", "import", "my pets.zip", "data/my pets"]) == 0
    _, _, following = capsys.readouterr().out.partition("next:\n")
    lines = [shlex.split(line) for line in following.splitlines()]
    assert [line[1] for line in lines] == ["data", "data", "fit", "test", "index", "search"]
    for _, *arguments in lines:
        more = ["--trainer.max_steps", "2", "--data.num_workers", "0"] if arguments[0] == "fit" else []
        assert main([*arguments, *more]) == 0, arguments
    assert "1 " in capsys.readouterr().out
