"""YOLO segmentation folders are data like any other, in whatever layout they come; nothing of them is lost unseen."""

import json
import shutil
import warnings

import numpy as np
import pytest
import yaml
from faster_coco_eval.core import mask as rle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_run import CONFIG
from yolo_folder import COLORS, HEIGHT, NAMES, PHOTOS, WIDTH, rectangle, row, write_photo, write_split, write_yolo

from find.cli.main import main
from find.data.coco import CocoFolder
from find.data.data_split import open_split
from find.data.outlines import draw
from find.data.yolo import YoloFolder
from find.data.yolo_files import YoloConfig
from find.errors import DataError, InputError
from find.evaluation.evaluate import Task
from find.evaluation.mask_ap import true_instances
from find.evaluation.systems.benchmark_system import BenchmarkSystem
from find.evaluation.systems.run import Settings, run
from find.model.predictions import EntityMask
from find.training.datamodule import FindDataModule


@pytest.fixture
def root(tmp_path):
    return write_yolo(tmp_path / "set")


def quietly(root, split="val", **options) -> YoloFolder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return YoloFolder(root, split, **options)


def test_outlines_become_the_segments_that_were_drawn(root):
    split = YoloFolder(root, "val")
    assert [split.file_name(id) for id in split.image_ids] == [f"images/val/{name}.png" for name in "abcd"]
    assert [category.name for category in split.categories] == NAMES
    for image_id, objects in zip(split.image_ids, PHOTOS.values(), strict=True):
        sample, segments = split.sample(image_id), split.segments(image_id)
        assert [segment.category_id for segment in segments] == [one[0] for one in objects]
        for segment, (number, left, top, right, bottom) in zip(segments, objects, strict=True):
            assert segment.bbox == (left, top, right - left, bottom - top)
            assert segment.area == (right - left) * (bottom - top)
            drawn = sample.segment_map == segment.id
            assert (sample.image[drawn] == COLORS[number]).all(axis=1).mean() > 0.9  # but for a pixel at its edge
    # the smaller object lies on top, and the map holds what is left of the larger one
    on_top = split.segment_map(4)
    assert on_top[30, 45] == 2 and on_top[15, 15] == 1 and on_top[60, 90] == 0


def test_sentences_name_the_classes_and_refer_to_the_next_picture_of_each(root):
    split = YoloFolder(root, "val")
    said = {sentence.image_id: sentence for sentence in split.sentences}
    assert said[1].text == "A dog right of a cat." and said[2].text == "Two cats." and said[3].text.startswith("A dog")
    assert split.captions_of(1) == (said[1].text,)
    (cats,) = said[2].phrases
    assert cats.segment_ids == (1, 2) and (cats.reference.image_id, cats.reference.segment_id) == (4, 2)
    assert said[4].phrases[1].reference.image_id == 1  # after the last comes the first
    light = next(phrase for phrase in said[3].phrases if "light" in phrase.text)
    assert light.text == "a traffic light" and light.reference is None  # no other picture has one
    for sentence in split.sentences:
        for phrase in sentence.phrases:
            assert sentence.text[phrase.start : phrase.end] == phrase.text
            of_phrase = {split.segments(sentence.image_id)[id - 1].category_id for id in phrase.segment_ids}
            if phrase.reference is not None:
                shown = split.segments(phrase.reference.image_id)[phrase.reference.segment_id - 1]
                assert {shown.category_id} == of_phrase
    assert YoloFolder(root, "val", sentences=False).sentences == ()


def flat(root):
    write_split(root / "images", root / "labels")
    return {"train": "images", "val": "images", "names": NAMES}


def roboflow(root):
    for split in ("train", "valid"):
        write_split(root / split / "images", root / split / "labels")
    return {"train": "../train/images", "val": "../valid/images", "nc": 3, "names": NAMES}


def nested(root):
    write_split(root / "images" / "val" / "deep", root / "labels" / "val" / "deep")
    return {"path": "/somewhere/else/set", "val": "images/val", "train": "images/val", "names": dict(enumerate(NAMES))}


def listed(root):
    write_split(root / "images" / "all", root / "labels" / "all")
    (root / "val.txt").write_text("".join(f"./images/all/{name}.png\n" for name in PHOTOS))
    return {"train": "val.txt", "val": "val.txt", "names": NAMES}


def only_names(root):
    write_split(root / "images" / "val", root / "labels" / "val")
    return {"names": NAMES}


@pytest.mark.parametrize("layout", [flat, roboflow, nested, listed, only_names])
def test_every_layout_holds_the_same(layout, root, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "data.yaml").write_text(yaml.safe_dump(layout(other)))
    one, two = YoloFolder(root, "val"), YoloFolder(other, "val")
    assert one.categories == two.categories and one.sentences == two.sentences
    for image_id in one.image_ids:
        assert one.segments(image_id) == two.segments(image_id)
        assert np.array_equal(one.segment_map(image_id), two.segment_map(image_id))


def test_what_cannot_be_used_is_counted_and_told_with_its_place(root, capsys):
    labels = root / "labels" / "val"
    box = "1 0.5 0.5 0.2 0.2"
    broken = ["9 0.1 0.1 0.2 0.2 0.3 0.1", "0 0.1 0.1 0.2", "0 0.1 0.1 x 0.2 0.3 0.1", "0 5 0.1 0.2 0.2 0.3 0.1"]
    line = row(0, [(10, 10), (20, 20), (30, 30)])
    hidden = row(1, rectangle(10, 12, 34, 34))
    on_top = [row(0, rectangle(8, 8, 24, 36)), row(0, rectangle(22, 8, 38, 36))]
    before = (labels / "a.txt").read_text()
    (labels / "a.txt").write_text("\n".join([before, box, *broken, line]))
    (labels / "b.txt").write_text("\n".join([hidden, *on_top]))
    (labels / "left_over.txt").write_text(before)
    (labels / "c.txt").unlink()
    (root / "images" / "val" / "d.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match=r"broken picture: 1, broken row: 4, .*--data yolo --split val"):
        split = YoloFolder(root, "val")
    assert split.skipped == {
        "box without outline": 1, "broken row": 4, "outline without area": 1, "hidden object": 1, "broken picture": 1,
    }  # fmt: skip
    assert [len(split.segments(id)) for id in split.image_ids] == [2, 2, 0]
    assert [set(np.unique(split.segment_map(id))) for id in split.image_ids] == [{0, 1, 2}, {0, 1, 2}, {0}]
    assert main(["data", "check", str(root), "--data", "yolo", "--split", "val", "--json"]) == 1
    expected = json.loads(capsys.readouterr().out)
    assert expected["counts"] == {**split.skipped, "labels without picture": 2, "picture without objects": 1}
    assert expected["checked"] == {"images": 3, "objects": 4} and expected["errors"] == 1
    at_row = {one["item"] for one in expected["issues"] if one["kind"] == "broken row"}
    assert at_row == {f"row {k}" for k in (5, 6, 7, 8)} and "9 is not among" in json.dumps(expected)
    assert main(["data", "check", str(root), "--data", "yolo", "--split", "train"]) == 0
    assert "train (4 images" not in capsys.readouterr().out


def test_rows_with_keypoints_are_boxes_and_no_outlines(root):
    config = root / "data.yaml"
    config.write_text(config.read_text() + "\nkpt_shape: [2, 3]\n")
    (root / "labels" / "val" / "a.txt").write_text("0 0.5 0.5 0.2 0.2 0.45 0.45 0.5 0.55 0.55 1")
    split = quietly(root)
    assert split.segments(1) == () and split.skipped["box without outline"] >= 1


def test_an_unusable_folder_is_refused_in_one_sentence(root, tmp_path):
    for config, expected in (
        (None, "there is no data.yaml that names"),
        ("names: [", "cannot be read as YAML"),
        ("names: 5", "neither a list nor numbered"),
        ("names: [cat]\nval: elsewhere", "names elsewhere, which is not there"),
    ):
        folder = tmp_path / "bad"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if config:
            (folder / "data.yaml").write_text(config)
        with pytest.raises(DataError, match=expected):
            YoloFolder(folder, "val")
    with pytest.raises(DataError, match="names no split 'test'"):
        YoloFolder(root, "test")
    assert YoloConfig.read(root).splits() == ["train", "val"]
    for picture in (root / "images" / "val").iterdir():
        picture.write_bytes(b"")
    with pytest.raises(DataError, match=r"no picture of val can be used \(broken picture: 4\)"):
        quietly(root)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(-1, 4), st.lists(st.floats(-0.25, 1.25, width=32), max_size=12)), min_size=1, max_size=6
    )
)
def test_whatever_the_rows_hold_each_segment_has_pixels_and_each_row_is_accounted_for(tmp_path, rows):
    root = tmp_path / "any"
    shutil.rmtree(root, ignore_errors=True)
    write_photo(root / "images" / "val" / "a.png", [])
    (root / "labels" / "val").mkdir(parents=True)
    lines = [" ".join([str(number), *map(str, values)]) for number, values in rows]
    (root / "labels" / "val" / "a.txt").write_text("\n".join(lines))
    (root / "data.yaml").write_text(yaml.safe_dump({"names": NAMES, "val": "images/val"}))
    split = quietly(root)
    segments = split.segments(1)
    assert len(segments) + sum(split.skipped.values()) == len(rows)
    present = np.unique(split.segment_map(1))
    assert set(present) - {0} == {segment.id for segment in segments}
    assert split.image_size(1) == (HEIGHT, WIDTH) == split.segment_map(1).shape
    outlines = split.instances(pytest.fail).objects
    assert [one.category_id for one in outlines] == [segment.category_id for segment in segments]


def test_it_trains_and_is_evaluated_from_the_command_line(root, tmp_path, capfd):
    run, options = tmp_path / "run", ["--data", "yolo", "--data.root", str(root), "--trainer.accelerator", "cpu"]
    config = tmp_path / "small.yaml"
    config.write_text(yaml.safe_dump({"model": {"config": CONFIG.to_dict(), "nested_widths": [8]}}))
    config = ["-c", "tiny", "-c", str(config)]
    small = ["--data.batch_size", "2", "--trainer.max_steps", "2", "--trainer.default_root_dir", str(run)]
    assert main(["fit", *config, *options, *small]) == 0
    out = tmp_path / "figures.json"
    test = ["--weights", str(run / "model"), "--out", str(out)]
    tasks = ["--tasks", "panoptic,grounding,retrieval,interleaved_segmentation,interleaved_retrieval"]
    assert main(["test", *config, *options, *test, *tasks]) == 0
    figures = json.loads(out.read_text())
    assert figures["skipped"] == {} and figures["data"] == {**figures["data"], "split": "val", "images": 4}
    assert all(0 <= figures["panoptic"][name] <= 100 for name in ("PQ", "mIoU", "AP"))
    assert figures["details"]["interleaved_segmentation"]["entities"] == 7
    capfd.readouterr()
    assert main(["test", *config, *options, *test, "--entities", "entity_val"]) == 2
    assert "YoloFolder has no option 'entities'" in capfd.readouterr().err


class Truth:
    """Answers a phrase with the segments that it means."""

    def __init__(self, split: YoloFolder) -> None:
        self.split = split
        self.id_of = {split.image(image_id).tobytes(): image_id for image_id in split.image_ids}

    def ground(self, images, texts):
        return [
            [self._mask(self.id_of[image.tobytes()], text) for text in own]
            for image, own in zip(images, texts, strict=True)
        ]

    def _mask(self, image_id: int, text: str) -> EntityMask:
        phrases = [phrase for sentence in self.split.sentences_of(image_id) for phrase in sentence.phrases]
        ids = next(phrase.segment_ids for phrase in phrases if phrase.text == text)
        return EntityMask(np.isin(self.split.segment_map(image_id), ids), 1.0)


def test_a_benchmark_is_run_on_it(root, tmp_path):
    candidate = BenchmarkSystem(Truth(YoloFolder(root, "val")), "truth", "knows all", (Task.GROUNDING,))
    options = {"settings": Settings("val"), "reader": "yolo", "out": tmp_path / "out", "progress": False}
    found = run(candidate, root, **options)
    assert found.results["grounding"].to_json() == {"cIoU": 100, "mIoU": 100, "P@0.5": 100}
    assert json.loads((tmp_path / "out" / "results.json").read_text())["details"]["grounding"]["texts"] == 7
    with pytest.raises(InputError, match="saved predictions are for COCO's layout only"):
        run(candidate, root, save_predictions=True, **options)


def test_pictures_of_several_sizes_make_batches(root):
    write_photo(root / "images" / "train" / "e.png", PHOTOS["a"])
    data = FindDataModule(root, reader="yolo", batch_size=5)
    data.setup()
    (batch,) = list(data.train_dataloader())
    assert sorted(batch.image_ids) == [1, 2, 3, 4, 5]
    assert open_split(root, reader="yolo").split == "val"


def test_real_photographs_have_the_objects_that_coco_says(shared, tmp_path):
    """Objects of one outline each, written as YOLO writes them, give COCO's masks; smaller ones lie on larger ones."""
    coco = CocoFolder(shared / "coco-sample" / "coco", "val2017")
    listed = coco.instances(lambda issue: None)
    number_of = {category.id: index for index, category in enumerate(listed.categories)}
    names = [category.name for category in listed.categories]
    (tmp_path / "data.yaml").write_text(yaml.safe_dump({"names": names, "val": "images"}))
    kept: dict[str, list] = {}
    for one in listed.objects:
        if not one.is_crowd and isinstance(one.segmentation, list) and len(one.segmentation) == 1:
            kept.setdefault(coco.file_name(one.image_id), []).append(one)
    for name, objects in kept.items():
        image_id = objects[0].image_id
        photo, label = tmp_path / "images" / name, (tmp_path / "labels" / name).with_suffix(".txt")
        for file in (photo, label):
            file.parent.mkdir(parents=True, exist_ok=True)
        photo.symlink_to(coco.images.path / coco.images.own(name))
        height, width = coco.image_size(image_id)
        outlines = [np.array(one.segmentation[0]).reshape(-1, 2) / (width, height) for one in objects]
        numbered = zip(objects, outlines, strict=True)
        rows = [" ".join(map(str, [number_of[one.category_id], *outline.ravel()])) for one, outline in numbered]
        label.write_text("\n".join(rows))
    split = quietly(tmp_path)
    assert len(split) == len(kept) > 5 and sum(split.segment_counts()) > 20
    assert sum(split.segment_counts()) + sum(split.skipped.values()) == sum(map(len, kept.values()))
    sizes = dict(zip(split.image_ids, split.sizes().tolist(), strict=True))
    ids = [category.id for category in split.categories]
    truth = true_instances(split.instances(pytest.fail), sizes, ids, pytest.fail)["annotations"]
    masks = {(one["image_id"], one["category_id"], tuple(one["bbox"])): one["segmentation"] for one in truth}
    found = 0
    for image_id in split.image_ids:
        (name,) = (name for name in kept if name.startswith(split.file_name(image_id).split("/")[-1].split(".")[0]))
        for one in kept[name]:
            outline = draw(one.segmentation, split.image_size(image_id))
            key = image_id, number_of[one.category_id], tuple(map(float, rle.toBbox(outline.code)))
            found += key in masks and masks[key]["counts"] == outline.code["counts"]
    assert found >= 0.95 * sum(split.segment_counts())
