"""What cannot be exported or opened is refused in one line; nothing here needs an export."""

import json
from pathlib import Path

import pytest
import torch

from find import FIND
from find.cli.main import main
from find.errors import CheckpointError, FindError
from find.integrations.export.graphs import Graph
from find.integrations.export.manifest import MANIFEST, Canvas, GraphFile, Manifest, ReadingSettings
from find.integrations.export.writing import Format, write_graph, write_model


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder that has everything, though its files are empty."""
    folder = tmp_path / "exported"
    folder.mkdir()
    graphs = tuple(GraphFile(name, f"{name}.onnx", (), ()) for name in ("image", "query"))
    reading = ReadingSettings("[region]", 16, 0, 1, 8, 4, 3, 8, None, None)
    manifest = Manifest(1, "m", "f" * 64, "onnx", 20, 6, 8, Canvas(64, 128, 32, None, False), reading, graphs)
    (folder / MANIFEST).write_text(manifest.to_json())
    for name in ("tokenizer.json", "image.onnx", "query.onnx"):
        (folder / name).touch()
    return folder


def test_a_whole_folder_is_read(folder):
    assert Manifest.read(folder).graph("query").file == "query.onnx"


@pytest.mark.parametrize("name", ["tokenizer.json", "query.onnx", MANIFEST])
def test_a_folder_that_lacks_a_file_is_refused_in_one_line(name, folder, tmp_path, capsys):
    (folder / name).unlink()
    (tmp_path / "photos").mkdir()
    album = str(tmp_path / "a.album")
    for command in (["index", str(tmp_path / "photos"), album], ["search", album, "{a dog}"]):
        assert main([*command, "--engine", "onnx", "--weights", str(folder)]) != 0
        expected = capsys.readouterr().err
        assert name in expected and expected.count("\n") == 1


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"format": 2}, "format 2, but this version reads format 1; export the model again"),
        ({"entities": "six"}, r"is damaged .*entities"),
        ({"wishes": 3}, r"is damaged .*wishes"),
    ],
)
def test_another_format_and_damaged_values_are_told(change, expected, folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | change))
    with pytest.raises(CheckpointError, match=expected):
        Manifest.read(folder)


def test_both_commands_refuse_an_export_of_another_version_in_one_line(folder, tmp_path, capsys):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"format": 2}))
    (tmp_path / "photos").mkdir()
    album = str(tmp_path / "a.album")
    for command in (["index", str(tmp_path / "photos"), album], ["search", album, "{a dog}"]):
        assert main([*command, "--engine", "onnx", "--weights", str(folder)]) != 0
        expected = capsys.readouterr().err
        assert "format 2, but this version reads format 1" in expected and expected.count("\n") == 1


def test_a_foundation_that_cannot_be_exported_is_refused_with_its_operator(tmp_path):
    class Odd(torch.nn.Module):
        def forward(self, x):
            return (torch.special.i1e(x),)

    graph = Graph("image", Odd(), (torch.eye(3),), ({},), ("x",), ("values",))
    with pytest.raises(FindError, match=r"the image graph cannot be exported: ONNX has no translation of .*bessel_i1e"):
        write_graph(graph, tmp_path / "odd.onnx", Format.ONNX)


def test_a_model_in_half_precision_is_refused(tmp_path):
    half = FIND.from_pretrained(dtype=torch.bfloat16)
    with pytest.raises(FindError, match="export it in float32"):
        list(write_model(half, tmp_path / "half"))
