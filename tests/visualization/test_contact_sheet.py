"""The sheet of a data folder shows phrases and their segments in one colour, and what no sentence names in grey."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from find.annotation.build import build
from find.cli.main import main
from find.data.coco import CocoFolder
from find.visualization.contact_sheet import INK, UNNAMED, contact_sheet, fitted
from find.visualization.drawing import entity_color

SQUARES = {"cup": (10, 10), "spoon": (60, 10), "plate": (110, 10)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three black pictures: the first with a cup and a spoon, the second with a plate, the third empty."""
    root = tmp_path_factory.mktemp("data")
    (root / "annotations").mkdir()
    (root / "train").mkdir()
    images = [{"id": k, "file_name": f"{k}.png", "width": 160, "height": 60} for k in (1, 2, 3)]
    for image in images:
        Image.new("RGB", (160, 60)).save(root / "train" / image["file_name"])
    annotations = []
    for image, name in ((1, "cup"), (1, "spoon"), (2, "plate")):
        x, y = SQUARES[name]
        polygon = [[x, y, x + 40, y, x + 40, y + 40, x, y + 40]]
        annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": [*SQUARES].index(name) + 1,
                            "segmentation": polygon, "iscrowd": 0})  # fmt: skip
    categories = [{"id": k, "name": name} for k, name in enumerate(SQUARES, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / "instances_train.json").write_text(json.dumps(content))
    build(root, split="train", progress=False)
    return root


def has(pixels: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((np.abs(pixels.astype(int) - color).max(axis=-1) < 12).any())


def test_a_phrase_and_its_segment_have_one_colour(root: Path):
    folder = CocoFolder(root, "train")
    pixels = np.asarray(contact_sheet(folder, n=1, side=320))
    picture, words = pixels[: 16 + 120], pixels[16 + 120 :]
    assert [phrase.text for phrase in folder.sentences[0].phrases] == ["A cup", "a spoon"]
    for number, (x, _) in enumerate([SQUARES["cup"], SQUARES["spoon"]]):
        around = picture[16 : 16 + 120, 16 + 2 * x - 4 : 16 + 2 * (x + 40) + 4]
        assert has(around, entity_color(number)) and has(words, entity_color(number))
        assert not has(around, entity_color(1 - number))
    assert has(words, INK) and not has(picture[18:134, 18:], UNNAMED)


def test_segments_that_no_sentence_names_are_grey(root: Path):
    pixels = np.asarray(contact_sheet(CocoFolder(root, "train", entities=None), n=1, side=320))
    assert has(pixels[16:136], UNNAMED)
    assert not has(pixels, entity_color(0))


def test_rows_columns_and_draws(root: Path):
    folder = CocoFolder(root, "train")
    one, three = contact_sheet(folder, n=1), contact_sheet(folder, n=9, columns=2)
    assert three.width == 2 * (one.width - 16) + 16 and three.height > one.height
    assert contact_sheet(folder, n=3, columns=3, seed=5).tobytes() == contact_sheet(folder, n=3, columns=3).tobytes()
    assert len({contact_sheet(folder, n=1, seed=seed).tobytes() for seed in range(8)}) == 3


def test_the_command_writes_the_sheet(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "look", str(root), "--png", str(tmp_path / "new" / "look.png"), "-n", "2"]) == 0
    assert "2 of 3 pictures of train" in capsys.readouterr().out
    assert Image.open(tmp_path / "new" / "look.png").width > 700
    assert main(["data", "look", str(root), "--png", str(tmp_path / "look.gif")]) == 2
    assert "--png" in capsys.readouterr().err


def test_folders_of_another_reader_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "images" / "train").mkdir(parents=True)
    Image.new("RGB", (160, 60)).save(tmp_path / "images" / "train" / "a.png")
    (tmp_path / "labels" / "train" / "a.txt").write_text("0 0.1 0.1 0.6 0.1 0.6 0.9\n")
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: [cup]\n")
    assert main(["data", "look", str(tmp_path), "--data", "yolo", "--png", str(tmp_path / "look.png")]) == 0
    assert "1 of 1 pictures of train" in capsys.readouterr().out
    assert has(np.asarray(Image.open(tmp_path / "look.png")), entity_color(0))


@pytest.mark.parametrize("name", ["a.jpg", "000000000790_jpg.rf.e3e70682c2094cac629f6fbed82c07cd0123456789abcdef.jpg"])
def test_a_long_name_leaves_room_for_the_number_of_segments(name: str):
    font = ImageFont.load_default(size=12)
    shown = fitted(name, " (15 segments)", font, 380)
    assert shown.endswith(" (15 segments)") and font.getlength(shown) <= 380
    assert (shown == f"{name} (15 segments)") == (font.getlength(f"{name} (15 segments)") <= 380)
    assert shown.startswith(name[:5]) and ".jpg (" in shown
