"""Whatever stands in one place of one annotation file, nobody gets a traceback, and nothing is lost without a word."""

import contextlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from breaking import quick, thorough
from broken_files import breaks, complete, entries, predictions
from hypothesis import given
from hypothesis import strategies as st
from tiny_folder import make_tiny_folder

from find.annotation.build import build
from find.data.check import check_folder
from find.data.check_report import CheckReport
from find.data.coco import CocoFolder
from find.errors import FindError
from find.evaluation.prediction_files.score import FileTask, find_files, score, validate
from find.evaluation.systems.run import Settings

SETTINGS = Settings(split="val2017", clicked_images=1)
LISTS = {
    "panoptic_val2017.json": {"images": ("images",), "segments": ("annotations", "segments_info")},
    "captions_val2017.json": {"captions": ("annotations",)},
    "entity_val2017.json": {"sentences": ("annotations",), "phrases": ("annotations", "phrase")},
    "referring_val2017.json": {"expressions": ("annotations",)},
}


class Bench:
    """A sound folder with predictions, of which one file at a time is broken and mended again."""

    def __init__(self, root: Path) -> None:
        tiny = make_tiny_folder(root / "data")
        self.root, self.predicted, self.bare = root / "data", root / "predictions", root / "bare"
        self.built = root / "built"
        self.files, self.answers = complete(tiny), predictions()
        shutil.copytree(self.root / "panoptic_val2017", self.predicted / "panoptic")
        (self.bare / "annotations").mkdir(parents=True)
        (self.bare / "val2017").symlink_to(self.root / "val2017")
        for name, content in self.files.items():
            self._write(name, json.dumps(content).encode())
        for name, content in self.answers.items():
            (self.predicted / name).write_text(json.dumps(content))

    def _write(self, name: str, data: bytes) -> None:
        (self.root / "annotations" / name).write_bytes(data)
        if name.startswith(("instances", "captions")):
            (self.bare / "annotations" / name).write_bytes(data)

    @contextlib.contextmanager
    def broken(self, name: str, data: bytes) -> Iterator[None]:
        self._write(name, data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            self._write(name, json.dumps(self.files[name]).encode())
            shutil.rmtree(self.built, ignore_errors=True)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("broken"))


def nothing_lost(name: str, data: bytes, report: CheckReport) -> bool:
    """Whether every entry of the file's lists was checked, or something was told."""
    content = json.loads(data)
    expected = {what: entries(content, *keys) for what, keys in LISTS.get(name, {}).items()}
    return all(count == report.checked[what] for what, count in expected.items())


def used(bench: Bench, name: str, data: bytes) -> None:
    """Check, reader, score and build of the folder with one broken file."""
    with bench.broken(name, data):
        report = check_folder(bench.root)
        report.to_text().encode("utf-8")
        silent = {kind for kind in report.counts if kind not in ("image without caption", "small image")}
        assert silent or nothing_lost(name, data, report), "something is gone, and nothing told"
        refused = refuses(lambda: read_all(bench.root))
        assert refused == ("val2017 is refused" in report.outcome())
        files = find_files(bench.predicted, FileTask.INSTANCES)
        unscored = refuses(lambda: score(files, bench.root, SETTINGS, progress=False))
        assert unscored or "its AP is refused" not in report.outcome()
        # Files are scored without the pictures, and refused, too, where sound data no longer are those of the answers.
        assert not unscored or "refused" in report.outcome() or answers_misfit(bench)
        for source in (bench.root, bench.bare):
            with contextlib.suppress(FindError):
                build(source, out=bench.built, progress=False)
            shutil.rmtree(bench.built, ignore_errors=True)


def read_all(root: Path) -> None:
    folder = CocoFolder(root, "val2017")
    for position in range(len(folder)):
        folder[position]


def answers_misfit(bench: Bench) -> bool:
    """Whether predictions of objects are told to be of other images or classes than the folder, which can be read."""
    try:
        found = validate(find_files(bench.predicted, FileTask.INSTANCES), bench.root, SETTINGS)
    except FindError:
        return False
    return found.has_errors


def refuses(action: Callable[[], object]) -> bool:
    try:
        action()
    except FindError:
        return True
    return False


def scored(bench: Bench, name: str, data: bytes) -> None:
    """`bench validate` and `bench score` of one broken file of predictions."""
    path, good = bench.predicted / name, (bench.predicted / name).read_bytes()
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            files = find_files(bench.predicted, next(task for task in FileTask if task.file == name))
            found = validate(files, bench.root, SETTINGS)
            "\n".join(found.lines()).encode("utf-8")
            try:
                score(files, bench.root, SETTINGS, progress=False)
            except FindError:
                assert found.has_errors
            else:
                assert not found.has_errors
    finally:
        path.write_bytes(good)


def test_the_sound_folder_is_read_scored_and_built(bench: Bench):
    report = check_folder(bench.root)
    assert not report.has_errors and report.outcome() == "training and evaluation: val2017 is read"
    for task in (FileTask.PANOPTIC, FileTask.INSTANCES, FileTask.SEMANTIC, FileTask.GROUNDING):
        files = find_files(bench.predicted, task)
        assert not validate(files, bench.root, SETTINGS).has_errors, task
    found = score(find_files(bench.predicted, FileTask.INSTANCES), bench.root, SETTINGS, progress=False)
    assert found.results["panoptic"].instances.ap == pytest.approx(1)
    assert build(bench.bare, out=bench.built, progress=False).phrases == 4
    shutil.rmtree(bench.built)


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("entity_val2017.json", ("annotations", 0, "phrase", 1, "annotation_id"), []),
        ("instances_val2017.json", ("images", 2, "file_name"), "a\0b"),
        ("instances_val2017.json", ("annotations", 1, "area"), 10**400),
        ("instances_val2017.json", ("annotations", 1, "segmentation", "counts"), "PQ"),
        ("instances_val2017.json", ("annotations", 1, "category_id"), 187),
        ("instances_val2017.json", ("images", 1, "width"), 63),
        ("panoptic_val2017.json", ("annotations", 2, "image_id"), -1),
        ("panoptic_val2017.json", ("images", 1, "file_name"), "a dog"),
        ("panoptic_val2017.json", ("categories", 1, "isthing"), 0),
    ],
)
def test_what_once_failed(bench: Bench, name: str, place: tuple, value: object):
    content = json.loads(json.dumps(bench.files[name]))
    parent = content
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    used(bench, name, json.dumps(content).encode())


def test_a_name_that_no_file_can_have_is_told(bench: Bench):
    content = json.loads(json.dumps(bench.answers["panoptic.json"]))
    content["annotations"][1]["file_name"] = "\ud800"
    scored(bench, "panoptic.json", json.dumps(content).encode())


@quick
@given(data=st.data())
def test_one_broken_value_of_an_annotation_file_is_told(bench: Bench, data: st.DataObject):
    name, content, _ = data.draw(breaks(bench.files))
    used(bench, name, content)


@quick
@given(data=st.data())
def test_one_broken_value_of_a_prediction_file_is_told(bench: Bench, data: st.DataObject):
    name, content, _ = data.draw(breaks(bench.answers))
    scored(bench, name, content)


@pytest.mark.slow
@thorough
@given(data=st.data())
def test_thousands_of_broken_annotation_files(bench: Bench, data: st.DataObject):
    name, content, _ = data.draw(breaks(bench.files))
    used(bench, name, content)


@pytest.mark.slow
@thorough
@given(data=st.data())
def test_thousands_of_broken_prediction_files(bench: Bench, data: st.DataObject):
    name, content, _ = data.draw(breaks(bench.answers))
    scored(bench, name, content)
