"""Predictions of a run, scored from their files, give exactly the run's figures; whatever is wrong is told."""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pycocotools import mask as coco_rle

from find.cli.bench import FILE_TASKS
from find.errors import FindError
from find.evaluation.evaluate import Task
from find.evaluation.prediction_files.folder import BlankFolder
from find.evaluation.prediction_files.query_collector import QueryCollector
from find.evaluation.prediction_files.score import FileTask, find_files, score, validate
from find.evaluation.prediction_files.vectors import read_vectors, write_vectors
from find.evaluation.protocol_names import PUBLISHED
from find.evaluation.systems.benchmark_system import load_benchmark_system
from find.evaluation.systems.run import Settings, run
from find.images.rle import checked_runs, decode

SETTINGS = Settings(split="val2017", clicked_images=1, studies=("variants", "probes"))
TASKS = ["panoptic", "grounding", "retrieval", "interleaved_segmentation", "interleaved_retrieval"]


@pytest.fixture(scope="session")
def finished(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """find-tiny's figures and predictions."""
    out = tmp_path_factory.mktemp("run")
    candidate = load_benchmark_system("find-tiny", device=torch.device("cpu"))
    run(candidate, world, settings=SETTINGS, tasks=TASKS, out=out, save_predictions=True, batch_size=3, progress=False)
    return out


@pytest.fixture
def predictions(finished: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(finished / "predictions", tmp_path / "predictions")


def test_scored_from_files_a_runs_figures_are_the_same_to_the_last_digit(finished: Path, world: Path):
    before = json.loads((finished / "results.json").read_text())
    files = find_files(finished, None)
    assert not validate(files, world, SETTINGS).issues
    after = json.loads(json.dumps(score(files, world, SETTINGS, progress=False).to_json()))
    for part in (*TASKS, "intervals", "details", "held_out", "variants", "probes"):
        assert after[part] == before[part], part


def test_a_single_file_gives_its_own_figures_and_leaves_the_others_empty(finished: Path, world: Path):
    before = json.loads((finished / "results.json").read_text())
    for task, metric in ((FileTask.PANOPTIC, "PQ"), (FileTask.SEMANTIC, "mIoU"), (FileTask.INSTANCES, "AP")):
        found = score(find_files(finished, task), world, SETTINGS, progress=False).to_json()
        expected = {name: before["panoptic"][name] if name == metric else None for name in ("PQ", "mIoU", "AP")}
        assert found["panoptic"] == expected
        assert found["grounding"] is None


def test_cocos_own_example_scores_as_cocos_own_evaluation(shared: Path, tmp_path: Path):
    """Predictions written by others, in COCO's format as it is."""
    reference = shared / "reference" / "pq"
    predictions = tmp_path / "pred.json"
    content = json.loads((reference / "predictions.json").read_text())
    predictions.write_text(json.dumps(content))
    shutil.copytree(reference / "pred", tmp_path / "pred")
    expected = json.loads((reference / "expected.json").read_text())
    wanted = {record["image_id"] for record in content["annotations"]}
    root = subset(shared / "coco-sample" / "coco", tmp_path / "coco", wanted)
    found = score({FileTask.PANOPTIC: predictions}, root, Settings(split="val2017", entities=None), progress=False)
    assert found.results["panoptic"].quality.all.pq == pytest.approx(expected["expected"]["All"]["pq"], abs=1e-9)


def subset(source: Path, root: Path, wanted: set[int]) -> Path:
    """A folder of some images of another one."""
    (root / "annotations").mkdir(parents=True)
    content = json.loads((source / "annotations" / "panoptic_val2017.json").read_text())
    content["images"] = [image for image in content["images"] if image["id"] in wanted]
    content["annotations"] = [record for record in content["annotations"] if record["image_id"] in wanted]
    (root / "annotations" / "panoptic_val2017.json").write_text(json.dumps(content))
    for name in ("val2017", "panoptic_val2017"):
        (root / name).symlink_to(source / name)
    return root


def edit(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def kinds(predictions: Path, world: Path, task: FileTask) -> list[str]:
    found = validate(find_files(predictions, task), world, SETTINGS)
    for line in found.lines():  # one line each, with file, item and fix
        assert "\n" not in line
        assert line.count(": ") >= 3 and line.endswith(".")
    return [issue.kind for issue in found.issues]


def test_every_fault_of_panoptic_predictions_is_told(predictions: Path, world: Path):
    path = predictions / "panoptic.json"

    def spoil(content: dict) -> None:
        records = content["annotations"]
        records[0]["segments_info"][0]["category_id"] = 999
        records[1]["segments_info"].pop()
        records[2]["segments_info"].append({"id": 77, "category_id": records[2]["segments_info"][0]["category_id"]})
        records[3]["segments_info"].append(dict(records[3]["segments_info"][0]))
        records[4]["image_id"] = 4242
        records.append(dict(records[5]))
        del records[6]["file_name"]
        records[7]["file_name"] = "../7.png"

    edit(path, spoil)
    Image.fromarray(np.zeros((3, 4, 3), np.uint8)).save(predictions / "panoptic" / named(path, 5))
    assert sorted(kinds(predictions, world, FileTask.PANOPTIC)) == sorted(
        [
            "unknown category",
            "unlisted segment id",
            "segment without pixels",
            "segment listed twice",
            "unknown image id",
            "image predicted twice",
            "malformed record",
            "unreadable PNG",
            "wrong size",
            "segment without pixels",
        ]
        + ["missing image"] * 2
        + ["segment without pixels"] * (len(json.loads(path.read_text())["annotations"][5]["segments_info"]) - 1)
    )
    with pytest.raises(FindError, match="bench validate"):
        score(find_files(predictions, FileTask.PANOPTIC), world, SETTINGS, progress=False)


def named(path: Path, number: int) -> str:
    return json.loads(path.read_text())["annotations"][number]["file_name"]


def test_every_fault_of_instances_is_told(predictions: Path, world: Path):
    stuff = next(c.id for c in BlankFolder(world, "val2017").categories if not c.is_thing)

    def spoil(results: list) -> None:
        results[0]["score"] = float("nan")
        results[1]["category_id"] = stuff
        results[2]["segmentation"]["size"] = [5, 5]
        results[3]["segmentation"]["counts"] += "1"
        results[4]["segmentation"]["counts"] = "\u00e9"
        results[5]["image_id"] = 1
        results[6]["category_id"] = 999
        results.append(dict(results[7]))
        del results[8]["score"]
        results[9]["segmentation"] = [[1, 1, 2, 2, 3, 3]]
        results[10]["segmentation"]["size"] = 96
        results[11]["segmentation"]["counts"] = [10**30]

    edit(predictions / "instances.json", spoil)
    assert sorted(kinds(predictions, world, FileTask.INSTANCES)) == sorted(
        [
            "score is not a number",
            "stuff among instances",
            "wrong size",
            "broken mask",
            "broken mask",
            "unknown image id",
            "unknown category",
            "duplicate",
            "malformed record",
            "broken mask",
            "wrong size",
            "broken mask",
        ]
    )


def test_every_fault_of_masks_of_queries_is_told(predictions: Path, world: Path):
    def spoil(content: dict) -> None:
        changed = list(content["queries"][0]["parts"])
        for query in content["queries"]:
            if query["parts"] == changed:  # asked in several ways
                query["parts"] = [{"phrase": "something else"}, *changed[1:]]
        content["queries"][1]["image_id"] = 3
        content["masks"].append(dict(content["masks"][-1]))
        content["masks"][-2]["score"] = float("inf")
        content["masks"].append({**content["masks"][-1], "entity": 9})
        content["masks"].append({**content["masks"][-1], "query_id": 12345})
        content["masks"][8]["segmentation"]["size"] = [1, 1]
        content["queries"].append({**content["queries"][2], "id": 5001, "parts": [5]})
        content["queries"].append({**content["queries"][2], "id": 5002, "parts": [{"region": 7}]})

    edit(predictions / "interleaved_segmentation.json", spoil)
    found = set(kinds(predictions, world, FileTask.INTERLEAVED_SEGMENTATION))
    assert found == {
        "unknown image id",
        "missing query",
        "query that is not asked",
        "score is not a number",
        "unknown entity",
        "unknown query id",
        "wrong size",
        "malformed record",
        "missing mask",
    }


def test_every_fault_of_vectors_is_told(predictions: Path, world: Path):
    path = predictions / "embeddings.npz"
    vectors = read_vectors(path, pytest.fail)
    first, second = list(vectors.images)[:2]
    image, objects = vectors.images.pop(first)
    vectors.images[99] = image, objects
    vectors.images[second] = vectors.images[second][0] * np.nan, objects
    text = next(iter(vectors.texts))
    vectors.texts["never asked"] = vectors.texts.pop(text)
    key, (query, entities) = next(item for item in vectors.queries.items() if len(item[1][1]) > 1)
    vectors.queries[key] = query, entities[:1]
    write_vectors(path, vectors)
    assert set(kinds(predictions, world, FileTask.RETRIEVAL)) == {
        "unknown image id",
        "missing image",
        "missing text",
        "vector holds NaN or infinity",
    }
    assert "wrong number of entities" in kinds(predictions, world, FileTask.INTERLEAVED_RETRIEVAL)


@pytest.mark.parametrize("content", [b"", b"not json", b"{}", b"[1]", b'{"annotations": [3]}'])
def test_files_of_another_kind_are_one_clear_error(content: bytes, predictions: Path, world: Path):
    for task in FileTask:
        (predictions / task.file).write_bytes(content)
        assert "unreadable file" in kinds(predictions, world, task)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"padding": np.zeros((2, 5), bool)}, "'padding' has 5 places for entities, 'entities' 3"),
        ({"queries": np.array([1, 2])}, "'queries' is int64.*strings"),
        ({"queries": np.array([["a", "b"]])}, r"'queries' is <U1 of shape \[1, 2\]"),
        ({"image_ids": np.array([0.5])}, "'image_ids' is float64.*whole numbers"),
        ({"entities": np.zeros((2, 3), np.float32)}, "'entities'.*3 dimensions"),
    ],
)
def test_arrays_that_do_not_fit_together_are_named(change: dict, message: str, tmp_path: Path):
    arrays = {
        "image_ids": np.array([1]), "image": np.ones((1, 4)), "queries": np.array(["a", "b"]),
        "query": np.ones((2, 4)), "entities": np.ones((2, 3, 4)), "padding": np.zeros((2, 3), bool),
    }  # fmt: skip
    np.savez(tmp_path / "good.npz", **arrays)
    assert read_vectors(tmp_path / "good.npz", pytest.fail).queries["b"][1].shape == (3, 4)
    np.savez(tmp_path / "bad.npz", **arrays | change)
    with pytest.raises(FindError, match=message):
        read_vectors(tmp_path / "bad.npz", pytest.fail)


def test_a_single_array_is_no_file_of_vectors(tmp_path: Path):
    with open(tmp_path / "embeddings.npz", "wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(FindError, match="one array without a name"):
        read_vectors(tmp_path / "embeddings.npz", pytest.fail)
    assert find_files(tmp_path, FileTask.RETRIEVAL)  # whose reader tells what is wrong


def test_a_path_of_nothing_is_told_before_the_task_is_asked_for(tmp_path: Path):
    with pytest.raises(FindError, match="no such file or folder"):
        find_files(tmp_path / "nothing", None)


def test_the_command_line_names_the_tasks_that_there_are():
    assert (tuple(task.value for task in Task), tuple(task.value for task in FileTask)) == (PUBLISHED, FILE_TASKS)


def test_questions_list_each_image_and_text_once(world: Path):
    asked = QueryCollector.of(BlankFolder(world, "val2017"), Task.INTERLEAVED_RETRIEVAL, **SETTINGS.options())
    assert sorted(asked.image_ids) == sorted(BlankFolder(world, "val2017").image_ids)


def test_npz_files_with_objects_inside_are_not_unpickled(tmp_path: Path):
    np.savez(tmp_path / "bad.npz", image_ids=np.array([{"a": 1}], dtype=object))
    with pytest.raises(FindError, match="plain arrays"):
        read_vectors(tmp_path / "bad.npz", pytest.fail)


@given(arrays.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_run_length_codes_are_read_as_coco_writes_them(mask: np.ndarray):
    code = coco_rle.encode(np.asfortranarray(mask, np.uint8))
    compressed = {"size": list(mask.shape), "counts": code["counts"].decode()}
    assert np.array_equal(decode(compressed, mask.shape), mask)
    runs = checked_runs(compressed, mask.shape).tolist()
    assert np.array_equal(decode({"size": list(mask.shape), "counts": runs}, mask.shape), mask)


@given(st.text(st.characters(min_codepoint=0, max_codepoint=300), max_size=40))
def test_no_text_breaks_the_reader_of_run_length_codes(counts: str):
    with contextlib.suppress(ValueError):
        assert checked_runs({"size": [7, 9], "counts": counts}, (7, 9)).sum() == 63
