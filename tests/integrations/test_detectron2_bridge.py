"""detectron2's own loaders, evaluators and `Visualizer` on our folders and predictions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from find.data.coco import CocoFolder
from find.errors import FindError
from find.evaluation.protocols.panoptic import panoptic
from find.foundations.detectron2 import INSTALL
from find.integrations.detectron2 import Classes, Predictor, Registered, entity_instances, panoptic_seg, register
from find.model.model import FIND
from find.model.predictions import EntityMask, InstancePrediction, PanopticPrediction, PredictedSegment
from find.world import generate_world

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "detectron2.md"


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def catalogs() -> Iterator[None]:
    """The real library; what a test registers is forgotten after it."""
    data = pytest.importorskip("detectron2.data", reason=f"detectron2 is not installed: {INSTALL}")
    catalogs = (data.DatasetCatalog, data.MetadataCatalog)
    before = [set(catalog.list()) for catalog in catalogs]
    yield
    for catalog, names in zip(catalogs, before, strict=True):
        for name in set(catalog.list()) - names:
            catalog.remove(name)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return generate_world(tmp_path_factory.mktemp("data") / "world", images=1, val_images=8, seed=7, workers=1)


@pytest.fixture(scope="module")
def painted(root, tmp_path_factory) -> CocoFolder:
    """A folder without instances file: its things stand in the panoptic maps only."""
    copy = shutil.copytree(root, tmp_path_factory.mktemp("data") / "painted")
    (copy / "annotations" / "instances_val2017.json").unlink()
    return CocoFolder(copy, "val2017")


class Truth:
    """Answers with what is true of the pictures of a folder, told from their pixels."""

    def __init__(self, folder: CocoFolder) -> None:
        self.folder = folder
        self.ids = {folder.image(image_id).tobytes(): image_id for image_id in folder.image_ids}

    def panoptic(self, images, class_names, is_thing):
        label_of = {(name, thing): k for k, (name, thing) in enumerate(zip(class_names, is_thing, strict=True))}
        words = {category.id: (category.words, category.is_thing) for category in self.folder.categories}
        for image in images:
            image_id = self.ids[image.tobytes()]
            known = [segment for segment in self.folder.segments(image_id) if words[segment.category_id] in label_of]
            segments = [segment for segment in known if not segment.is_crowd]
            segment_map = self.folder.segment_map(image_id)
            segment_map[~np.isin(segment_map, [segment.id for segment in segments])] = 0
            labels = [label_of[words[segment.category_id]] for segment in segments]
            found = (PredictedSegment(s.id, label, 1.0) for s, label in zip(segments, labels, strict=True))
            yield PanopticPrediction(segment_map, tuple(found))

    def instances(self, images, class_names, is_thing):
        for found in self.panoptic(images, class_names, is_thing):
            things = [segment for segment in found.segments if is_thing[segment.label]]
            yield InstancePrediction(
                masks=np.array([found.segment_map == segment.id for segment in things]),
                labels=np.array([segment.label for segment in things]),
                scores=np.ones(len(things), np.float32),
            )


def loader(name: str, order: str = "BGR"):
    from detectron2.data import DatasetCatalog, DatasetMapper, build_detection_test_loader

    mapper = DatasetMapper(is_train=False, augmentations=[], image_format=order)
    return build_detection_test_loader(DatasetCatalog.get(name), mapper=mapper, num_workers=0, batch_size=3)


def scores(model, names: Registered, out: Path) -> dict:
    """What detectron2's evaluators say of a model."""
    from detectron2.evaluation import COCOEvaluator, COCOPanopticEvaluator, inference_on_dataset

    pytest.importorskip("panopticapi", reason="COCO's panopticapi is not installed")
    evaluators = [
        COCOPanopticEvaluator(names.panoptic),
        COCOEvaluator(names.instance, output_dir=str(out), use_fast_impl=False),
    ]
    return inference_on_dataset(Predictor(model, names.panoptic), loader(names.panoptic), evaluators)


def test_nothing_needs_detectron2_at_import():
    modules = "find, find.foundations.detectron2, find.integrations.detectron2"
    expected = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print('detectron2' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert expected.stdout.strip() == "False"


def test_without_detectron2_the_message_says_how_to_get_it(root, monkeypatch):
    for name in ("detectron2", "detectron2.data", "detectron2.structures"):
        monkeypatch.setitem(sys.modules, name, None)
    answer = EntityMask(np.ones((2, 2), bool), 1.0)
    for call in (
        lambda: register(CocoFolder(root, "val2017"), "world"),
        lambda: Classes.of_dataset("world"),
        lambda: entity_instances([answer]),
    ):
        with pytest.raises(FindError, match="no package index") as expected:
            call()
        assert INSTALL in str(expected.value)


def test_coco_gets_the_names_and_numbers_that_detectron2_gives_it(catalogs, shared):
    from detectron2.data import MetadataCatalog

    names = register(CocoFolder(shared / "coco-sample" / "coco", "val2017"), "sample")
    ours, theirs = MetadataCatalog.get(names.panoptic), MetadataCatalog.get("coco_2017_val_panoptic")
    for key in ("thing_dataset_id_to_contiguous_id", "stuff_dataset_id_to_contiguous_id", "stuff_classes"):
        assert getattr(ours, key) == getattr(theirs, key)
    assert ours.evaluator_type == theirs.evaluator_type
    ours, theirs = MetadataCatalog.get(names.instance), MetadataCatalog.get("coco_2017_val")
    for key in ("thing_dataset_id_to_contiguous_id", "thing_classes", "evaluator_type"):
        assert getattr(ours, key) == getattr(theirs, key)
    own = Classes.of_dataset(names.panoptic)
    assert own == Classes.of_dataset("coco_2017_val_panoptic")
    assert Classes.of_dataset("coco_2017_val_panoptic_separated").numbers == (*range(80), *range(1, 54))
    assert ("tree", False) in zip(own.names, own.is_thing, strict=True)  # by words, not as tree-merged


def test_coco_is_read_by_detectron2s_own_loaders(catalogs, shared):
    """Polygons of the instances file as they are; a photograph's pixels and its panoptic map beside it."""
    from detectron2.data import DatasetCatalog, DatasetMapper, build_detection_train_loader

    folder = CocoFolder(shared / "coco-sample" / "coco", "val2017")
    names = register(folder, "sample")
    records = DatasetCatalog.get(names.instance)
    assert [record["image_id"] for record in records] == list(folder.image_ids)
    mapper = DatasetMapper(is_train=True, augmentations=[], image_format="RGB", use_instance_mask=True)
    sample = next(iter(build_detection_train_loader(records, mapper=mapper, total_batch_size=1, num_workers=0)))[0]
    number_of = dict(zip(Classes.of_folder(folder.categories).numbers, folder.categories, strict=True))
    inside = {segment.category_id for segment in folder.segments(sample["image_id"])}
    assert {number_of[k].id for k in sample["instances"].gt_classes.tolist()} <= inside
    assert np.array_equal(sample["image"].permute(1, 2, 0).numpy(), folder.image(sample["image_id"]))
    record = DatasetCatalog.get(names.panoptic)[0]
    ids = np.asarray(Image.open(record["pan_seg_file_name"]), np.int32) @ [1, 256, 65536]
    assert {info["id"] for info in record["segments_info"]} == set(np.unique(ids).tolist()) - {0}
    assert record["captions"]


def test_a_sentence_comes_with_its_phrases_and_their_segments(catalogs, root):
    from detectron2.data import DatasetCatalog

    folder = CocoFolder(root, "val2017")
    records = DatasetCatalog.get(register(folder, "world").sentences)
    assert len(records) == len(folder.sentences) > 0
    for record in records:
        listed = {info["id"] for info in record["segments_info"]}
        for phrase in record["phrases"]:
            assert record["text"][phrase["start"] : phrase["end"]] == phrase["text"]
            assert set(phrase["segment_ids"]) <= listed


def test_things_without_an_instances_file_are_those_of_the_maps(catalogs, painted):
    from detectron2.data import DatasetCatalog, DatasetMapper

    mapper = DatasetMapper(
        is_train=True, augmentations=[], image_format="RGB", use_instance_mask=True, instance_mask_format="bitmask"
    )
    things = {category.id for category in painted.categories if category.is_thing}
    for record in DatasetCatalog.get(register(painted, "painted").instance):
        segment_map = painted.segment_map(record["image_id"])
        ids = [segment.id for segment in painted.segments(record["image_id"]) if segment.category_id in things]
        found = mapper(record)["instances"].gt_masks.tensor.numpy()
        assert np.array_equal(found, [segment_map == id for id in ids])


@pytest.mark.parametrize("listed", [True, False], ids=["instances file", "maps only"])
def test_the_truth_is_perfect_for_detectron2s_evaluators(listed, catalogs, root, painted, tmp_path):
    folder = CocoFolder(root, "val2017") if listed else painted
    found = scores(Truth(folder), register(folder, "world"), tmp_path)
    for key in ("PQ", "SQ", "RQ", "PQ_th", "PQ_st"):
        assert found["panoptic_seg"][key] == pytest.approx(100)
    assert found["segm"]["AP"] == pytest.approx(100, abs=1e-3)
    assert found["bbox"]["AP"] == pytest.approx(100, abs=1e-3)


def test_detectron2s_evaluators_agree_with_ours(catalogs, root, tmp_path):
    folder, model = CocoFolder(root, "val2017"), FIND.from_pretrained("find-tiny")
    theirs, ours = scores(model, register(folder, "world"), tmp_path), panoptic(model, folder)
    for key, own in {
        "PQ": ours.quality.all.pq,
        "SQ": ours.quality.all.sq,
        "RQ": ours.quality.all.rq,
        "PQ_th": ours.quality.things.pq,
        "PQ_st": ours.quality.stuff.pq,
    }.items():
        assert theirs["panoptic_seg"][key] == pytest.approx(100 * own, abs=1e-6), key
    for key, own in {"AP": ours.instances.ap, "AP50": ours.instances.ap50, "APs": ours.instances.small}.items():
        assert theirs["segm"][key] == pytest.approx(100 * own, abs=1e-6), key


def test_the_guides_example_runs(catalogs, root):
    pytest.importorskip("panopticapi", reason="COCO's panopticapi is not installed")
    (code,) = re.findall(r"^```py\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(code.replace("data/world", str(root)), names)
    assert names["result"]["panoptic_seg"]["PQ"] > 50


def test_inputs_may_be_rgb_and_answers_of_another_size(catalogs, root):
    folder = CocoFolder(root, "val2017")
    names, truth = register(folder, "world"), Truth(folder)
    blue_first, red_first = next(iter(loader(names.panoptic))), next(iter(loader(names.panoptic, "RGB")))
    large = [{**given, "height": 320, "width": 480} for given in red_first]
    first, second, larger = (
        Predictor(truth, names.panoptic, order=order)(inputs)
        for order, inputs in (("BGR", blue_first), ("RGB", red_first), ("RGB", large))
    )
    for one, same, double in zip(first, second, larger, strict=True):
        assert torch.equal(one["panoptic_seg"][0], same["panoptic_seg"][0])
        wide = one["panoptic_seg"][0].repeat_interleave(2, 0).repeat_interleave(3, 1)
        assert torch.equal(wide, double["panoptic_seg"][0])
        assert double["instances"].image_size == (320, 480)
    only_things = Predictor(truth, names.instance, order="RGB")(red_first)
    assert [list(output) for output in only_things] == [["instances"]] * 3


def test_segments_that_vanish_in_a_smaller_answer_are_not_listed(catalogs, root):
    class Speck:
        def panoptic(self, images, class_names, is_thing):
            segment_map = np.full((8, 8), 1)
            segment_map[0, 0] = 2
            return [PanopticPrediction(segment_map, (PredictedSegment(1, 0, 1.0), PredictedSegment(2, 1, 1.0)))]

        def instances(self, images, class_names, is_thing):
            return [InstancePrediction(np.zeros((0, 8, 8), bool), np.zeros(0, int), np.zeros(0, np.float32))]

    predictor = Predictor(Speck(), register(CocoFolder(root, "val2017"), "world").panoptic)
    output = predictor([{"image": torch.zeros(3, 8, 8, dtype=torch.uint8), "height": 4, "width": 4}])[0]
    assert [info["id"] for info in output["panoptic_seg"][1]] == [1]
    assert len(output["instances"]) == 0


def test_the_visualizer_draws_predictions_where_they_are(catalogs, root):
    pytest.importorskip("cv2", reason="detectron2's Visualizer needs opencv")
    from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
    from detectron2.utils.visualizer import Visualizer

    folder = CocoFolder(root, "val2017")
    names = register(folder, "world")
    metadata, image = MetadataCatalog.get(names.panoptic), folder.image(folder.image_ids[0])
    output = Predictor(Truth(folder), names.panoptic, order="RGB")(
        [{"image": torch.from_numpy(image).permute(2, 0, 1)}]
    )
    drawn = Visualizer(image, metadata).draw_panoptic_seg(*output[0]["panoptic_seg"]).get_image()
    assert np.mean(np.abs(drawn.astype(int) - image).max(axis=-1) > 8) > 0.5
    record = DatasetCatalog.get(names.panoptic)[0]
    assert Visualizer(image, metadata).draw_dataset_dict(record).get_image().shape == image.shape

    mask = np.zeros(image.shape[:2], bool)
    mask[100:140, 20:60] = True
    answers = entity_instances([EntityMask(mask, 0.9)])
    assert answers.pred_boxes.tensor.tolist() == [[20, 100, 60, 140]]
    drawn = Visualizer(image, Metadata(thing_classes=["a box"])).draw_instance_predictions(answers).get_image()
    changed = np.abs(drawn.astype(int) - image).max(axis=-1) > 8
    assert changed[mask].mean() > 0.5 and changed[:, 120:].mean() < 0.1


def test_what_cannot_be_registered_or_told_is_refused(catalogs, root, tmp_path):
    folder = CocoFolder(root, "val2017")
    register(folder, "world")
    with pytest.raises(FindError, match="has a data set 'world_instance' already"):
        register(folder, "world")
    with pytest.raises(FindError, match="knows no classes of 'nothing'"):
        Classes.of_dataset("nothing")
    with pytest.raises(FindError, match="class 99, but there are"):
        panoptic_seg(
            PanopticPrediction(np.ones((2, 2), int), (PredictedSegment(1, 99, 1.0),)),
            Classes.of_folder(folder.categories),
        )
    with pytest.raises(FindError, match="no masks of entities"):
        entity_instances([])
    packed = Path(shutil.copytree(root, tmp_path / "packed"))
    shutil.make_archive(str(packed / "val2017"), "zip", packed / "val2017")
    shutil.rmtree(packed / "val2017")
    with pytest.raises(FindError, match=r"val2017.zip: detectron2 reads files, not archives"):
        register(CocoFolder(packed, "val2017"), "packed")
