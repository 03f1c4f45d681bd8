"""Whatever is wrong in one place of files of predictions, `bench validate` tells it, and `bench score` does not fail
otherwise."""

import contextlib
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from breaking import broken, quick, thorough
from guesser import guessed
from hypothesis import given, settings
from hypothesis import strategies as st

from find.errors import FindError
from find.evaluation.prediction_files.score import FileTask, find_files, score, validate
from find.evaluation.systems.run import Settings

SETTINGS = Settings(split="val2017", clicked_images=1, limit=2)
RETRIEVAL = (FileTask.RETRIEVAL, FileTask.INTERLEAVED_RETRIEVAL)
JSON_TASKS = (FileTask.PANOPTIC, FileTask.GROUNDING, FileTask.INTERLEAVED_SEGMENTATION)

Arrays = dict[str, np.ndarray]
Rng = np.random.Generator


def _row(array: np.ndarray, rng: Rng, value: object) -> np.ndarray:
    array = array.copy()
    if array.size and array.dtype.kind in "fiu":
        array.ravel()[rng.integers(array.size)] = value
    return array


CHANGES: dict[str, Callable[[np.ndarray, Rng], np.ndarray]] = {
    "NaN": lambda array, rng: _row(array, rng, np.nan if array.dtype.kind == "f" else -1),
    "infinity": lambda array, rng: _row(array, rng, np.inf if array.dtype.kind == "f" else 2**40),
    "a row less": lambda array, rng: array[:-1],
    "a row twice": lambda array, rng: np.concatenate([array, array[:1]]),
    "the first row twice": lambda array, rng: np.concatenate([array[:1], array[:-1]]),
    "no rows": lambda array, rng: array[:0],
    "a column less": lambda array, rng: array[..., :-1],
    "no columns": lambda array, rng: array[..., :0],
    "no places": lambda array, rng: array[:, :0] if array.ndim > 1 else array,
    "a place less": lambda array, rng: array[:, 1:] if array.ndim > 1 else array,
    "another axis": lambda array, rng: array[..., None],
    "an axis less": lambda array, rng: array[0],
    "turned": lambda array, rng: array.T,
    "one number": lambda array, rng: np.float32(3),
    "zeros": lambda array, rng: np.zeros_like(array),
    "bool": lambda array, rng: np.ones(array.shape, bool),
    "half": lambda array, rng: array.astype(np.float16) if array.dtype.kind == "f" else array,
    "double": lambda array, rng: array.astype(np.float64) * 1e300 if array.dtype.kind == "f" else array,
    "complex": lambda array, rng: array.astype(complex) if array.dtype.kind == "f" else array,
    "whole": lambda array, rng: np.ones(array.shape, np.int64),
    "text": lambda array, rng: array.astype(str),
    "bytes": lambda array, rng: np.full(array.shape, b"1"),
    "objects": lambda array, rng: array.astype(object),
    "dates": lambda array, rng: np.full(array.shape, np.datetime64("2024-01-01")),
    "records": lambda array, rng: np.zeros(array.shape, [("a", "f4")]),
    "other words": lambda array, rng: np.array([f"{one}!" for one in array.ravel()]).reshape(array.shape),
    "NULs": lambda array, rng: np.array([f"a\0{one}" for one in array.ravel()]).reshape(array.shape),
}


class Written:
    """Random predictions of a world, of which one file at a time is broken."""

    def __init__(self, world: Path, out: Path) -> None:
        self.world, self.folder = world, out / "predictions"
        guessed(world, out, 1, SETTINGS)
        self.whole = {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}
        with np.load(self.folder / "embeddings.npz") as arrays:
            self.arrays: Arrays = dict(arrays)

    @contextlib.contextmanager
    def broken(self, name: str, data: bytes) -> Iterator[None]:
        (self.folder / name).write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            (self.folder / name).write_bytes(self.whole[name])

    def used(self, task: FileTask) -> bool:
        """Whether the task's file is accepted; `validate` and `score` are of one opinion."""
        files = find_files(self.folder, task)
        found = validate(files, self.world, SETTINGS)
        assert all("\n" not in line for line in found.lines())
        "\n".join(found.lines()).encode()
        try:
            score(files, self.world, SETTINGS, progress=False)
        except FindError as error:
            assert found.has_errors, error
            return False
        assert not found.has_errors, found.lines()
        return True


@pytest.fixture(scope="module")
def written(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(world, tmp_path_factory.mktemp("guessed"))


def test_the_sound_files_are_accepted(written: Written):
    assert all(written.used(task) for task in FileTask)


def one_of_json(written: Written, data: st.DataObject) -> None:
    task = data.draw(st.sampled_from(JSON_TASKS))
    content, _ = data.draw(broken(small(json.loads(written.whole[task.file]))))
    with written.broken(task.file, content):
        written.used(task)


def small(content: Any) -> Any:
    """Few enough records that each place is met; what is then missing is told, too."""
    if isinstance(content, list):
        return content[:3]
    return {name: records[:3] if name != "queries" else records for name, records in content.items()}


def one_of_arrays(written: Written, data: st.DataObject) -> None:
    task, name = data.draw(st.sampled_from(RETRIEVAL)), data.draw(st.sampled_from(sorted(written.arrays)))
    how = data.draw(st.sampled_from(["gone", "file", *CHANGES]))
    arrays, rng = dict(written.arrays), np.random.default_rng(data.draw(st.integers(0, 99)))
    if how == "gone":
        del arrays[name]
    elif how != "file":
        with np.errstate(all="ignore"):
            arrays[name] = CHANGES[how](arrays[name], rng)
    with written.broken("embeddings.npz", b""):
        np.savez(written.folder / "embeddings.npz", **arrays)
        if how == "file":
            whole = (written.folder / "embeddings.npz").read_bytes()
            (written.folder / "embeddings.npz").write_bytes(whole[: rng.integers(len(whole))])
        try:
            written.used(task)
        except FindError as error:
            assert "no predictions in it" in str(error)


@settings(quick, max_examples=60)
@given(data=st.data())
def test_one_broken_value_is_told(written: Written, data: st.DataObject):
    one_of_json(written, data)


@settings(quick, max_examples=60)
@given(data=st.data())
def test_one_broken_array_is_told(written: Written, data: st.DataObject):
    one_of_arrays(written, data)


@pytest.mark.slow
@thorough
@given(data=st.data())
def test_thousands_of_broken_values(written: Written, data: st.DataObject):
    one_of_json(written, data)


@pytest.mark.slow
@thorough
@given(data=st.data())
def test_thousands_of_broken_arrays(written: Written, data: st.DataObject):
    one_of_arrays(written, data)
