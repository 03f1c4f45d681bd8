"""A model's folder of which some value or file is wrong is loaded as it says, or one error names the file."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from breaking import ENCODINGS, broken, quick, thorough
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from small_run import CONFIG
from torch import Tensor

from find.errors import FindError
from find.foundations.source import Source
from find.model.config import InterfaceConfig
from find.model.model import FIND
from find.query.query import Phrase, Query

PICTURE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
WEIGHTS = "interface.safetensors"


class Program:
    """What runs when it is unpickled: it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


class Saved:
    """A small model's folder, of which one file at a time is broken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        model = FIND.build(CONFIG)
        model.known_classes = {"dog": torch.ones(CONFIG.interface.semantic_width)}
        model.foundations = model.kept_foundations()
        model.save_pretrained(folder)
        self.whole = {file.name: file.read_bytes() for file in folder.iterdir()}

    def used(self, name: str, data: bytes) -> bool:
        """Whether the folder is loaded with other bytes in a file; then it answers, too."""
        file = self.folder / name
        file.write_bytes(data)
        try:
            model = FIND.from_pretrained(self.folder)
        except FindError as error:
            assert 30 < len(str(error)) < 1500 and "\n" not in str(error)
            return False
        finally:
            file.write_bytes(self.whole[name])
        (masks,) = model.segment([PICTURE], [Query("a ", Phrase("dog"))])
        assert masks[0].mask.shape == PICTURE.shape[:2] and 0 <= masks[0].score <= 1
        model.panoptic([PICTURE], ["dog", "sky"], [True, False])
        return True


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return Saved(tmp_path_factory.mktemp("saved") / "model")


def test_the_whole_folder_is_loaded(saved: Saved):
    assert saved.used("config.json", saved.whole["config.json"])
    assert not (saved.folder / "pickled").exists() and {"config.json", WEIGHTS, "classes.safetensors"} <= set(
        saved.whole
    )


@pytest.mark.parametrize("size", [-1, 2**63])
@pytest.mark.parametrize("name", [field.name for field in fields(InterfaceConfig) if field.type in (int, "int")])
def test_every_size_of_the_interface_has_bounds(name: str, size: int):
    with pytest.raises(FindError, match=name):
        InterfaceConfig(**{name: size})


@settings(quick, max_examples=60)
@given(data=st.data())
def test_one_broken_value_of_the_config_is_told(saved: Saved, data: st.DataObject):
    saved.used("config.json", data.draw(broken(json.loads(saved.whole["config.json"])))[0])


@pytest.mark.slow
@thorough
@given(data=st.data())
def test_thousands_of_broken_configs(saved: Saved, data: st.DataObject):
    saved.used("config.json", data.draw(broken(json.loads(saved.whole["config.json"])))[0])


@pytest.mark.parametrize("name", sorted(set(ENCODINGS) - {"latin-1", "utf-16", "bom"}))
@pytest.mark.parametrize("file", ["config.json", WEIGHTS, "classes.safetensors"])
def test_files_of_other_content_are_told(saved: Saved, file: str, name: str):
    assert not saved.used(file, ENCODINGS[name](saved.whole[file]))


def test_a_byte_order_mark_is_read_over(saved: Saved):
    assert saved.used("config.json", ENCODINGS["bom"](saved.whole["config.json"]))


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        (("interface", "width"), "8", "interface.width: Expected `int`, got `str`"),
        (("interface", "width"), 2**40, "width is 1099511627776; it must be a number from 1 to 65536"),
        (("interface", "width"), 65536, "does not fit its config.json: it holds .* numbers"),
        (("interface", "layers"), 0, "layers is 0"),
        (("interface", "layers"), 10**6, "layers is 1000000"),
        (("interface", "heads"), 3, "must be a multiple of 4 and of the 3 heads"),
        (("interface", "residual"), "no", "interface.residual: Expected `bool`, got `str`"),
        (("conventions", "canvas_colour"), [1, 2], r"conventions.canvas_colour: Expected .*length 3"),
        (("conventions", "canvas_colour"), "black", "conventions.canvas_colour: Expected `array | null`"),
        (("shortest_side",), 10**9, "shortest_side is 1000000000"),
        (("longest_side",), 1, "longest_side is 1; it must be a number from"),
        (("panoptic_score",), float("nan"), "panoptic_score is nan"),
        (("class_prompt",), None, "class_prompt: Expected `str`, got `null`"),
        (("long_texts",), "maybe", "long_texts is 'maybe'"),
        (("vision",), ["tiny"], "vision: Expected `str`, got `array`"),
        (("vision",), "a\0b", "unknown foundation"),
        (("foundations",), ["1"], "foundations is not a table"),
    ],
    ids=str,
)
def test_values_of_other_types_and_sizes_are_told_by_name(saved: Saved, place: tuple, value: Any, expected: str):
    about = json.loads(saved.whole["config.json"])
    parent = about
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    (saved.folder / "config.json").write_text(json.dumps(about))
    try:
        with pytest.raises(FindError, match=expected):
            FIND.from_pretrained(saved.folder)
    finally:
        (saved.folder / "config.json").write_bytes(saved.whole["config.json"])


CHANGES: dict[str, tuple[Callable[[Tensor], Tensor], str | None]] = {
    "half": (lambda tensor: tensor.half(), None),
    "double": (lambda tensor: tensor.double(), None),
    "whole numbers": (lambda tensor: torch.ones(tensor.shape, dtype=torch.int64), "is of torch.int64, must be of"),
    "bool": (lambda tensor: torch.ones(tensor.shape, dtype=torch.bool), "is of torch.bool, must be of"),
    "NaN": (lambda tensor: torch.full_like(tensor, torch.nan), "holds NaN or infinity"),
    "infinity": (lambda tensor: torch.full_like(tensor, torch.inf), "holds NaN or infinity"),
    "turned": (lambda tensor: tensor[None].contiguous(), r"is \(1, .*must be"),
    "a row more": (lambda tensor: torch.cat([tensor, tensor[:1]]), "must be"),
    "nothing": (lambda tensor: tensor[:0], r"is \(0,.*must be"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_shapes_and_types_of_weights_are_told(saved: Saved, tmp_path: Path, name: str):
    change, expected = CHANGES[name]
    shutil.copytree(saved.folder, tmp_path / "model")
    weights = load_file(saved.folder / WEIGHTS)
    key = next(key for key, tensor in weights.items() if tensor.ndim > 1 and tensor.is_floating_point())
    save_file(weights | {key: change(weights[key])}, tmp_path / "model" / WEIGHTS)
    if expected is None:
        assert FIND.from_pretrained(tmp_path / "model").interface.state_dict()[key].dtype == torch.float32
        return
    with pytest.raises(FindError, match=rf"{WEIGHTS}.*{key}.*{expected}"):
        FIND.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize(
    "row",
    [torch.ones(3), torch.ones(1, 1), torch.tensor(1.0), torch.full((64,), torch.nan), torch.ones(64).long()],
    ids=str,
)
def test_embeddings_of_classes_that_fit_nothing_are_told(saved: Saved, tmp_path: Path, row: Tensor):
    shutil.copytree(saved.folder, tmp_path / "model")
    save_file({"dog": row}, tmp_path / "model/classes.safetensors")
    with pytest.raises(FindError, match=r"classes.safetensors beside .*the embedding of 'dog' is"):
        FIND.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize(
    "header",
    [b"{}", b"[]", b"null", b'{"a": 1}', b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}',
     b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', b"{" * 99],
)  # fmt: skip
def test_headers_that_say_something_else_are_told(saved: Saved, header: bytes):
    assert not saved.used(WEIGHTS, struct.pack("<Q", len(header)) + header + b"\0" * 4)
    assert not saved.used(WEIGHTS, struct.pack("<Q", 2**63) + header)


def test_pickles_are_refused_and_never_run(saved: Saved, tmp_path: Path):
    mark = tmp_path / "run"
    pickle.loads(pickle.dumps(Program(mark)))
    mark.unlink()
    torch.save({"a": torch.ones(1), "b": Program(mark)}, tmp_path / "model.pt")
    for data in (pickle.dumps(Program(mark)), (tmp_path / "model.pt").read_bytes()):
        assert not saved.used(WEIGHTS, data)
        assert not saved.used("classes.safetensors", data)
    with pytest.raises(FindError, match=r"model\.pt"):
        FIND.from_pretrained(tmp_path / "model.pt")
    assert not mark.exists()


@pytest.mark.parametrize(
    "name", ["", "~nobody-of-this-name/x", "a\0b", "x" * 5000, "\ud800", "..", "/", "../weights"], ids=ascii
)
def test_names_that_no_model_has_are_told(name: str):
    with pytest.raises(FindError) as expected:
        FIND.from_pretrained(name)
    assert len(str(expected.value)) < 1000
    with pytest.raises(FindError) as expected:
        Source.parse(name + "?", spec="transformers:...")
    assert "there is no folder" in str(expected.value) and len(str(expected.value)) < 1000
